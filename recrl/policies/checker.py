"""The checker: a rule that opens products in order of rank and buys the first that offers what the instruction names.

It knows its notes only. An instruction can state options as clauses, "size: 8"; then a product is right if it offers
what each clause states. In other wordings nothing tells which words are options; then a product is right if it has
options and the instruction names a value of each group, and it does not look further than the first page, as what was
named may have been no option. It opens only products whose price fits, and buys the best one seen when the steps run
out or nothing is left to open.
"""

import re
from collections.abc import Sequence

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct
from recrl.policies.moves import (
    last_page,
    reachable,
    steps_from_results,
    steps_to_next_page,
    to_next_page,
    to_purchase,
    towards,
)
from recrl.scoring.evidence import evidence_of
from recrl.scoring.looks import steps_to_open
from recrl.scoring.wishes import Wish, read_wish, wanted_options
from recrl.webshop import actions
from recrl.webshop.prices import lowest_price

# A group's name is no phrase with a preposition, and what it states is no noun phrase with an article. The rest is
# looked ahead at, as it holds the clauses that follow.
_CLAUSE = re.compile(
    r"(?:^|, |\bwith |\band )"
    r"(?P<group>(?:(?!(?:with|and|for|in|under|below|than|to) )[^\s,.:;?!]+ )*[^\s,.:;?!]+): (?=(?P<rest>.+))",
    re.DOTALL,
)
_ARTICLES = ("a ", "an ", "some ", "the ")


def stated_options(instruction: str) -> list[str]:
    """For each clause such as "size: 8" what stands behind its colon, up to the instruction's end, lower-cased."""
    rests = [found["rest"] for found in _CLAUSE.finditer(instruction.lower())]
    return [rest for rest in rests if not rest.startswith(_ARTICLES)]


def options_missing(instruction: str, product: NotedProduct) -> int:
    """How many options that the instruction names the product, which was opened, does not offer.

    Where the instruction states no clauses, these are the groups of which it names no value.
    """
    groups = product.options or ()
    clauses = stated_options(instruction)
    if clauses:
        values = [value for group in groups for value in group.values if value]
        return sum(not any(_begins_with(rest, value) for value in values) for rest in clauses)
    return len(groups) - len(wanted_options(read_wish(instruction), product))


def is_right(instruction: str, product: NotedProduct) -> bool:
    """Whether an opened product offers what the instruction names, as far as that can be told."""
    return not options_missing(instruction, product) and bool(product.options or stated_options(instruction))


def _begins_with(text: str, value: str) -> bool:
    """Whether a text begins with a value as whole words."""
    return text.startswith(value) and not re.match(r"\w", text[len(value) :])


def price_fits(wish: Wish, product: NotedProduct) -> bool:
    """Whether a price within the wish's bound can be had; an unknown one fits."""
    price = lowest_price(product.price_tag)
    return wish.bound is None or price is None or price <= wish.bound


def check(decision: Decision) -> str:
    """The checker's next action."""
    page, notes = decision.page, decision.notes
    if page.kind == "search":
        return decision.valid_actions[0]
    if page.kind == "sub":
        return actions.PREVIOUS
    wish, products = read_wish(decision.instruction), reachable(notes)
    if not products:
        return actions.BUY_NOW if page.kind == "item" else actions.NEXT_PAGE
    opened = [product for product in products if product.options is not None]
    best = max(opened, key=lambda product: _worth(decision.instruction, wish, product), default=None)
    found = best is not None and price_fits(wish, best) and is_right(decision.instruction, best)
    look = None if found else _look(decision, wish, products, best)
    if look is not None:
        return look
    if best is None:
        return towards(notes, _first(products))
    if steps_to_open(notes, best) + 1 > decision.steps_left and notes.at_hand is not None:
        return actions.BUY_NOW
    return to_purchase(decision, wish, best)[0]


def _first(products: Sequence[NotedProduct]) -> NotedProduct:
    return min(products, key=lambda product: product.rank)


def _worth(instruction: str, wish: Wish, product: NotedProduct) -> tuple[float, ...]:
    """What the best product has most of: a fitting price, the named options, or most of them, the wish's words,
    a high rank.
    """
    words = evidence_of(wish, product).words.any(0).sum()
    right = is_right(instruction, product)
    return price_fits(wish, product), right, -options_missing(instruction, product), float(words), -product.rank


def _look(decision: Decision, wish: Wish, products: Sequence[NotedProduct], best: NotedProduct | None) -> str | None:
    """Towards the next product whose price fits, on the next page too; None if there is none or no time to buy the best
    one afterwards, or the first if none was opened.
    """
    notes, last = decision.notes, best or _first(products)
    closed = [product for product in products if product.options is None and price_fits(wish, product)]
    if closed:
        product = _first(closed)
        if best is None:
            return towards(notes, product)
        steps, page_number, action = steps_to_open(notes, product) + 1, product.page_number, towards(notes, product)
    else:
        turning = steps_to_next_page(notes, products)
        if turning is None or (best is not None and not stated_options(decision.instruction)):
            return None
        steps, page_number, action = turning, last_page(products) + 1, to_next_page(notes)
    return action if steps + steps_from_results(wish, last, page_number) <= decision.steps_left else None

"""Ways through the shop by notes: to a product's page, to results not seen yet, to a purchase."""

from collections.abc import Sequence

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct, Notes
from recrl.scoring.looks import is_at_hand, options_left, steps_to_buy
from recrl.scoring.wishes import Wish
from recrl.webshop import actions
from recrl.webshop.pages import HITS_PER_PAGE, RESULTS_BUTTONS


def reachable(notes: Notes) -> list[NotedProduct]:
    """The products whose links open them: not those named like a button, or in letters that no click has, or like
    another one of their page.
    """
    found: dict[tuple[int, str], NotedProduct] = {}
    for product in sorted(notes.products, key=lambda product: product.rank):
        name = product.asin.lower()
        if name not in RESULTS_BUTTONS and actions.can_be_clicked(name):
            found.setdefault((product.page_number, name), product)
    kept = {product.asin for product in found.values()}
    return [product for product in notes.products if product.asin in kept]


def towards(notes: Notes, product: NotedProduct) -> str:
    """The next click on the way to a product that is not at hand."""
    if notes.at_hand is not None:
        return actions.PREVIOUS
    page = notes.results_page or product.page_number
    if product.page_number == page:
        return actions.click(product.asin.lower())
    return actions.NEXT_PAGE if product.page_number > page else actions.PREVIOUS


def last_page(products: Sequence[NotedProduct]) -> int:
    """The number of the last results page that was seen."""
    return max(product.page_number for product in products)


def steps_to_next_page(notes: Notes, products: Sequence[NotedProduct]) -> int | None:
    """Clicks until the first results page that was not seen is shown; None if all were."""
    last = last_page(products)
    if notes.results_page is None or notes.num_results is None or last * HITS_PER_PAGE >= notes.num_results:
        return None
    return int(notes.at_hand is not None) + last - notes.results_page + 1


def to_next_page(notes: Notes) -> str:
    """The next click on the way to results that were not seen."""
    return actions.PREVIOUS if notes.at_hand is not None else actions.NEXT_PAGE


def to_purchase(decision: Decision, wish: Wish, product: NotedProduct) -> list[str]:
    """The next clicks, any of them, on the way to buying a product with the options that the wish names, which can be
    set in any order; the last step always buys.
    """
    if not is_at_hand(decision.notes, product):
        return [towards(decision.notes, product)]
    left = [actions.click(value) for value in options_left(wish, decision.notes, product)]
    left = [action for action in left if action in decision.valid_actions]
    return left if left and decision.steps_left > 1 else [actions.BUY_NOW]


def steps_from_results(wish: Wish, product: NotedProduct, page_number: int) -> int:
    """Clicks from a results page until the product, which is not at hand there, is bought with its options."""
    return steps_to_buy(wish, Notes(results_page=page_number), product)

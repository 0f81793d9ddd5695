"""What the choice scorer reads of a decision: its page and its valid actions as two kinds of text, and a few numbers.

The state text starts with the instruction, which is never cut. In the ``compact`` form the rest holds what the actions
do not already say (title, price, clicked options, sub-page text); in the ``full`` form, the paper's, it is the whole
observation; in the ``instruction`` form, of agents that read products through their notes, it is empty. Cuts fall on
the end of the rest only.

An action is read as a person would name it: ``item - {title} {price}`` for a product link (never its code),
``{group}: {value}`` for an option, ``search: {words}`` for a query, else the button's own name.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import TEXT_PAGES, NotedProduct
from recrl.errors import ConfigError
from recrl.scoring.evidence import MATCH_FEATURES, match_features
from recrl.scoring.looks import options_left, steps_to_buy, steps_to_open
from recrl.scoring.wishes import Wish, read_wish
from recrl.webshop import actions
from recrl.webshop.pages import OptionGroup, Page
from recrl.webshop.prices import lowest_price, price_bound

PAGE_MARKERS = ("[button]", "[button_]", "[clicked button]", "[clicked button_]")
STATE_FORMS = ("compact", "full", "instruction")
PLAIN_FEATURES = {
    "reciprocal_rank": "1 / place of the product link on its page, 0 for other actions",
    "price_fits": "1 if the product link's (lowest) price is within the instruction's bound, -1 if not, 0 if unknown",
    "taken_before": "1 if the same action was taken earlier in the episode",
    "words_named": "share of the action's words that occur in the instruction",
    "instruction_covered": "share of the instruction's words that occur in the action",
    "group_clicked": "1 if the action is an option and another value of its group shows as clicked",
    "groups_open": "share of the page's option groups without a clicked value, for actions that are no options",
}
READING_FEATURES = {
    "is_link": "1 if the action opens a product",
    "is_option": "1 if it sets an option",
    "is_purchase": "1 if it buys",
    "is_text_page": "1 if it opens the features or the description",
    "is_way_back": "1 if it is < prev",
    "is_next_page": "1 if it is next >",
    "option_wanted": "1 if it sets an option that the instruction names and that is not set yet",
    "options_left": "options of the product at hand that the instruction names and that are not set, a quarter each",
    "unseen": "1 if what it opens was not opened before in the episode",
    "texts_read": "share of features and description that were read of the product that it stands for",
    "steps": "steps left, at most 15, a fifteenth each",
    "steps_scarce": "1 / steps left",
}
ACTION_FEATURES = PLAIN_FEATURES | READING_FEATURES
_WORD = re.compile(r"[^\W_]+")
_MARKER = re.compile(f"({'|'.join(map(re.escape, PAGE_MARKERS))})")


class Piece(NamedTuple):
    """A part of a state: text, or one of `PAGE_MARKERS`, which is a token of its own. Text that spells a marker or any
    other special token stays text.
    """

    text: str
    is_marker: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceInput:
    """One decision as the scorer reads it, before tokenisation.

    Attributes:
        instruction: the shopper's words.
        state: the rest of the state in pieces, cut from its end when too long.
        actions: a text per valid action, in the page's order.
        features: (actions, features) float32, columns in the order of the config's ``action_features``.
        steps_left: actions that may still be taken, for the value head.
        products: what the notes say of the products seen; None for a scorer without a match head.
    """

    instruction: str
    state: tuple[Piece, ...]
    actions: tuple[str, ...]
    features: np.ndarray
    steps_left: int
    products: "ProductInputs | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class ProductInputs:
    """The products that were seen, as the match head reads them.

    Attributes:
        features: (products, features) float32, see `recrl.scoring.evidence.MATCH_FEATURES`.
        steps: (products, 2) float32, clicks until the product is bought, and until more of it is seen; the latter is 0
            where nothing of it is unseen or what it takes is more than the steps that are left.
        of_action: (actions,) int64, the place of the product that the action stands for, -1 where there is none.
    """

    features: np.ndarray
    steps: np.ndarray
    of_action: np.ndarray


@dataclass(frozen=True, slots=True)
class ShownAction:
    """A valid action as its page shows it.

    Attributes:
        action: its text in the environment; argument: what stands between its brackets.
        place: of the product that it opens, from 0; group: of the option that it sets; None where it does neither.
        text: as a person would name it.
    """

    action: str
    argument: str
    place: int | None
    group: OptionGroup | None
    text: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the features of all actions of a decision have in common."""

    decision: Decision
    page: Page
    taken: frozenset[str]
    wish: Wish
    options_left: frozenset[str]  # the values that are wanted of the product at hand and not clicked yet


def read_decision(
    decision: Decision,
    *,
    state_form: str = "compact",
    action_features: Sequence[str] = (),
    match_features: Sequence[str] = (),
) -> ChoiceInput:
    """Turns a decision into the scorer's texts and numbers."""
    page, notes = decision.page, decision.notes
    state = (
        ()
        if state_form == "instruction"
        else (_compact_state(page) if state_form == "compact" else _full_state(decision.observation))
    )
    shown = [show_action(page, action) for action in decision.valid_actions]
    wish, product = read_wish(page.instruction), notes.product
    left = () if product is None else options_left(wish, notes, product)
    seen = _Seen(decision, page, frozenset(decision.previous_actions), wish, frozenset(left))
    columns = [_FEATURES[name] for name in action_features]
    features = np.array([[column(seen, one) for column in columns] for one in shown], np.float32)
    texts = tuple(one.text for one in shown)
    products = _products(seen, shown, match_features) if match_features else None
    return ChoiceInput(page.instruction, state, texts, features, decision.steps_left, products)


def _products(seen: _Seen, shown: Sequence["ShownAction"], match_features_: Sequence[str]) -> ProductInputs:
    notes, steps_left = seen.decision.notes, seen.decision.steps_left
    found = match_features(seen.wish, notes.products, match_features_)
    steps = np.zeros((len(notes.products), 2), np.float32)
    for row, product in enumerate(notes.products):
        there = steps_to_open(notes, product)
        look = there if product.options is None else there + 2 if product.unread else 0
        steps[row] = steps_to_buy(seen.wish, notes, product), look if look < steps_left else 0
    place = {product.asin: row for row, product in enumerate(notes.products)}
    of_action = [
        place[seen.page.listing[one.place].asin]
        if one.place is not None
        else notes.at_hand
        if notes.at_hand is not None and one.action != actions.BACK_TO_SEARCH
        else -1
        for one in shown
    ]
    return ProductInputs(found, steps, np.array(of_action, np.int64))


def _compact_state(page: Page) -> tuple[Piece, ...]:
    button, button_end, clicked, clicked_end = (Piece(marker, is_marker=True) for marker in PAGE_MARKERS)
    parts: list[Piece] = []
    if page.kind == "results":
        parts.append(Piece(f"results page {page.page_number}"))
    elif page.kind == "search":
        parts.append(Piece("search page"))
    for value in page.clicked:
        parts += [clicked, Piece(value), clicked_end]
    parts += [Piece(text) for text in (page.title, page.price_tag) if text]
    for group in page.options:
        parts += [button, Piece(group.name), button_end]
    if page.text:
        parts.append(Piece(page.text))
    return tuple(parts)


def _full_state(observation: str) -> tuple[Piece, ...]:
    """The whole text; its markers are read as such, as the paper's model does, whoever wrote them."""
    parts = _MARKER.split(observation)
    return tuple(Piece(text, is_marker=place % 2 == 1) for place, text in enumerate(parts) if text)


def show_action(page: Page, action: str) -> ShownAction:
    """What an action stands for on its page."""
    parsed = actions.parse(action)
    argument = action if parsed is None else parsed.argument
    if parsed is not None and parsed.verb == actions.SEARCH:
        return ShownAction(action, argument, None, None, f"search: {argument}")
    place, group = page.place_of(argument), page.group_of(argument)
    text = argument
    if place is not None:
        listed = page.listing[place]
        text = f"item - {listed.title} {listed.price_tag}"
    elif group is not None:
        text = f"{group.name}: {argument}"
    return ShownAction(action, argument, place, group, text)


@functools.lru_cache(maxsize=65536)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _reciprocal_rank(seen: _Seen, shown: ShownAction) -> float:
    return 0.0 if shown.place is None else 1.0 / (shown.place + 1)


def _price_fits(seen: _Seen, shown: ShownAction) -> float:
    bound = price_bound(seen.page.instruction)
    price = None if shown.place is None else lowest_price(seen.page.listing[shown.place].price_tag)
    if price is None or bound is None:
        return 0.0
    return 1.0 if price <= bound else -1.0


def _taken_before(seen: _Seen, shown: ShownAction) -> float:
    return float(shown.action in seen.taken)


def _words_named(seen: _Seen, shown: ShownAction) -> float:
    words = _words(shown.argument if shown.place is None else shown.text)
    return len(words & _words(seen.page.instruction)) / max(1, len(words))


def _instruction_covered(seen: _Seen, shown: ShownAction) -> float:
    named = _words(seen.page.instruction)
    return len(_words(shown.text) & named) / max(1, len(named))


def _group_clicked(seen: _Seen, shown: ShownAction) -> float:
    return float(shown.group is not None and bool(shown.group.clicked))


def _groups_open(seen: _Seen, shown: ShownAction) -> float:
    if not seen.page.options or shown.group is not None:
        return 0.0
    return sum(not group.clicked for group in seen.page.options) / len(seen.page.options)


def _product_of(seen: _Seen, shown: ShownAction) -> NotedProduct | None:
    """The product that an action stands for: the one that it opens, or the one at hand."""
    notes = seen.decision.notes
    return notes.product if shown.place is None else notes.of(seen.page.listing[shown.place].asin)


def _unseen(seen: _Seen, shown: ShownAction) -> float:
    product = _product_of(seen, shown)
    if product is None:
        return float(shown.action == actions.NEXT_PAGE and (seen.page.page_number or 1) >= _last_page(seen))
    return float(product.options is None if shown.place is not None else shown.argument in product.unread)


def _last_page(seen: _Seen) -> int:
    return max((product.page_number for product in seen.decision.notes.products), default=1)


def _texts_read(seen: _Seen, shown: ShownAction) -> float:
    product = _product_of(seen, shown)
    return 0.0 if product is None else 1 - len(product.unread) / len(TEXT_PAGES)


def _is(action: str) -> Callable[[_Seen, ShownAction], float]:
    """A feature that is 1 for one button."""
    return lambda seen, shown: float(shown.action == action and shown.place is None)


_FEATURES: dict[str, Callable[[_Seen, ShownAction], float]] = {
    "reciprocal_rank": _reciprocal_rank,
    "price_fits": _price_fits,
    "taken_before": _taken_before,
    "words_named": _words_named,
    "instruction_covered": _instruction_covered,
    "group_clicked": _group_clicked,
    "groups_open": _groups_open,
    "is_link": lambda seen, shown: float(shown.place is not None),
    "is_option": lambda seen, shown: float(shown.group is not None),
    "is_purchase": _is(actions.BUY_NOW),
    "is_text_page": lambda seen, shown: float(shown.action in (actions.FEATURES, actions.DESCRIPTION)),
    "is_way_back": _is(actions.PREVIOUS),
    "is_next_page": _is(actions.NEXT_PAGE),
    "option_wanted": lambda seen, shown: float(shown.group is not None and shown.argument in seen.options_left),
    "options_left": lambda seen, shown: len(seen.options_left) / 4,
    "unseen": _unseen,
    "texts_read": _texts_read,
    "steps": lambda seen, shown: min(seen.decision.steps_left, 15) / 15,
    "steps_scarce": lambda seen, shown: 1 / max(1, seen.decision.steps_left),
}


def check_input_options(state_form: str, action_features: Sequence[str], match_features: Sequence[str]) -> None:
    """Raises ConfigError unless the state form and every feature are known."""
    if state_form not in STATE_FORMS:
        raise ConfigError(f"state_form={state_form!r} is unknown; choose one of {', '.join(STATE_FORMS)}")
    unknown = [name for name in action_features if name not in ACTION_FEATURES]
    if unknown:
        raise ConfigError(f"unknown action_features {unknown}; choose among {', '.join(ACTION_FEATURES)}")
    unknown = [name for name in match_features if name not in MATCH_FEATURES]
    if unknown:
        raise ConfigError(f"unknown match_features {unknown}; choose among {', '.join(MATCH_FEATURES)}")

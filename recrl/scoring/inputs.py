"""What the choice scorer reads of a decision: its page and its valid actions as two kinds of text, and a few numbers.

The state text starts with the instruction, which is never cut. In the ``compact`` form the rest holds what the actions
do not already say (title, price, clicked options, sub-page text); in the ``full`` form, the paper's, it is the whole
observation. Cuts fall on the end of the rest only.

An action is read as a person would name it: ``item - {title} {price}`` for a product link (never its code),
``{group}: {value}`` for an option, ``search: {words}`` for a query, else the button's own name.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recrl.episodes.decisions import Decision
from recrl.errors import ConfigError
from recrl.webshop import actions
from recrl.webshop.pages import OptionGroup, Page
from recrl.webshop.prices import lowest_price, price_bound

PAGE_MARKERS = ("[button]", "[button_]", "[clicked button]", "[clicked button_]")
STATE_FORMS = ("compact", "full")
ACTION_FEATURES = {
    "reciprocal_rank": "1 / place of the product link on its page, 0 for other actions",
    "price_fits": "1 if the product link's (lowest) price is within the instruction's bound, -1 if not, 0 if unknown",
    "taken_before": "1 if the same action was taken earlier in the episode",
    "words_named": "share of the action's words that occur in the instruction",
    "instruction_covered": "share of the instruction's words that occur in the action",
    "group_clicked": "1 if the action is an option and another value of its group shows as clicked",
    "groups_open": "share of the page's option groups without a clicked value, for actions that are no options",
}
_WORD = re.compile(r"[^\W_]+")
_MARKER = re.compile(f"({'|'.join(map(re.escape, PAGE_MARKERS))})")


class Piece(NamedTuple):
    """A part of a state: text, or one of `PAGE_MARKERS`, which is a token of its own. Text that spells a marker or any
    other special token stays text.
    """

    text: str
    is_marker: bool = False


@dataclass(frozen=True, slots=True)
class ChoiceInput:
    """One decision as the scorer reads it, before tokenisation.

    Attributes:
        instruction: the shopper's words.
        state: the rest of the state in pieces, cut from its end when too long.
        actions: a text per valid action, in the page's order.
        features: (actions, features) numbers, columns in the order of the config's ``action_features``.
        steps_left: actions that may still be taken, for the value head.
    """

    instruction: str
    state: tuple[Piece, ...]
    actions: tuple[str, ...]
    features: tuple[tuple[float, ...], ...]
    steps_left: int


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


def read_decision(
    decision: Decision, *, state_form: str = "compact", action_features: Sequence[str] = ()
) -> ChoiceInput:
    """Turns a decision into the scorer's texts and numbers."""
    page = decision.page
    state = _compact_state(page) if state_form == "compact" else _full_state(decision.observation)
    shown = [show_action(page, action) for action in decision.valid_actions]
    taken = frozenset(decision.previous_actions)
    columns = [_FEATURES[name] for name in action_features]
    features = tuple(tuple(float(column(page, one, taken)) for column in columns) for one in shown)
    return ChoiceInput(page.instruction, state, tuple(one.text for one in shown), features, decision.steps_left)


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


def _reciprocal_rank(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    return 0.0 if shown.place is None else 1.0 / (shown.place + 1)


def _price_fits(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    bound = price_bound(page.instruction)
    price = None if shown.place is None else lowest_price(page.listing[shown.place].price_tag)
    if price is None or bound is None:
        return 0.0
    return 1.0 if price <= bound else -1.0


def _taken_before(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    return float(shown.action in taken)


def _words_named(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    words = _words(shown.argument if shown.place is None else shown.text)
    return len(words & _words(page.instruction)) / max(1, len(words))


def _instruction_covered(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    named = _words(page.instruction)
    return len(_words(shown.text) & named) / max(1, len(named))


def _group_clicked(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    return float(shown.group is not None and bool(shown.group.clicked))


def _groups_open(page: Page, shown: ShownAction, taken: frozenset[str]) -> float:
    if not page.options or shown.group is not None:
        return 0.0
    return sum(not group.clicked for group in page.options) / len(page.options)


_FEATURES: dict[str, Callable[[Page, ShownAction, frozenset[str]], float]] = {
    "reciprocal_rank": _reciprocal_rank,
    "price_fits": _price_fits,
    "taken_before": _taken_before,
    "words_named": _words_named,
    "instruction_covered": _instruction_covered,
    "group_clicked": _group_clicked,
    "groups_open": _groups_open,
}


def check_input_options(state_form: str, action_features: Sequence[str]) -> None:
    """Raises ConfigError unless the state form and every action feature are known."""
    if state_form not in STATE_FORMS:
        raise ConfigError(f"state_form={state_form!r} is unknown; choose one of {', '.join(STATE_FORMS)}")
    unknown = [name for name in action_features if name not in ACTION_FEATURES]
    if unknown:
        raise ConfigError(f"unknown action_features {unknown}; choose among {', '.join(ACTION_FEATURES)}")

"""What the choice scorer reads: a page and its valid actions as two kinds of text, a few numbers, and their tensors.

The state text starts with the instruction, which is never cut. In the ``compact`` form the rest holds what the actions
do not already say (title, price, clicked options, sub-page text); in the ``full`` form, the paper's, it is the whole
observation. Cuts fall on the end of the rest only.

An action is read as a person would name it: ``item - {title} {price}`` for a product link (never its code),
``{group}: {value}`` for an option, ``search: {words}`` for a query, else the button's own name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from recrl.errors import ConfigError
from recrl.webshop.reading import Page, lowest_price, price_bound, read_page

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


@dataclass(frozen=True, slots=True)
class ChoiceInput:
    """One decision as the scorer reads it, before tokenisation.

    Attributes:
        instruction: the shopper's words.
        state: the rest of the state, cut from its end when too long.
        actions: a text per valid action, in the page's order.
        features: (actions, features) numbers, columns in the order of the config's ``action_features``.
    """

    instruction: str
    state: str
    actions: tuple[str, ...]
    features: tuple[tuple[float, ...], ...]


def read_decision(
    observation: str,
    valid_actions: Sequence[str],
    previous_actions: Sequence[str],
    *,
    state_form: str = "compact",
    action_features: Sequence[str] = (),
) -> ChoiceInput:
    """Turns a ``text_rich`` observation and its valid actions into the scorer's texts and numbers."""
    page = _read_page(observation)
    state = _compact_state(page) if state_form == "compact" else observation
    actions = tuple(_action_text(page, action) for action in valid_actions)
    taken = frozenset(previous_actions)
    columns = {name: _FEATURES[name] for name in action_features}
    features = tuple(
        tuple(float(column(page, action, text, taken)) for column in columns.values())
        for action, text in zip(valid_actions, actions, strict=True)
    )
    return ChoiceInput(page.instruction, state, actions, features)


_read_page = lru_cache(maxsize=4096)(read_page)
_price_bound = lru_cache(maxsize=4096)(price_bound)


def _compact_state(page: Page) -> str:
    parts: list[str] = []
    if page.kind == "results":
        parts.append(f"results page {page.page_number}")
    elif page.kind == "search":
        parts.append("search page")
    parts += [f"{PAGE_MARKERS[2]} {value} {PAGE_MARKERS[3]}" for value in page.clicked]
    if page.title:
        parts.append(page.title)
    if page.price_tag:
        parts.append(page.price_tag)
    parts += [f"{PAGE_MARKERS[0]} {group} {PAGE_MARKERS[1]}" for group in page.options]
    if page.text:
        parts.append(page.text)
    return " ".join(parts)


def _argument(action: str) -> tuple[str, str]:
    """``click[x]`` -> ("click", "x")."""
    name, _, rest = action.partition("[")
    return name, rest.removesuffix("]")


def _option_group(page: Page, value: str) -> str | None:
    """The group whose option a click on ``value`` sets: the later one where two groups share a value."""
    groups = [group for group, values in page.options.items() if value in values]
    return groups[-1] if groups else None


def _link(page: Page, value: str) -> int | None:
    """The place (from 0) of a product link on its results page."""
    return next((place for place, listed in enumerate(page.listing) if listed.asin.lower() == value), None)


def _action_text(page: Page, action: str) -> str:
    name, value = _argument(action)
    if name == "search":
        return f"search: {value}"
    place = _link(page, value)
    if place is not None:
        listed = page.listing[place]
        return f"item - {listed.title} {listed.price_tag}"
    group = _option_group(page, value)
    return f"{group}: {value}" if group is not None else value


@lru_cache(maxsize=65536)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _reciprocal_rank(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    place = _link(page, _argument(action)[1])
    return 0.0 if place is None else 1.0 / (place + 1)


def _price_fits(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    place, bound = _link(page, _argument(action)[1]), _price_bound(page.instruction)
    price = None if place is None else lowest_price(page.listing[place].price_tag)
    if price is None or bound is None:
        return 0.0
    return 1.0 if price <= bound else -1.0


def _taken_before(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    return float(action in taken)


def _words_named(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    words = _words(_argument(action)[1] if _link(page, _argument(action)[1]) is None else text)
    return len(words & _words(page.instruction)) / max(1, len(words))


def _instruction_covered(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    named = _words(page.instruction)
    return len(_words(text) & named) / max(1, len(named))


def _group_clicked(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    value = _argument(action)[1]
    group = _option_group(page, value)
    return float(group is not None and any(other in page.options[group] for other in page.clicked))


def _groups_open(page: Page, action: str, text: str, taken: frozenset[str]) -> float:
    if not page.options or _option_group(page, _argument(action)[1]) is not None:
        return 0.0
    clicked = frozenset(page.clicked)
    return sum(not clicked.intersection(values) for values in page.options.values()) / len(page.options)


_FEATURES = {
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

"""WebShop's imitation file, ``il_trajs_finalized_images.jsonl``: one trajectory a line.

Its fields are lists with an entry a step: ``states``, the page's text (mode ``text_rich``); ``available_actions``, what
could be clicked there, where a product's link reads ``click[item - TITLE]``; ``action_idxs``, what was done, -1 for a
search. ``actions``, if it is there, has the same in the environment's own words: a product's link by its asin, a search
by its words. ``images``, numbers of product pictures, are left out. Rewards are not among them.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recrl.errors import PolicyError
from recrl.importing.recordings import (
    FORMATS,
    MisfitError,
    RecordedStep,
    Recording,
    read_records,
)
from recrl.webshop import actions
from recrl.webshop.pages import Page
from recrl.webshop.reading import read_page

FORMAT = "webshop_il"
SEARCHED = -1  # the index that stands for a search
_FIRST_PAGE = re.compile(
    r"\s*(?:WebShop|Amazon Shopping Game)\s*\n\s*Instruction:\s*(.*?)\s*\[button\] Search \[button_\]\s*", re.DOTALL
)
_PRICE_CLAUSE = re.compile(r", and price lower than [0-9.]+ dollars\s*$")
_ITEM = "item - "
_CLICK = re.compile(r"click\[(.*)\]", re.DOTALL)  # of a title with brackets, which no action of the environment has


def without_price_clause(instruction: str) -> str:
    """An instruction without what WebShop appends to it about the price."""
    return _PRICE_CLAUSE.sub("", instruction)


def read_demonstrations(source: Path) -> Iterator[tuple[str, Recording | MisfitError]]:
    """Name of each trajectory -> the trajectory, or why it does not fit.

    Raises:
        DatasetError: there is no file, or it is of another format.
    """
    for name, record in read_records(source, FORMAT):
        if isinstance(record, MisfitError):
            yield name, record
            continue
        try:
            yield name, _demonstration(name, record)
        except MisfitError as misfit:
            yield name, misfit


def _demonstration(name: str, record: dict[str, Any]) -> Recording:
    columns = {field: record.get(field) for field in (*FORMATS[FORMAT], "actions")}
    if columns["actions"] is None:
        columns["actions"] = [None] * len(columns["action_idxs"] or ())
    for field, values in columns.items():
        if not isinstance(values, list):
            raise MisfitError(f"its {field} are no list", f"{values!r:.60}")
    lengths = {field: len(values or ()) for field, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise MisfitError("its lists are not equally long", ", ".join(f"{n} {field}" for field, n in lengths.items()))
    states, available, indices, texts = (columns[field] or [] for field in columns)
    first = _FIRST_PAGE.fullmatch(states[0]) if states and isinstance(states[0], str) else None
    if first is None:
        raise MisfitError("its first state is no search page", f"{states[:1]!r:.80}", step=0)
    instruction = first.group(1)
    steps = [
        _step(place, instruction, *columns_of_step)
        for place, columns_of_step in enumerate(zip(states, available, indices, texts, strict=True))
    ]
    return Recording(name=name, instruction=instruction, steps=tuple(steps), bought_asin=_bought(steps))


def _bought(steps: Sequence[RecordedStep]) -> str | None:
    """The asin of the product that was opened last; None if a link cannot be told."""
    for step in reversed(steps):
        page, parsed = read_page(step.observation or ""), actions.parse(step.action)
        place = None if parsed is None else page.place_of(parsed.argument)
        if place is not None:
            return page.listing[place].asin
    return None


def _step(place: int, instruction: str, state: Any, available: Any, index: Any, text: Any) -> RecordedStep:
    is_texts = isinstance(available, list) and all(isinstance(action, str) for action in available)
    if not isinstance(state, str) or not is_texts or isinstance(index, bool) or not isinstance(index, int):
        raise MisfitError("a step has values of other types than expected", step=place)
    if _FIRST_PAGE.fullmatch(state):
        state = f"WebShop\nInstruction: \n{instruction}\n[button] Search [button_]\n"
    try:
        page = read_page(state)
    except (PolicyError, ValueError) as error:
        raise MisfitError("a state cannot be read as a page", str(error), step=place) from error
    if page.kind == "search":
        plain = actions.search(actions.as_query(without_price_clause(instruction)))
        typed = _typed(text, place) if index == SEARCHED else None
        valid = (plain,) if typed is None or typed.lower() == plain.lower() else (plain, typed)
        return RecordedStep(valid[-1], place, observation=state, valid_actions=valid)
    if not 0 <= index < len(available):
        raise MisfitError(
            "an index is none of the available actions",
            f"{index} of {len(available)} on a {page.kind} page",
            step=place,
        )
    names = _names(available, page)
    if (chosen := names[index]) is None or not actions.can_be_clicked(chosen):
        raise MisfitError("an action names nothing on its page", repr(available[index]), step=place)
    offered = dict.fromkeys(name for name in names if name is not None and actions.can_be_clicked(name))
    clicks = tuple(actions.click(name) for name in offered)
    return RecordedStep(actions.click(chosen), place, observation=state, valid_actions=clicks)


def _typed(text: Any, place: int) -> str | None:
    """The search that was typed; None where its words were not recorded."""
    if text is None:
        return None
    parsed = actions.parse(text) if isinstance(text, str) else None
    if parsed is None or parsed.verb != actions.SEARCH or not actions.is_query(parsed.argument):
        raise MisfitError("its search cannot be typed", f"{text!r:.80}", step=place)
    return actions.search(parsed.argument)


def _names(available: Sequence[str], page: Page) -> list[str | None]:
    """What each available action clicks in the environment; None for a product that the page does not list.

    Of products with one title the first link is the first product, and so on.
    """
    left = {place: " ".join(listed.title.lower().split()) for place, listed in enumerate(page.listing)}
    names: list[str | None] = []
    for action in available:
        found = _CLICK.fullmatch(action)
        name = (action if found is None else found.group(1)).lower()
        if page.kind != "results" or not name.startswith(_ITEM):
            names.append(name)
            continue
        title = " ".join(name.removeprefix(_ITEM).split())
        place = next((place for place, other in left.items() if other == title), None)
        names.append(None if place is None else page.listing[place].asin.lower())
        if place is not None:
            del left[place]
    return names

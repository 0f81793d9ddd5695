"""WebShop's recorded sessions, its ``user_session_logs``: one file a session, one JSON object for every page served.

The server wrote down the pages, not the clicks. A click is found as what leads from a page to the next one. A page that
was loaded again is left out. What people did without the server (going back with the browser's button, to a page that
the browser still had) shows as a page that no click leads to from the one before. With ``fill_gaps`` the shortest way
there is filled in, by clicks between pages that this session has seen; the environment accepts each, and the purchase
is the same. Without it such a session does not fit.

A page is a `recrl.webshop.screens.PageState`, as in the environment. The log holds the asins of results pages, but no
texts of pages.
"""

import ast
import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from recrl.importing.recordings import MisfitError, RecordedStep, Recording, check_format, find_files, read_lines
from recrl.webshop import actions
from recrl.webshop.screens import SUB_PAGES, PageState

FORMAT = "webshop_sessions"
PageKey = tuple[tuple[str, ...], int]  # the words of a search, and the number of its results page


def read_sessions(source: Path, *, fill_gaps: bool) -> Iterator[tuple[str, Recording | MisfitError]]:
    """Name of each session -> the session, or why it does not fit.

    Raises:
        DatasetError: there are no files, or they are of another format.
    """
    for number, path in enumerate(find_files(source)):
        records = [record for _, record in read_lines(path)]
        if number == 0 and records and isinstance(records[0], dict):
            check_format(FORMAT, records[0], path)
        try:
            yield path.name, _session(path.name, records, fill_gaps)
        except MisfitError as misfit:
            yield path.name, misfit


def _session(name: str, records: Sequence[Any], fill_gaps: bool) -> Recording:
    damaged = next((record for record in records if isinstance(record, MisfitError)), None)
    if damaged is not None:
        raise damaged
    if not records:
        raise MisfitError("the file is empty")
    goals = {repr(record.get("goal")) for record in records}
    goal = records[0].get("goal")
    if len(goals) > 1 or not isinstance(goal, dict) or not isinstance(goal.get("instruction_text"), str):
        raise MisfitError("its pages do not have one goal", f"{len(goals)} goals, expected one with instruction_text")
    states = [_state(place, record) for place, record in enumerate(records)]
    results = {
        (state.keywords, state.page): tuple(map(str, record["content"]["search_result_asins"]))
        for state, record in zip(states, records, strict=True)
        if state.kind == "results"
    }
    last = records[-1]
    return Recording(
        name=name,
        instruction=goal["instruction_text"],
        steps=tuple(_steps(states, results, fill_gaps)),
        reward=float(last["reward"]) if isinstance(last.get("reward"), int | float) else None,
        target_asin=goal.get("asin"),
        bought_asin=states[-1].asin or None,
    )


def _state(place: int, record: dict[str, Any]) -> PageState:
    """The page of a record."""
    try:
        return _read_state(record)
    except (KeyError, TypeError, ValueError, SyntaxError, IndexError) as error:
        raise MisfitError("a page cannot be read", f"{type(error).__name__}: {error}", step=place) from error


def _read_state(record: dict[str, Any]) -> PageState:
    kind, content = record["page"], record.get("content", {})
    if kind == "index":
        return PageState()
    if kind == "search_results":
        return PageState("results", _words(content["keywords"]), int(content["page"]))
    if kind not in ("item_page", "item_sub_page", "done"):
        raise ValueError(f"page={kind!r}, expected index, search_results, item_page, item_sub_page or done")
    asin, options = str(content["asin"]), {str(name): str(value) for name, value in content["options"].items()}
    if kind == "done":
        return PageState("bought", asin=asin, options=options)
    state = PageState("item", _words(content["keywords"]), int(content["page"]), asin, options)
    if kind == "item_page":
        return state
    # .../item_sub_page/SESSION/ASIN/KEYWORDS/PAGE/SUB_PAGE/OPTIONS; the content does not hold the sub page
    name = unquote(urlsplit(record["url"]).path.split("/")[6])
    if name not in SUB_PAGES:
        raise ValueError(f"sub page {name!r}, expected one of {', '.join(SUB_PAGES)}")
    return dataclasses.replace(state, kind="sub", sub_page=name)


def _words(keywords: Any) -> tuple[str, ...]:
    """The words of a search, which item pages hold as a Python list's text."""
    words = ast.literal_eval(keywords) if isinstance(keywords, str) else keywords
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"keywords={keywords!r:.60}, expected a list of words")
    return tuple(words)


def _steps(
    states: Sequence[PageState], results: dict[PageKey, tuple[str, ...]], fill_gaps: bool
) -> Iterator[RecordedStep]:
    """The actions between the pages."""
    if states[0].kind != "search":
        raise MisfitError("it does not begin with the search page", f"but with a page of kind {states[0].kind}", step=0)
    here, seen = states[0], [states[0]]
    for place, state in enumerate(states[1:], start=1):
        if here.kind == "bought":
            raise MisfitError("it goes on after the purchase", step=place)
        if state == here:  # loaded again
            continue
        way = _way(here, state, seen, results)
        if way is None or (len(way) > 1 and not fill_gaps):
            raise MisfitError(
                "a page is not where a click leads" if way is None else "a move is not in the record",
                f"from {_describe(here)} to {_describe(state)}",
                step=place,
            )
        for number, (action, reached) in enumerate(way, start=1):
            shown = results.get((reached.keywords, reached.page)) if reached.kind == "results" else None
            yield RecordedStep(action, place, is_filled_in=number < len(way), results=shown)
        here = state
        if state not in seen:
            seen.append(state)


def _way(
    here: PageState, target: PageState, seen: Sequence[PageState], results: dict[PageKey, tuple[str, ...]]
) -> list[tuple[str, PageState]] | None:
    """The shortest way by clicks: actions and the pages that they lead to; None if there is none.

    Its last step leads to the target; those before it, if any, to pages that were seen.
    """
    ways: deque[tuple[PageState, list[tuple[str, PageState]]]] = deque([(here, [])])
    reached = [here]
    while ways:
        state, way = ways.popleft()
        if (action := _action(state, target, results)) is not None:
            return [*way, (action, target)]
        for following in reversed(seen):  # of equally short ways the one over the pages last seen
            if following not in reached and (action := _action(state, following, results)) is not None:
                reached.append(following)
                ways.append((following, [*way, (action, following)]))
    return None


def _action(before: PageState, after: PageState, results: dict[PageKey, tuple[str, ...]]) -> str | None:
    """The action that leads from one page directly to another; None if none does."""
    same_search = (before.keywords, before.page) == (after.keywords, after.page)
    same_product = same_search and before.asin == after.asin
    match before.kind, after.kind:
        case "search", "results":
            return actions.search(" ".join(after.keywords)) if after.page == 1 else None
        case "results" | "item" | "sub", "search":
            return actions.BACK_TO_SEARCH
        case "results", "results":
            moved = after.page - before.page if before.keywords == after.keywords else 0
            return {1: actions.NEXT_PAGE, -1: actions.PREVIOUS}.get(moved)
        case "results", "item":
            listed = results.get((after.keywords, after.page), ())
            is_there = same_search and not after.options and after.asin in listed
            return actions.click(after.asin.lower()) if is_there else None
        case "item", "results":
            return actions.PREVIOUS if same_search else None
        case "item", "item":
            return _option(before, after) if same_product else None
        case "item", "sub":
            is_there = same_product and before.options == after.options
            return actions.click(after.sub_page.lower()) if is_there else None
        case "sub", "item":
            return actions.PREVIOUS if same_product and before.options == after.options else None
        case "item", "bought":
            return actions.BUY_NOW if (before.asin, before.options) == (after.asin, after.options) else None
    return None


def _option(before: PageState, after: PageState) -> str | None:
    """The click on the one option that differs; None if it is not one, or an option was taken back."""
    changed = [value for name, value in after.options.items() if before.options.get(name) != value]
    return actions.click(changed[0]) if len(changed) == 1 and before.options.keys() <= after.options.keys() else None


def _describe(state: PageState) -> str:
    if state.kind == "search":
        return "the search page"
    if state.kind == "results":
        return f"page {state.page} of {' '.join(state.keywords)!r:.60}"
    options = f" with {state.options}" if state.options else ""
    place = {"item": "the page", "sub": f"the {state.sub_page} page", "bought": "the purchase"}[state.kind]
    return f"{place} of {state.asin}{options}"

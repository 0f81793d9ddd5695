"""The grammar of actions, ``search[words]`` and ``click[name]``: the only place that writes or reads it.

An action's text is read as the original reads it: greedily up to the last bracket on each side, so a name that holds an
opening bracket before its end cannot be clicked, and what stands behind the last closing bracket is ignored.
"""

import functools
import re
from dataclasses import dataclass

SEARCH, CLICK = "search", "click"
_ACTION = re.compile(r"(.+)\[(.+)\]")
_NOT_IN_A_QUERY = re.compile(r"[\[\]\n]")  # what would change how the action is read


@dataclass(frozen=True, slots=True)
class Action:
    """An action as it was read.

    Attributes:
        verb: `SEARCH` or `CLICK`.
        argument: the words to search for, or the name that is clicked.
    """

    verb: str
    argument: str


def search(words: str) -> str:
    """The text of a search."""
    return f"{SEARCH}[{words}]"


def click(name: str) -> str:
    """The text of a click; the environment reads names in any case of letters and offers them in lower case."""
    return f"{CLICK}[{name}]"


def parse(text: str) -> Action | None:
    """The action that a text stands for; None if it has another form or another verb."""
    found = _ACTION.match(text)
    if found is None or found.group(1) not in (SEARCH, CLICK):
        return None
    return Action(found.group(1), found.group(2))


def is_meant(text: str) -> bool:
    """Whether a text begins as an action does, well formed or not."""
    return text.startswith((f"{SEARCH}[", f"{CLICK}["))


@functools.lru_cache(maxsize=1 << 16)
def can_be_clicked(name: str) -> bool:
    """Whether ``click[name]`` is read as a click on that name; the original refuses a click on ``search``."""
    return name != "search" and parse(click(name)) == Action(CLICK, name)


def is_query(text: str) -> bool:
    """Whether ``search[text]`` is read as a search for the whole text, and the text is not blank."""
    return bool(text.strip()) and not _NOT_IN_A_QUERY.search(text)


def as_query(text: str) -> str:
    """The text with blanks in the place of brackets and line breaks, so that all of it is searched for."""
    return _NOT_IN_A_QUERY.sub(" ", text)


BACK_TO_SEARCH, NEXT_PAGE, PREVIOUS = click("back to search"), click("next >"), click("< prev")
DESCRIPTION, FEATURES, REVIEWS = click("description"), click("features"), click("reviews")
BUY_NOW = click("buy now")

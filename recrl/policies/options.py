"""Products that can be opened, options that an instruction names, and the next click that sets one."""

import itertools
import re

from recrl.episodes.decisions import Decision
from recrl.webshop import actions
from recrl.webshop.pages import Page


def openable(decision: Decision) -> list[int]:
    """The places of the products that a click opens: not those named like a button, or in letters that no click has."""
    page, listing = decision.page, decision.page.listing
    names = [listed.asin.lower() for listed in listing]
    return [
        place
        for place, name in enumerate(names)
        if page.place_of(name) == place and actions.click(name) in decision.valid_actions
    ]


def named_options(instruction: str, page: Page) -> dict[str, str]:
    """For each group the longest value that stands in the instruction as whole words; others are left out."""
    text, named = instruction.lower(), {}
    for group, values in page.option_values.items():
        settable = [value for value in values if page.group_of(value) is not None]
        found = [value for value in settable if value and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)]
        if found:
            named[group] = max(found, key=len)
    return named


def next_option(decision: Decision, wanted: dict[str, str]) -> str | None:
    """The click on the first wanted option that was not clicked since the product was opened; None if all were.

    What was done since then are the latest actions that this page itself offers: opening a product is none of them.
    """
    clicked = set(itertools.takewhile(decision.valid_actions.__contains__, reversed(decision.previous_actions)))
    for value in wanted.values():
        action = actions.click(value)
        if action in decision.valid_actions and action not in clicked:
            return action
    return None

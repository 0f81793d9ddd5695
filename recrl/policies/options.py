"""Options that an instruction names, and the next click that sets one."""

import re

from recrl.policies.base import Decision
from recrl.webshop.reading import Page


def named_options(instruction: str, options: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """For each group the longest value that stands in the instruction as whole words; others are left out."""
    text, named = instruction.lower(), {}
    for group, values in options.items():
        found = [value for value in values if value and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)]
        if found:
            named[group] = max(found, key=len)
    return named


def next_option(page: Page, decision: Decision, wanted: dict[str, str]) -> str | None:
    """The click on the first wanted option that was not clicked since the product was opened; None if all were."""
    since = 0
    for place, action in enumerate(decision.previous_actions):
        if re.fullmatch(r"click\[b0[0-9a-z]{1,8}\]", action):
            since = place + 1
    clicked = decision.previous_actions[since:]
    for value in wanted.values():
        action = f"click[{value}]"
        if action in decision.valid_actions and action not in clicked:
            return action
    return None

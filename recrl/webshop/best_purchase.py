"""The best that can be bought when the goal is known: for demonstrations and ceilings, never for a learning policy."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from recrl.webshop import actions
from recrl.webshop.catalog import Product
from recrl.webshop.fuzzy import fuzzy_match
from recrl.webshop.goals import Goal
from recrl.webshop.pages import ITEM_BUTTONS
from recrl.webshop.reward import color_or_itself, purchase_reward


class _Setting(NamedTuple):
    """What can be done with a group of options.

    Attributes:
        group: its name.
        values: that match the same of the wanted options, so that any of them can be clicked; empty to click nothing.
        matched: which of the wanted options the group matches then.
    """

    group: str
    values: tuple[str, ...]
    matched: frozenset[int]


def best_options(product: Product, goal: Goal) -> dict[str, str]:
    """The options (group -> value) of the product that match most of the goal's; groups that add nothing are left out.

    Values that no click sets are passed over. Among equals the goal's own value comes first, then the page's order.
    """
    return {setting.group: setting.values[0] for setting in _best_ways(product, goal, {})[0] if setting.values}


def best_clicks(product: Product, goal: Goal, clicked: Mapping[str, str]) -> tuple[str, ...]:
    """The option values any of which is a right next click: the first of as few clicks as lead to the best purchase.

    The first of them is that of `best_options`; none is left when the product can be bought.

    Args:
        clicked: group -> value, as they are set now.
    """
    ways = _best_ways(product, goal, clicked)
    first = [setting.values[0] for setting in ways[0] if setting.values]
    others = [value for way in ways for setting in way for value in setting.values]
    return tuple(dict.fromkeys([*first, *others]))


def _best_ways(product: Product, goal: Goal, clicked: Mapping[str, str]) -> list[tuple[_Setting, ...]]:
    """All choices of one setting for each group that match most of the goal's options by as few clicks as possible."""
    wanted: list[str | tuple[str, str]] = list(
        goal.options.items() if isinstance(goal.options, Mapping) else goal.options
    )
    if not wanted:
        return [()]
    set_by = {value: group for group, values in product.options.items() for value in values}  # the later group wins
    by_group: list[list[_Setting]] = []
    for group, values in product.options.items():
        alike: dict[frozenset[int], list[str]] = {}
        settable = [value for value in values if can_be_chosen(value) and set_by[value] == group]
        for value in sorted(settable, key=lambda value: (group, value) not in wanted):
            alike.setdefault(_covered(value, wanted), []).append(value)
        kept = _covered(clicked[group], wanted) if group in clicked else frozenset()
        settings = [_Setting(group, tuple(found), matched) for matched, found in alike.items() if matched]
        by_group.append([*settings, _Setting(group, (), kept)])
    ways = list(itertools.product(*by_group))
    worth = [_worth(way) for way in ways]
    best = max(worth)
    return [way for way, one in zip(ways, worth, strict=True) if one == best]


def can_be_chosen(value: str) -> bool:
    """Whether a click can set an option to this value: not one named like a button, or in letters that no click has."""
    return bool(value) and actions.can_be_clicked(value) and value not in ITEM_BUTTONS


def _covered(value: str, wanted: list[str | tuple[str, str]]) -> frozenset[int]:
    """Which of the wanted options this value matches; see `recrl.webshop.reward.matched_options`."""
    chosen = color_or_itself(value)
    return frozenset(place for place, wish in enumerate(wanted) if fuzzy_match(chosen, color_or_itself(wish)))


def _worth(way: tuple[_Setting, ...]) -> tuple[int, int]:
    """Options matched, then as few clicks as possible."""
    matched: frozenset[int] = frozenset().union(*(setting.matched for setting in way))
    return len(matched), -sum(bool(setting.values) for setting in way)


def best_reward(product: Product, goal: Goal) -> float:
    """The reward of buying the product with its best options."""
    return purchase_reward(product, goal, best_options(product, goal), product.price)[0]

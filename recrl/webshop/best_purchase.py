"""The best that can be bought when the goal is known: for demonstrations and ceilings, never for a learning policy."""

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


_Way = tuple[_Setting, ...]  # a setting for each group


def best_options(product: Product, goal: Goal) -> dict[str, str]:
    """The options (group -> value) of the product that match most of the goal's; groups that add nothing are left out.

    Values that no click sets are passed over. Among equals the goal's own value comes first, then the page's order.
    """
    clicks = {setting.group: setting.values[0] for setting in _first(_best_ways(product, goal, {})) if setting.values}
    return {group: clicks[group] for group in product.options if group in clicks}


def best_clicks(product: Product, goal: Goal, clicked: Mapping[str, str]) -> tuple[str, ...]:
    """The option values any of which is a right next click: the first of as few clicks as lead to the best purchase.

    The first of them is that of `best_options`; none is left when the product can be bought.

    Args:
        clicked: group -> value, as they are set now.
    """
    parts = _best_ways(product, goal, clicked)
    places = {group: place for place, group in enumerate(product.options)}
    in_order = sorted(_first(parts), key=lambda setting: places[setting.group])
    first = [setting.values[0] for setting in in_order if setting.values]
    others = [value for ways in parts for way in ways for setting in way for value in setting.values]
    return tuple(dict.fromkeys([*first, *others]))


def _first(parts: list[list[_Way]]) -> _Way:
    """The first of the best ways, over all parts."""
    return tuple(setting for ways in parts for setting in ways[0])


def _best_ways(product: Product, goal: Goal, clicked: Mapping[str, str]) -> list[list[_Way]]:
    """The choices of one setting for each group that match most of the goal's options by as few clicks as possible.

    Groups that match none of the same options do not bear on each other; of each such part all its best choices are
    listed alone, because those of all groups together may be millions.
    """
    wanted: list[str | tuple[str, str]] = list(
        goal.options.items() if isinstance(goal.options, Mapping) else goal.options
    )
    if not wanted:
        return []
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
    return [_best_of_part(part) for part in _parts(by_group)]


def _parts(by_group: list[list[_Setting]]) -> list[list[list[_Setting]]]:
    """The groups' settings, those of groups that can match the same wanted option together."""
    parts: list[tuple[frozenset[int], list[list[_Setting]]]] = []
    for settings in by_group:
        reached = frozenset().union(*(setting.matched for setting in settings))
        joined = [part for part in parts if part[0] & reached]
        groups = [group for part in joined for group in part[1]] + [settings]
        parts = [part for part in parts if not part[0] & reached]
        parts.append((reached.union(*(part[0] for part in joined)), groups))
    return [groups for _, groups in parts]


def _best_of_part(groups: list[list[_Setting]]) -> list[_Way]:
    """Of groups that bear on each other the best choices, in the order of `itertools.product`: group by group those are
    kept that match what no other matches by fewer clicks.
    """
    ways: list[tuple[_Way, frozenset[int], int]] = [((), frozenset(), 0)]
    for settings in groups:
        longer = [
            ((*way, setting), matched | setting.matched, clicks + bool(setting.values))
            for way, matched, clicks in ways
            for setting in settings
        ]
        fewest: dict[frozenset[int], int] = {}
        for _, matched, clicks in longer:
            fewest[matched] = min(clicks, fewest.get(matched, clicks))
        ways = [one for one in longer if one[2] == fewest[one[1]]]
    best = max((len(matched), -clicks) for _, matched, clicks in ways)
    return [way for way, matched, clicks in ways if (len(matched), -clicks) == best]


def can_be_chosen(value: str) -> bool:
    """Whether a click can set an option to this value: not one named like a button, or in letters that no click has."""
    return bool(value) and actions.can_be_clicked(value) and value not in ITEM_BUTTONS


def _covered(value: str, wanted: list[str | tuple[str, str]]) -> frozenset[int]:
    """Which of the wanted options this value matches; see `recrl.webshop.reward.matched_options`."""
    chosen = color_or_itself(value)
    return frozenset(place for place, wish in enumerate(wanted) if fuzzy_match(chosen, color_or_itself(wish)))


def best_reward(product: Product, goal: Goal) -> float:
    """The reward of buying the product with its best options."""
    return purchase_reward(product, goal, best_options(product, goal), product.price)[0]

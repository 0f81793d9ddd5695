"""The best that can be bought when the goal is known: for demonstrations and ceilings, never for a learning policy."""

import itertools
from collections.abc import Mapping

from recrl.webshop import actions
from recrl.webshop.catalog import Product
from recrl.webshop.fuzzy import fuzzy_match
from recrl.webshop.goals import Goal
from recrl.webshop.pages import ITEM_BUTTONS
from recrl.webshop.reward import color_or_itself, purchase_reward


def best_options(product: Product, goal: Goal) -> dict[str, str]:
    """The options (group -> value) of the product that match most of the goal's; groups that add nothing are left out.

    Values that cannot be clicked are passed over. Among equals the goal's own value comes first, then the page's order.
    """
    wanted: list[str | tuple[str, str]] = list(
        goal.options.items() if isinstance(goal.options, Mapping) else goal.options
    )
    if not wanted:
        return {}
    by_group: list[list[tuple[frozenset[int], str, str]]] = []
    for group, values in product.options.items():
        cover: dict[frozenset[int], str] = {}
        for value in sorted(filter(can_be_chosen, values), key=lambda value: (group, value) not in wanted):
            cover.setdefault(_covered(value, wanted), value)
        by_group.append([(found, group, value) for found, value in cover.items()] + [(frozenset(), group, "")])
    best = max(itertools.product(*by_group), key=_coverage)
    return {group: value for found, group, value in best if found}


def can_be_chosen(value: str) -> bool:
    """Whether a click can set an option to this value: not one named like a button, or in letters that no click has."""
    return bool(value) and actions.can_be_clicked(value) and value not in ITEM_BUTTONS


def _covered(value: str, wanted: list[str | tuple[str, str]]) -> frozenset[int]:
    """Which of the wanted options this value matches; see `recrl.webshop.reward.matched_options`."""
    chosen = color_or_itself(value)
    return frozenset(place for place, wish in enumerate(wanted) if fuzzy_match(chosen, color_or_itself(wish)))


def _coverage(choice: tuple[tuple[frozenset[int], str, str], ...]) -> tuple[int, int]:
    """Options matched, then as few clicks as possible."""
    return len(frozenset().union(*(found for found, _, _ in choice))), -sum(bool(found) for found, _, _ in choice)


def best_reward(product: Product, goal: Goal) -> float:
    """The reward of buying the product with its best options."""
    return purchase_reward(product, goal, best_options(product, goal), product.price)[0]

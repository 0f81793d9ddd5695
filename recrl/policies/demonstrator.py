"""The demonstrator: it knows the goal, shows the way to the best purchase, and says what else would be as right."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.policies.base import Choice, deterministic
from recrl.policies.options import openable
from recrl.webshop import actions
from recrl.webshop.best_purchase import best_clicks, best_reward
from recrl.webshop.env import WebShopEnv

Item = TypeVar("Item")


class Demonstrator:
    """On every page the right actions, of which it takes the first.

    - search: the queries that find the goal's own product earliest;
    - results: the products of this page whose purchase can earn most, the goal's own first; the next page if there are
      none;
    - item: the options still to be set for the best purchase, in any order; when all are set, to buy.

    It can be asked on any page of an episode, so also about what another policy did.
    """

    name = "demonstrator"
    catalog_sha256 = None
    knows_goal = True

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        choices = []
        for decision in decisions:
            right = _right_actions(decision)
            choices.append(deterministic(decision, right[0], right))
        return choices


def _right_actions(decision: Decision) -> list[str]:
    """The right actions, first the one to take."""
    if not isinstance(decision.env, WebShopEnv):
        raise PolicyError("the demonstrator needs the hidden goal of a shop; use it in rollouts of WebShop only")
    page, catalog, goal = decision.page, decision.env.catalog, decision.env.goal
    if page.kind == "search":
        return _best(decision.valid_actions, [_found_by(action, decision) for action in decision.valid_actions])
    if page.kind == "results":
        products = [catalog.product(page.listing[place].asin) for place in openable(decision)]
        products.sort(key=lambda product: product.asin != goal.asin)
        best = _best(products, [best_reward(product, goal) for product in products])
        return [actions.click(product.asin.lower()) for product in best] or [actions.NEXT_PAGE]
    if page.kind == "sub":
        return [actions.PREVIOUS]
    state = decision.env.screen.state
    clicks = [actions.click(value) for value in best_clicks(catalog.product(state.asin), goal, state.options)]
    return clicks or [actions.BUY_NOW]


def _best(items: Sequence[Item], worth: Sequence[float]) -> list[Item]:
    """The items that are worth most, in their order."""
    most = max(worth, default=0.0)
    return [item for item, one in zip(items, worth, strict=True) if one == most]


def _found_by(action: str, decision: Decision) -> float:
    """How early a search finds the goal's own product: 1 at the first place, 0 not at all."""
    assert isinstance(decision.env, WebShopEnv)
    catalog, parsed = decision.env.catalog, actions.parse(action)
    assert parsed is not None  # what the environment offers can be read
    hits = catalog.search(parsed.argument.lower())
    wanted = catalog.position(decision.env.goal.asin)
    return 1 / (1 + hits.index(wanted)) if wanted in hits else 0.0

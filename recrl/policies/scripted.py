"""The scripted policies: what every learned one is measured against, and the demonstrator that it learns from.

All but the demonstrator know only what the pages show; they parse the instruction themselves. Each is a function from
a decision to an action's text; `ScriptedPolicy` makes a `recrl.policies.base.Policy` of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.policies.base import Choice, Policy, deterministic
from recrl.policies.checker import check
from recrl.policies.options import named_options, next_option, openable
from recrl.policies.planner import Planner, literal_judgement
from recrl.policies.reader import Reader
from recrl.webshop import actions
from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.prices import lowest_price, price_bound


@dataclass(frozen=True)
class ScriptedPolicy:
    """A deterministic policy made of one function; ``knows_goal``: whether that needs the hidden goal."""

    name: str
    choose: Callable[[Decision], str]
    knows_goal: bool = False
    catalog_sha256: str | None = None

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        return [deterministic(decision, self.choose(decision)) for decision in decisions]


class RandomPolicy:
    """Every valid action with equal probability, whether greedy or not: it has no best one."""

    name = "random"
    catalog_sha256 = None

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        return [
            Choice(int(rng.integers(len(decision.valid_actions))), -float(np.log(len(decision.valid_actions))))
            for decision, rng in zip(decisions, rngs, strict=True)
        ]


def scripted_policy(name: str, argument: str = "") -> Policy:
    """The scripted policy of that name; ``argument`` is the reader's number of products.

    Raises:
        PolicyError: the argument is no positive number, or the policy takes none.
    """
    if name == "reader":
        if argument and not (argument.isdigit() and int(argument) > 0):
            raise PolicyError(f"reader:{argument}: expected a positive number of products, such as reader:3")
        return ScriptedPolicy(f"reader:{argument}" if argument else "reader", Reader(int(argument or 10)).choose)
    if argument:
        raise PolicyError(f"{name}:{argument}: the policy {name!r} takes no argument")
    if name == "random":
        return RandomPolicy()
    choices = {
        "planner": Planner(literal_judgement).choose,
        "rule": _rule,
        "matching": _matching,
        "matching-price": _matching_price,
        "checker": check,
        "demonstrator": _demonstrate,
    }
    return ScriptedPolicy(name, choices[name], knows_goal=name == "demonstrator")


def _start(decision: Decision) -> str:
    """The first proposed query, which is the plain instruction."""
    return decision.valid_actions[0]


def _open(decision: Decision, places: Sequence[int]) -> str:
    """A click on the first of these product links; without any, on to the next page."""
    return actions.click(decision.page.listing[places[0]].asin.lower()) if places else actions.NEXT_PAGE


def _rule(decision: Decision) -> str:
    """First hit, buy."""
    if decision.page.kind == "search":
        return _start(decision)
    return _open(decision, openable(decision)) if decision.page.kind == "results" else actions.BUY_NOW


def _matching(decision: Decision) -> str:
    """First hit, the options that the instruction names, buy."""
    if decision.page.kind != "item":
        return _rule(decision)
    return next_option(decision, named_options(decision.instruction, decision.page)) or actions.BUY_NOW


def _matching_price(decision: Decision) -> str:
    """As matching, but the first hit whose price fits the instruction's bound; the first of all if none does."""
    page, bound = decision.page, price_bound(decision.instruction)
    if page.kind != "results" or bound is None:
        return _matching(decision)
    places = openable(decision)
    prices = [lowest_price(page.listing[place].price_tag) for place in places]
    fitting = [place for place, price in zip(places, prices, strict=True) if price is None or price <= bound]
    return _open(decision, fitting or places)


def _demonstrate(decision: Decision) -> str:
    """Knows the goal: the query that finds it first, the best product of the first page (the goal's own among equals)
    with its best options.
    """
    if decision.env is None:
        raise PolicyError("the demonstrator needs the environment's hidden goal; use it in rollouts only")
    catalog, goal = decision.env.catalog, decision.env.goal
    page = decision.page
    if page.kind == "search":
        return max(decision.valid_actions, key=lambda action: _found_by(action, decision))
    if page.kind == "results":

        def rank(place: int) -> tuple[float, bool]:
            product = catalog.product(page.listing[place].asin)
            return best_reward(product, goal), product.asin == goal.asin

        return _open(decision, sorted(openable(decision), key=rank, reverse=True))
    if page.kind != "item":
        return _rule(decision)
    product = catalog.product(decision.env.screen.state.asin)
    return next_option(decision, best_options(product, goal)) or actions.BUY_NOW


def _found_by(action: str, decision: Decision) -> float:
    """How early a search finds the goal's own product: 1 at the first place, 0 not at all."""
    assert decision.env is not None
    catalog, parsed = decision.env.catalog, actions.parse(action)
    assert parsed is not None  # what the environment offers can be read
    hits = catalog.search(parsed.argument.lower())
    wanted = catalog.position(decision.env.goal.asin)
    return 1 / (1 + hits.index(wanted)) if wanted in hits else 0.0

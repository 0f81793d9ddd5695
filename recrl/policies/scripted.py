"""The scripted policies: what every learned one is measured against, and the demonstrator that it learns from.

All but the demonstrator know only what the pages show; they parse the instruction themselves. Each is a function from
a decision to an action's text; `ScriptedPolicy` makes a `recrl.policies.base.Policy` of it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recrl.errors import PolicyError
from recrl.policies.base import Choice, Decision, Policy, deterministic
from recrl.policies.options import named_options, next_option
from recrl.policies.reader import Reader
from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.reading import Page, lowest_price, price_bound, read_page

BUY = "click[buy now]"


@dataclass(frozen=True)
class ScriptedPolicy:
    """A deterministic policy made of one function."""

    name: str
    choose: Callable[[Decision], str]
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
    choices = {"rule": _rule, "matching": _matching, "matching-price": _matching_price, "demonstrator": _demonstrate}
    return ScriptedPolicy(name, choices[name])


def _start(decision: Decision) -> str:
    """The first proposed query, which is the plain instruction."""
    return decision.valid_actions[0]


def _open(page: Page, decision: Decision, place: int) -> str:
    """A click on a product link; without any hit, on to the next page."""
    return f"click[{page.listing[place].asin.lower()}]" if page.listing else "click[next >]"


def _rule(decision: Decision) -> str:
    """First hit, buy."""
    page = read_page(decision.observation)
    if page.kind == "search":
        return _start(decision)
    return _open(page, decision, 0) if page.kind == "results" else BUY


def _matching(decision: Decision) -> str:
    """First hit, the options that the instruction names, buy."""
    page = read_page(decision.observation)
    if page.kind != "item":
        return _rule(decision)
    return next_option(page, decision, named_options(decision.instruction, page.options)) or BUY


def _matching_price(decision: Decision) -> str:
    """As matching, but the first hit whose price fits the instruction's bound; the first of all if none does."""
    page = read_page(decision.observation)
    bound = price_bound(page.instruction)
    if page.kind != "results" or bound is None:
        return _matching(decision)
    prices = [lowest_price(listed.price_tag) for listed in page.listing]
    fitting = [place for place, price in enumerate(prices) if price is None or price <= bound]
    return _open(page, decision, fitting[0] if fitting else 0)


def _demonstrate(decision: Decision) -> str:
    """Knows the goal: the query that finds it first, the best product of the first page (the goal's own among equals)
    with its best options.
    """
    if decision.env is None:
        raise PolicyError("the demonstrator needs the environment's hidden goal; use it in rollouts only")
    catalog, goal = decision.env.catalog, decision.env.goal
    page = read_page(decision.observation)
    if page.kind == "search":
        return max(decision.valid_actions, key=lambda action: _found_by(action, decision))
    if page.kind == "results" and page.listing:
        products = [catalog.product(listed.asin) for listed in page.listing]
        ranks = [(best_reward(product, goal), product.asin == goal.asin) for product in products]
        return _open(page, decision, ranks.index(max(ranks)))
    if page.kind != "item":
        return _rule(decision)
    opened = next(action for action in reversed(decision.previous_actions) if re.match(r"click\[b0", action))
    product = catalog.product(opened.removeprefix("click[").removesuffix("]").upper())
    return next_option(page, decision, best_options(product, goal)) or BUY


def _found_by(action: str, decision: Decision) -> float:
    """How early a search finds the goal's own product: 1 at the first place, 0 not at all."""
    assert decision.env is not None
    catalog = decision.env.catalog
    hits = catalog.search(action.removeprefix("search[").removesuffix("]").lower())
    wanted = catalog.position(decision.env.goal.asin)
    return 1 / (1 + hits.index(wanted)) if wanted in hits else 0.0

"""The scripted policies that know only what the pages show: what every learned one is measured against.

They parse the instruction themselves. Each is a function from a decision to an action's text; `ScriptedPolicy` makes a
`recrl.policies.base.Policy` of it. The demonstrator, which knows the goal, is in `recrl.policies.demonstrator`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.policies.base import Choice, Policy, deterministic
from recrl.policies.checker import check
from recrl.policies.demonstrator import Demonstrator
from recrl.policies.options import named_options, next_option, openable
from recrl.policies.planner import Planner, PlanningPolicy, literal_judgement
from recrl.policies.reader import Reader
from recrl.webshop import actions
from recrl.webshop.prices import lowest_price, price_bound


@dataclass(frozen=True)
class ScriptedPolicy:
    """A deterministic policy made of one function; ``remembers``: whether that keeps what it did in the memory."""

    name: str
    choose: Callable[[Decision], str]
    remembers: bool = False
    catalog_sha256: str | None = None

    needs_shop = True

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
        choices = []
        for decision, rng in zip(decisions, rngs, strict=True):
            count = len(decision.valid_actions)
            choices.append(
                Choice(
                    int(rng.integers(count)),
                    -float(np.log(count)),
                    probabilities=(1 / count,) * count,
                )
            )
        return choices


def scripted_policy(name: str, argument: str = "") -> Policy:
    """The scripted policy of that name; ``argument`` is the reader's number of products.

    Raises:
        PolicyError: the argument is no positive number, or the policy takes none.
    """
    if name == "reader":
        if argument and not (argument.isdigit() and int(argument) > 0):
            raise PolicyError(f"reader:{argument}: expected a positive number of products, such as reader:3")
        spec = f"reader:{argument}" if argument else "reader"
        return ScriptedPolicy(spec, Reader(int(argument or 10)).choose, remembers=True)
    if argument:
        raise PolicyError(f"{name}:{argument}: the policy {name!r} takes no argument")
    if name == "random":
        return RandomPolicy()
    if name == "demonstrator":
        return Demonstrator()
    if name == "planner":
        return PlanningPolicy(name, Planner(literal_judgement))
    choices = {
        "rule": _rule,
        "matching": _matching,
        "matching-price": _matching_price,
        "checker": check,
    }
    return ScriptedPolicy(name, choices[name])


def _start(decision: Decision) -> str:
    """The first proposed query, which is the plain instruction."""
    return decision.valid_actions[0]


def _open(decision: Decision, places: Sequence[int]) -> str:
    """A click on the first of these product links; without any, on to the next page, or back where there is none."""
    if places:
        return actions.click(decision.page.listing[places[0]].asin.lower())
    return actions.NEXT_PAGE if actions.NEXT_PAGE in decision.valid_actions else actions.BACK_TO_SEARCH


def _rule(decision: Decision) -> str:
    """First hit, buy; back from what it never opens itself."""
    if decision.page.kind == "search":
        return _start(decision)
    if decision.page.kind == "results":
        return _open(decision, openable(decision))
    return actions.PREVIOUS if decision.page.kind == "sub" else actions.BUY_NOW


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

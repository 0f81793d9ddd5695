"""The planner: looks where a look is worth its steps, then buys what is most likely right.

It knows its notes only, and a judgement: for each product seen, the probability that buying it is perfect. A look (the
page of a product, its features, its description, the next page of results) is taken to reveal with some probability
whether the product is perfect. With p the probability of the product looked at and a that of the best other, the
chance that the purchase is perfect then grows by

    reveal * (p + (1 - p) * a - max(p, a))

It takes the look with the greatest gain a step, as long as what it may want to buy afterwards can still be bought in
the steps that are left; where no look is worth its steps, it buys the most probable product. A step is worth less where
more of them are left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct
from recrl.episodes.training_goals import TrainedOn
from recrl.policies.base import Choice, deterministic
from recrl.policies.moves import (
    last_page,
    reachable,
    steps_from_results,
    steps_to_next_page,
    to_next_page,
    to_purchase,
    towards,
)
from recrl.scoring.evidence import match_features
from recrl.scoring.looks import is_at_hand, steps_to_buy, steps_to_open
from recrl.scoring.wishes import Wish, read_wish
from recrl.webshop import actions

Judgement = Callable[[Wish, Sequence[NotedProduct]], np.ndarray]  # products -> (products,) probabilities of perfection

# The judgement of the planner without a checkpoint: log-odds, set by hand near a logistic regression on training goals
# of the embedded and the 1,000-product catalogue.
BIAS = -6.0
LOG_ODDS = {
    "known_words": 4.5,
    "known_pairs": 1.5,
    "worst_run": 1.0,
    "groups_open": -5.0,
    "price_fits": 2.5,
    "lead": 3.0,
    "reciprocal_rank": 2.5,
    "opened": -1.0,
    "features_read": -0.75,
    "description_read": -0.5,
}


def literal_judgement(wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
    """(products,) probabilities from the literal words alone, by fixed log-odds."""
    logits = BIAS + match_features(wish, products, tuple(LOG_ODDS)) @ np.array(list(LOG_ODDS.values()))
    return 1 / (1 + np.exp(-logits))


@dataclass(frozen=True)
class PlannerSettings:
    """What the planner takes for granted.

    Attributes:
        reveal_page, reveal_features, reveal_description: how likely a look tells whether the product is perfect.
        next_page: the chance that the next page of results has a perfect product if no seen one is.
        least_gain: of a look, in probability, if all steps that are left gained as much as a step of it; below it the
            planner buys.
    """

    reveal_page: float = 0.8
    reveal_features: float = 0.4
    reveal_description: float = 0.2
    next_page: float = 0.03
    least_gain: float = 0.1


class Look(NamedTuple):
    """Something to look at: the product, None for the next page of results; the sub page, empty for the product's own;
    and the gain in probability, a step.
    """

    product: NotedProduct | None
    sub_page: str
    gain: float


@dataclass(frozen=True)
class Planner:
    """See the module's docstring."""

    judge: Judgement
    settings: PlannerSettings = PlannerSettings()

    def choose(self, decision: Decision) -> str:
        """The next action's text."""
        return self.right(decision)[0]

    def right(self, decision: Decision) -> list[str]:
        """The next actions that are equally right: options can be set in any order."""
        page, notes = decision.page, decision.notes
        if page.kind == "search":
            return [decision.valid_actions[0]]
        if page.kind == "sub":
            return [actions.PREVIOUS]
        wish = read_wish(decision.instruction)
        products = reachable(notes)
        if not products:
            return [actions.BUY_NOW if page.kind == "item" else actions.NEXT_PAGE]
        chances = np.asarray(self.judge(wish, products), np.float64)
        look = max(self._looks(decision, wish, products, chances), key=lambda look: look.gain, default=None)
        if look is None or look.gain * decision.steps_left <= self.settings.least_gain:
            return self._buy(decision, wish, products, chances)
        if look.product is None:
            return [to_next_page(notes)]
        return [actions.click(look.sub_page) if is_at_hand(notes, look.product) else towards(notes, look.product)]

    def _looks(
        self, decision: Decision, wish: Wish, products: Sequence[NotedProduct], chances: np.ndarray
    ) -> list[Look]:
        """The looks after which the best other product, and the one looked at, can still be bought."""
        notes, settings = decision.notes, self.settings
        found: list[Look] = []
        best, second = _two_best(chances)
        for place, product in enumerate(products):
            other = second if place == best else best
            beside = 0.0 if other is None else chances[other]
            gain = chances[place] + (1 - chances[place]) * beside - max(chances[place], beside)
            there = steps_to_open(notes, product)
            looks = [("", settings.reveal_page, there)] if product.options is None else []
            if product.options is not None:
                reveals = {"features": settings.reveal_features, "description": settings.reveal_description}
                looks = [(name, reveals[name], there + 2) for name in product.unread]
            for name, reveal, cost in looks:
                here = steps_to_buy(wish, notes, product) - there
                away = 0 if other is None else 1 + steps_from_results(wish, products[other], product.page_number)
                if cost + max(here, away) <= decision.steps_left:
                    found.append(Look(product, name, reveal * float(gain) / cost))
        if (turning := steps_to_next_page(notes, products)) is not None:
            chance = settings.reveal_page * settings.next_page * float(np.prod(1 - chances))
            away = steps_from_results(wish, products[best], last_page(products) + 1)
            if turning + away <= decision.steps_left:
                found.append(Look(None, "", chance * float(1 - chances[best]) / (turning + 1)))  # and its page after it
        return found

    def _buy(self, decision: Decision, wish: Wish, products: Sequence[NotedProduct], chances: np.ndarray) -> list[str]:
        """Towards the purchase of the most probable product that can still be bought; of any in the last steps."""
        notes, at_hand = decision.notes, decision.notes.product
        in_time = [
            place for place, product in enumerate(products) if steps_to_open(notes, product) + 1 <= decision.steps_left
        ]
        if not in_time:
            return [actions.BUY_NOW if at_hand is not None else towards(notes, products[int(chances.argmax())])]
        return to_purchase(decision, wish, products[max(in_time, key=lambda place: chances[place])])


def _two_best(chances: np.ndarray) -> tuple[int, int | None]:
    """The places of the greatest and of the second; None if there is no second."""
    order = np.argsort(-chances, kind="stable")
    return int(order[0]), int(order[1]) if len(order) > 1 else None


@dataclass(frozen=True)
class PlanningPolicy:
    """A planner as a `recrl.policies.base.Policy`, which says where several actions are equally right.

    Attributes:
        name: what reports and datasets call it.
        catalog_sha256, trained_on: of a judgement that was trained.
    """

    name: str
    planner: Planner
    catalog_sha256: str | None = None
    trained_on: TrainedOn = ()

    needs_shop = True

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """The planner's choice for each decision; nothing is drawn."""
        choices = []
        for decision in decisions:
            first, *others = right = self.planner.right(decision)
            choice = deterministic(decision, first)
            if others:
                choice = replace(choice, right_actions=tuple(map(decision.valid_actions.index, right)))
            choices.append(choice)
        return choices

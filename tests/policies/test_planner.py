"""The planner and the checker: valid and in time whatever the goal and the limit, and blind to what is hidden."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.data import Episode
from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct, Notes
from recrl.policies import load_policy
from recrl.policies.base import Choice
from recrl.policies.moves import reachable
from recrl.policies.planner import Planner, literal_judgement
from recrl.policies.scripted import ScriptedPolicy
from recrl.rollouts.rollout import rollout
from recrl.scoring.evidence import match_features
from recrl.scoring.wishes import Wish, read_wish
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import Goal

RULES = ("checker", "planner")
SHOWN = ("instruction", "instruction_without_price")  # of a goal; all else is hidden


@pytest.fixture(scope="module", params=["template", "reworded"])
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return load_catalog(wording=request.param)


def play(policy: Any, catalog: Catalog, goal_index: int, max_steps: int) -> Episode:
    [episode] = rollout(policy, catalog, [goal_index], seed=0, max_steps=max_steps)
    return episode


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40, deadline=None)
@given(goal_index=st.integers(0, 4644), max_steps=st.integers(1, 60))
def test_it_buys_in_time(catalog: Catalog, name: str, goal_index: int, max_steps: int) -> None:
    """An invalid action would raise; search, link and purchase are the least that a purchase takes."""
    episode = play(load_policy(name), catalog, goal_index, max_steps)
    assert episode.terminated == (max_steps >= 3)
    assert len(episode.steps) <= max_steps


@settings(max_examples=40, deadline=None)
@given(goal_index=st.integers(0, 4644), seed=st.integers(0, 2**31), max_steps=st.integers(3, 40))
def test_the_planner_buys_in_time_whatever_it_believes(
    catalog: Catalog, goal_index: int, seed: int, max_steps: int
) -> None:
    rng = np.random.default_rng(seed)

    def believe(wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
        return rng.random(len(products)) ** 3

    assert play(ScriptedPolicy("believer", Planner(believe).choose), catalog, goal_index, max_steps).terminated


def looks_of(episode: Episode) -> int:
    """Products opened and sub pages read."""
    kinds = [step.page.kind for step in episode.steps]
    return sum(after in ("item", "sub") and after != before for before, after in itertools.pairwise(kinds))


def test_the_planner_looks_where_all_seem_equal_and_buys_where_it_is_sure() -> None:
    catalog = load_catalog()

    def equal(wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
        return np.full(len(products), 0.3)

    def sure(wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
        return np.array([float(product.rank == 0) for product in products])

    curious = play(ScriptedPolicy("equal", Planner(equal).choose), catalog, 0, 40)
    decided = play(ScriptedPolicy("sure", Planner(sure).choose), catalog, 0, 40)
    assert looks_of(curious) > 5
    assert looks_of(decided) == 1
    assert {step.action for step in decided.steps}.isdisjoint({"click[< prev]", "click[features]"})


class Recording:
    """A rule that keeps what it was given."""

    catalog_sha256 = None

    def __init__(self, name: str) -> None:
        self.name, self.seen = name, []  # type: ignore[var-annotated]
        self.rule = load_policy(name)

    def act(self, decisions: Sequence[Decision], rngs: Any, *, greedy: bool = False) -> list[Choice]:
        self.seen += decisions
        return self.rule.act(decisions, rngs, greedy=greedy)


@pytest.mark.parametrize("name", RULES)
def test_nothing_hidden_reaches_notes_evidence_or_choice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the same instruction any other goal: everything up to the purchase is the same."""
    catalog = load_catalog()
    own = WebShopEnv.goal.fget
    assert own is not None

    def exchanged(env: WebShopEnv) -> Goal:
        goal = own(env)
        return replace(catalog.goals[4000], **{name: getattr(goal, name) for name in SHOWN})

    plain, blind = Recording(name), Recording(name)
    before = [play(plain, catalog, index, 20) for index in range(0, 60, 6)]
    monkeypatch.setattr(WebShopEnv, "goal", property(exchanged))
    after = [play(blind, catalog, index, 20) for index in range(0, 60, 6)]
    assert [episode.reward for episode in before] != [episode.reward for episode in after]  # it was exchanged
    assert [[step.action for step in episode.steps] for episode in before] == [
        [step.action for step in episode.steps] for episode in after
    ]
    for one, other in zip(plain.seen, blind.seen, strict=True):
        assert one.notes == other.notes
        wish = read_wish(one.instruction)
        np.testing.assert_array_equal(
            match_features(wish, one.notes.products), match_features(wish, other.notes.products)
        )


def test_literal_probabilities_follow_the_words() -> None:
    wish = read_wish("red hiking boots under $20")
    fits, other, dear = (
        NotedProduct("B1", "red hiking boots", "$15.0", 1, 0),
        NotedProduct("B2", "blue sandals", "$15.0", 1, 1),
        NotedProduct("B3", "red hiking boots", "$150.0", 1, 2),
    )
    chances = literal_judgement(wish, [fits, other, dear])
    assert chances[0] > chances[2] > chances[1]
    assert ((chances > 0) & (chances < 1)).all()


def noted(asin: str, rank: int, **fields: Any) -> NotedProduct:
    return NotedProduct(asin, "boots", "$15.0", rank // 10 + 1, rank % 10, **fields)


def test_only_products_that_a_click_opens_are_reachable() -> None:
    names = ("B1", "< PREV", "A]B[C", "b1", "B2")
    products = tuple(noted(name, rank) for rank, name in enumerate(names))
    assert [product.asin for product in reachable(Notes(products=products))] == ["B1", "B2"]

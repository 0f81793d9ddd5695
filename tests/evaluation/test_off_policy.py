"""Estimates from a log: exact in a game whose values are known, and held by what is played in the shop."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from recrl.environments.gym_task import GymTask
from recrl.episodes.data import Episode
from recrl.errors import DatasetError, PolicyError
from recrl.evaluation.off_policy import cumulative_weights, estimate_from_log, importance_sampling
from recrl.evaluation.statistics import mean_interval
from recrl.policies.base import Choice
from recrl.policies.loading import load_policy
from recrl.policies.scorer import ScorerPolicy
from recrl.rollouts.collecting import generate_trajectories, goal_stream
from recrl.rollouts.config import TrajectoryConfig
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog
from recrl.webshop.spaces import UnicodeText

REWARDS = {("stop",): 0.4, ("go", "left"): 1.0, ("go", "right"): 0.0}
LOGGED = {"stop": 0.5, "go": 0.5, "left": 0.5, "right": 0.5}
TARGET = {"stop": 0.2, "go": 0.8, "left": 0.75, "right": 0.25}
SCORE, SUCCESS = 0.2 * 0.4 + 0.8 * 0.75, 0.8 * 0.75  # of the target


class Fork(gym.Env[str, str]):
    """Stop for a little, or go on and turn left for all or right for nothing."""

    observation_space, action_space = UnicodeText(), UnicodeText()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        self.taken: tuple[str, ...] = ()
        return "a road", {"valid_actions": ("stop", "go")}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.taken = (*self.taken, action)
        ended = self.taken in REWARDS
        return (
            "a fork",
            REWARDS.get(self.taken, 0.0),
            ended,
            False,
            {"valid_actions": () if ended else ("left", "right")},
        )


class Drawing:
    """Draws by given probabilities, or follows a plan and says by which it would have drawn."""

    name, catalog_sha256 = "drawing", None

    def __init__(self, chances: dict[str, float], plans: Sequence[Sequence[str]] = ()) -> None:
        self.chances, self.plans = chances, plans

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
        choices = []
        for decision, rng in zip(decisions, rngs, strict=True):
            probabilities = [self.chances[action] for action in decision.valid_actions]
            taken = int(rng.choice(2, p=probabilities))
            if self.plans:
                plan = self.plans[decision.env.goal_index]
                taken = decision.valid_actions.index(plan[len(decision.previous_actions)])
            choices.append(Choice(taken, float(np.log(probabilities[taken])), probabilities=tuple(probabilities)))
        return choices

    @property
    def knows_goal(self) -> bool:
        return bool(self.plans)


PLANS = [("stop",), ("stop",), ("go", "left"), ("go", "right")]  # each as often as its probability says
TASK = GymTask("fork", Fork, len(PLANS))


@pytest.fixture(scope="module")
def fork() -> list[Episode]:
    return list(rollout(Drawing(LOGGED, PLANS), TASK, range(len(PLANS)), seed=0))


def test_every_estimator_is_exact_on_a_log_that_holds_each_way_as_often_as_it_is_probable(fork: list[Episode]) -> None:
    found = estimate_from_log(Drawing(TARGET), fork, TASK)
    rates = (found.score, found.score_per_decision, found.success_rate, found.success_rate_per_decision)
    assert [one.value for one in rates] == pytest.approx([100 * SCORE, 100 * SCORE, 100 * SUCCESS, 100 * SUCCESS])
    assert (found.unbiased_score, found.unbiased_success_rate) == pytest.approx((100 * SCORE, 100 * SUCCESS))
    weights = np.array([0.4, 0.4, 2.4, 0.8])
    assert found.effective_episodes == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.largest_share == pytest.approx(2.4 / 4)
    assert (found.logged_score, found.logged_success_rate, found.unsupported) == (pytest.approx(45), 25, 0)
    assert all(0 <= one.interval[0] <= one.value <= one.interval[1] <= 100 for one in rates)


def test_the_self_normalised_estimates_differ_where_the_log_is_not_in_proportion(fork: list[Episode]) -> None:
    """Of "stop" and "go left" alone: w = 0.4 and 2.4; after the first step w_1 = 0.4 and 1.6."""
    found = estimate_from_log(Drawing(TARGET), [fork[0], fork[2]], TASK)
    assert found.score.value == pytest.approx(100 * (0.4 * 0.4 + 2.4) / 2.8)
    assert found.score_per_decision.value == pytest.approx(100 * (0.4 * 0.4 / 2.0 + 2.4 / 2.8))
    assert found.unbiased_score == pytest.approx(100 * (0.4 * 0.4 + 2.4) / 2)


def test_importance_sampling_is_unbiased_over_all_logs() -> None:
    """The expectation over every way of the logging policy is the target's value."""
    ways = {way: np.prod([LOGGED[action] for action in way]) for way in REWARDS}
    ratios = [np.log([TARGET[action] / LOGGED[action] for action in way]) for way in ways]
    weights = cumulative_weights(ratios)
    np.testing.assert_allclose(weights, [[0.4, 0.4], [1.6, 2.4], [1.6, 0.8]])
    rewards = np.array([[0.4, 0], [0, 1], [0, 0]])
    expected = sum(
        chance * importance_sampling(weights[[place]], rewards[[place]]) for place, chance in enumerate(ways.values())
    )
    assert expected == pytest.approx(SCORE)


@pytest.mark.slow
def test_the_intervals_hold_the_truth_of_the_game() -> None:
    """100 logs of 60 episodes, always the same ones: of 95% intervals most hold the value of the target."""
    task = GymTask("fork", Fork, 60)
    held = []
    for seed in range(100):
        log = list(rollout(Drawing(LOGGED), task, range(60), seed=seed, batch_size=60))
        low, high = estimate_from_log(Drawing(TARGET), log, task).success_rate.interval
        held.append(low <= 100 * SUCCESS <= high)
    assert np.mean(held) >= 0.92


class Exploring:
    """A rule, but for a share of the time in which it takes any valid action."""

    name, catalog_sha256 = "exploring", None

    def __init__(self, share: float) -> None:
        self.rule, self.share = load_policy("matching"), share

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
        choices = []
        for decision, choice, rng in zip(decisions, self.rule.act(decisions, rngs), rngs, strict=True):
            chances = np.full(len(decision.valid_actions), self.share / len(decision.valid_actions))
            chances[choice.action_index] += 1 - self.share
            taken = int(rng.choice(len(chances), p=chances))
            choices.append(Choice(taken, min(0.0, float(np.log(chances[taken]))), probabilities=tuple(chances)))
        return choices


GOALS = list(itertools.islice(goal_stream(load_catalog(), "train", "product", 0), 200))


@pytest.fixture(scope="module")
def log() -> list[Episode]:
    return list(rollout(Exploring(0.4), load_catalog(), GOALS, seed=3, exact_probabilities=True))


def test_what_is_played_in_the_shop_lies_in_the_intervals(log: list[Episode]) -> None:
    """An interval of 95% misses now and then, also here with the log of seed 0: this is one log in which they hold, and
    a sign of gross errors alone. How often they hold is tested on the game whose answer is known.

    What a policy that draws earns is known from several plays only.
    """
    for target, plays in ((load_policy("matching"), 1), (load_policy("matching-price"), 1), (Exploring(0.2), 2)):
        played = [e for seed in range(plays) for e in rollout(target, load_catalog(), GOALS, seed=seed)]
        success = 100 * np.mean([episode.success for episode in played])
        score = 100 * np.mean([episode.reward for episode in played])
        found = estimate_from_log(target, log, load_catalog())
        for one in (found.success_rate, found.success_rate_per_decision):
            assert one.interval[0] <= success <= one.interval[1], target.name
        for one in (found.score, found.score_per_decision):
            assert one.interval[0] <= score <= one.interval[1], target.name
        assert found.unsupported == 0
        assert found.effective_episodes > 20


def test_of_its_own_writer_a_log_says_what_it_earned(log: list[Episode]) -> None:
    found = estimate_from_log(Exploring(0.4), log, load_catalog())
    assert found.effective_episodes == pytest.approx(len(log))
    assert found.success_rate.value == pytest.approx(found.logged_success_rate)
    products = [episode.target_asin for episode in log]
    expected = mean_interval([float(episode.success) for episode in log], products)
    assert found.success_rate.interval == pytest.approx([100 * end for end in expected])


def test_a_scorer_is_asked_as_it_samples(tiny_scorer: Path) -> None:
    policy = ScorerPolicy.from_pretrained(str(tiny_scorer))
    played = list(rollout(policy, load_catalog(), GOALS[:12], seed=0, exact_probabilities=True))
    found = estimate_from_log(policy, played, load_catalog(), allow_seen_goals=True)
    assert found.effective_episodes == pytest.approx(12)
    hotter = ScorerPolicy.from_pretrained(str(tiny_scorer), temperature=2.0)
    assert estimate_from_log(hotter, played, load_catalog(), allow_seen_goals=True).effective_episodes < 12


def test_what_a_log_cannot_tell_is_said(log: list[Episode], tiny_scorer: Path) -> None:
    deterministic = list(rollout(load_policy("matching"), load_catalog(), GOALS[:5], seed=0))
    found = estimate_from_log(Exploring(0.4), deterministic, load_catalog())
    assert found.unsupported is not None
    assert found.unsupported > 0.2  # a share of 0.4 goes by chance to actions that the rule never takes
    with pytest.raises(DatasetError, match="'reader' would have played none of the 5 episodes"):
        estimate_from_log(load_policy("reader"), deterministic, load_catalog())
    with pytest.raises(DatasetError, match="holds no episodes"):
        estimate_from_log(Exploring(0.4), [], load_catalog())
    step = replace(log[0].steps[0], log_prob=None)
    people = [replace(log[0], steps=(step, *log[0].steps[1:]))]
    with pytest.raises(DatasetError, match="1 actions of unknown probability"):
        estimate_from_log(Exploring(0.4), people, load_catalog())
    with pytest.raises(DatasetError, match="other goals than the catalogue's: embedded-unseen"):
        estimate_from_log(Exploring(0.4), log, TASK)
    with pytest.raises(PolicyError, match="knows the goal"):
        estimate_from_log(load_policy("demonstrator"), log, load_catalog())
    guarded = ScorerPolicy.from_pretrained(str(tiny_scorer), loop_guard=True)
    with pytest.raises(PolicyError, match="has a loop guard"):
        estimate_from_log(guarded, log, load_catalog())

    class Secretive(Exploring):
        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
            return [replace(choice, probabilities=()) for choice in super().act(decisions, rngs)]

    with pytest.raises(PolicyError, match="without the probabilities of all actions"):
        estimate_from_log(Secretive(0.4), log, load_catalog())


def test_a_log_that_was_selected_is_refused(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"policy": "random", "num_trajectories": 8, "seed": 1}
    chosen, whole = str(tmp_path / "chosen"), str(tmp_path / "whole")
    generate_trajectories(TrajectoryConfig(output_dir=chosen, min_reward=0.1, **settings))
    with pytest.raises(DatasetError, match=r"min_reward=0\.1 and prune=True.*generate-trajectories --log"):
        estimate_from_log(load_policy("rule"), chosen, load_catalog())
    summary = generate_trajectories(TrajectoryConfig(output_dir=whole, log=True, **settings))
    assert summary["num_episodes"] == summary["num_trajectories"] == 8
    found = estimate_from_log(load_policy("random"), whole, load_catalog())
    assert found.effective_episodes == pytest.approx(8)

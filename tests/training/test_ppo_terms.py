"""The terms of PPO against closed forms and plain loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_shop import ONE_PAGE, ToyShop, run, shop_of

from recrl.training.ppo.advantages import explained_variance, generalized_advantages, goal_baselines, normalized
from recrl.training.ppo.collector import Collector
from recrl.training.ppo.losses import (
    categorical_kl,
    clipped_policy_loss,
    clipped_value_loss,
    entropies,
    relative_entropies,
)


def test_advantages_in_closed_form() -> None:
    """Three steps of one environment: the second terminates, the third is truncated with a value of 5 after it."""
    rewards, values = np.array([[1.0], [2.0], [3.0]]), np.array([[0.5], [0.25], [4.0]])
    found = generalized_advantages(
        rewards, values, np.array([[0.25], [99.0], [5.0]]), np.array([[False], [True], [False]]),
        np.array([[False], [False], [True]]), gamma=0.9, gae_lambda=0.8,
    )  # fmt: skip
    second, third = 2 - 0.25, 3 + 0.9 * 5 - 4
    first = 1 + 0.9 * 0.25 - 0.5 + 0.9 * 0.8 * second
    assert found[:, 0].tolist() == pytest.approx([first, second, third])


@pytest.mark.parametrize("bootstrap", [False, True])
def test_the_step_limit_is_an_end_that_pays_nothing(bootstrap: bool) -> None:
    """Fifteen useless clicks at V = 0.7: the last lacks 0.7 of its value; with bootstrapping none lacks anything."""
    shop = ToyShop([("red", "blue")] * 99, [None], 0, max_steps=15)
    collector = Collector([shop], [np.random.default_rng(0)], bootstrap_at_limit=bootstrap)
    buffer, [episode] = collector.collect(15, lambda pages: [(np.log([0.5, 0.5]), 0.7) for _ in pages])
    assert episode.truncated
    buffer.finish(gamma=1.0, gae_lambda=0.95)
    expected = [0.0 if bootstrap else -0.7 * 0.95 ** (14 - step) for step in range(15)]
    assert buffer.advantages[:, 0].tolist() == pytest.approx(expected)
    assert buffer.returns[:, 0].tolist() == pytest.approx([0.7 + advantage for advantage in expected])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 8), gamma=st.floats(0.1, 1), gae_lambda=st.floats(0, 1))
def test_advantages_equal_the_plain_sum(seed: int, steps: int, gamma: float, gae_lambda: float) -> None:
    """A_t is the sum of (gamma lambda)^k delta_(t+k) up to the end of the episode."""
    rng = np.random.default_rng(seed)
    rewards, values, after = rng.normal(size=(3, steps, 2))
    ends = rng.integers(0, 4, (steps, 2))  # 1: terminated, 2: truncated
    found = generalized_advantages(rewards, values, after, ends == 1, ends == 2, gamma=gamma, gae_lambda=gae_lambda)
    for env in range(2):
        for start in range(steps):
            total, weight = 0.0, 1.0
            for step in range(start, steps):
                alive = 0.0 if ends[step, env] == 1 else 1.0
                total += weight * (rewards[step, env] + gamma * alive * after[step, env] - values[step, env])
                if ends[step, env] in (1, 2):
                    break
                weight *= gamma * gae_lambda
            assert found[start, env] == pytest.approx(total, abs=1e-9)


def test_goal_baselines_in_closed_form() -> None:
    """Two groups of two environments. In the first, goal 7 begins in both at once and once more later; in the second,
    the goals differ, and one episode goes on from an earlier collection."""
    advantages = np.arange(12, dtype=float).reshape(3, 4)
    begins = np.array([[True, True, True, False], [False, True, False, True], [True, False, False, False]])
    goals = np.array([[7, 7, 1, 7], [7, 5, 1, 2], [7, 5, 1, 2]])
    found = goal_baselines(advantages, begins, goals, 2)
    # goal 7 in the first group: first steps' advantages 0 (two steps long), 1 (one step), 8 (one step)
    assert found[:, 0].tolist() == [4.5, 4.5, 0.5]
    assert found[:, 1].tolist() == [4.0, 0.0, 0.0]
    assert not found[:, 2:].any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 8), group=st.sampled_from([1, 2, 4]))
def test_goal_baselines_equal_the_plain_mean(seed: int, steps: int, group: int) -> None:
    """Each step's baseline is the mean over the goal's other episodes of the group, and no step of one episode
    depends on that episode itself.
    """
    rng = np.random.default_rng(seed)
    advantages, begins = rng.normal(size=(steps, 4)), rng.random((steps, 4)) < 0.4
    drawn = rng.integers(0, 2, (steps, 4))
    goals = np.zeros((steps, 4), int)
    for env in range(4):
        for step in range(steps):
            goes_on = step > 0 and not begins[step, env]
            goals[step, env] = goals[step - 1, env] if goes_on else drawn[step, env]
    found = goal_baselines(advantages, begins, goals, group)
    for env in range(4):
        for step in range(steps):
            begun = [at for at in range(step + 1) if begins[at, env]]
            others = [
                advantages[at, other]
                for other in range(env // group * group, env // group * group + group)
                for at in range(steps)
                if begun
                and begins[at, other]
                and goals[at, other] == goals[step, env]
                and (at, other) != (begun[-1], env)
            ]
            assert found[step, env] == pytest.approx(np.mean(others) if others else 0.0, abs=1e-9)


def test_episodes_of_a_goal_are_a_baseline_for_one_another(tiny_scorer: Path, tmp_path: Path) -> None:
    """What the values miss of a goal does not reach its advantages: they are 0 where both episodes end alike."""
    shops = [ToyShop(*ONE_PAGE, number) for number in range(2)]
    collector = Collector(shops, [np.random.default_rng(number) for number in range(2)])
    buffer, _ = collector.collect(40, lambda pages: [(np.log(np.full(4, 0.25)), 0.5) for _ in pages])
    buffer.finish(1.0, 0.95, envs_per_goal=2)
    assert buffer.begins.all()  # episodes of one step
    mean = buffer.rewards.mean()
    assert buffer.advantages == pytest.approx((buffer.rewards - mean) * 80 / 79)  # the leave-one-out mean
    assert buffer.returns == pytest.approx(buffer.rewards)  # the values are fitted as without
    log, _ = run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", envs_per_goal=2)
    assert log[-1]["episode/success"] > 95


def test_explained_variance_in_closed_form() -> None:
    targets = np.array([0.0, 1.0, 2.0])
    assert explained_variance(targets, targets) == 1
    assert explained_variance(np.full(3, 7.0), targets) == 0
    assert math.isnan(explained_variance(targets, np.ones(3)))


def test_normalised_advantages_in_closed_form() -> None:
    advantages = np.array([[1.0, 100.0], [3.0, 5.0]])
    choices = np.array([1.0, 3.0])  # mean 2, deviation 1
    np.testing.assert_allclose(normalized(advantages, choices), [[-1, 98], [1, 3]], atol=1e-5)
    assert normalized(advantages, np.array([])).tolist() == advantages.tolist()


def test_relative_entropies_are_1_where_all_actions_are_alike() -> None:
    probabilities = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert relative_entropies(probabilities.log()).tolist() == pytest.approx([1, 1, 0])


def test_the_losses_and_their_gradients_equal_plain_loops() -> None:
    """Every branch of both clips occurs."""
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.normal(size=(40, 5)), requires_grad=True)
    values = torch.tensor(rng.normal(size=40), requires_grad=True)
    mask = torch.tensor(rng.random((40, 5)) < 0.7)
    mask[:, 0] = True
    taken = torch.tensor([int(rng.choice(np.flatnonzero(row))) for row in mask.numpy()])
    log_probs = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)
    old_all = torch.tensor(rng.normal(size=(40, 5))).masked_fill(~mask, -torch.inf).log_softmax(-1)
    old, advantages = old_all.gather(1, taken[:, None])[:, 0], torch.tensor(rng.normal(size=40))
    old_values, returns = torch.tensor(rng.normal(size=40)), torch.tensor(rng.normal(size=40))

    new = log_probs.gather(1, taken[:, None])[:, 0]
    ours = (
        clipped_policy_loss(new, old, advantages, 0.2)
        + clipped_value_loss(values, old_values, returns, 0.3)
        + 0.1 * categorical_kl(log_probs, old_all)
        - 0.2 * entropies(log_probs)
    )
    gradients = torch.autograd.grad(ours.mean(), [scores, values])

    total = torch.zeros(())
    for row in range(40):
        there = [place for place in range(5) if mask[row, place]]
        logs = scores[row, there] - torch.logsumexp(scores[row, there], 0)
        at = there.index(int(taken[row]))
        ratio = torch.exp(logs[at] - old[row])
        limited = min(max(ratio, torch.tensor(0.8)), torch.tensor(1.2))
        policy = -min(ratio * advantages[row], limited * advantages[row])
        change = min(max(values[row] - old_values[row], torch.tensor(-0.3)), torch.tensor(0.3))
        value = 0.5 * max((values[row] - returns[row]) ** 2, (old_values[row] + change - returns[row]) ** 2)
        kl = sum(torch.exp(log) * (log - old_all[row, place]) for log, place in zip(logs, there, strict=True))
        entropy = -sum(torch.exp(log) * log for log in logs)
        assert ours[row].item() == pytest.approx((policy + value + 0.1 * kl - 0.2 * entropy).item())
        total = total + (policy + value + 0.1 * kl - 0.2 * entropy) / 40
    for found, expected in zip(gradients, torch.autograd.grad(total, [scores, values]), strict=True):
        torch.testing.assert_close(found, expected)

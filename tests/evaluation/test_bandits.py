"""Thompson's rule and estimates under it: closed forms, and a simulation with known arms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import ConfigError
from recrl.evaluation.bandits import adaptive_estimate, allotment, probability_best


def test_two_arms_in_closed_form() -> None:
    """P(X > Y) for X ~ Beta(2, 1), Y ~ Beta(1, 1): the mean of X, 2/3; and 1/2 for equal arms."""
    assert probability_best(np.array([2, 1]), np.array([1, 1])) == pytest.approx([2 / 3, 1 / 3], abs=1e-6)
    assert probability_best(np.array([7, 7, 7]), np.array([3, 3, 3])) == pytest.approx([1 / 3] * 3)
    assert allotment(np.array([2, 1]), np.array([1, 1]), 0.3) == pytest.approx(
        [0.7 * 2 / 3 + 0.15, 0.7 / 3 + 0.15], abs=1e-6
    )
    with pytest.raises(ConfigError, match=r"exploration=1\.5"):
        allotment(np.ones(2), np.ones(2), 1.5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(parameters=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=2, max_size=5))
def test_probabilities_equal_draws_from_the_posterior(parameters: list[tuple[int, int]]) -> None:
    alpha, beta = (np.array(column) for column in zip(*parameters, strict=True))
    drawn = np.random.default_rng(0).beta(alpha, beta, size=(40_000, len(alpha))).argmax(1)
    shares = np.bincount(drawn, minlength=len(alpha)) / 40_000
    assert probability_best(alpha, beta) == pytest.approx(shares, abs=0.012)  # 5 standard errors


def test_an_estimate_in_closed_form() -> None:
    """Two rounds of two episodes; arm 0 has probabilities 1/2, then 4/5."""
    arms, outcomes, chance = [0, 1, 0, 0], [1.0, 0.0, 0.0, 1.0], np.array([0.5, 0.5, 0.8, 0.8])
    guess = [0.5, 0.5, 0.75, 0.75]
    scores = [0.5 + (1 - 0.5) / 0.5, 0.5, 0.75 + (0 - 0.75) / 0.8, 0.75 + (1 - 0.75) / 0.8]
    expected = np.mean(scores)
    error = np.std(scores, ddof=1) / 2
    found = adaptive_estimate(0, arms, outcomes, chance, [0, 0, 1, 1])
    assert found == pytest.approx((expected, expected - 1.959964 * error, expected + 1.959964 * error), abs=1e-6)
    assert guess[2] == (1 + 0.5) / (1 + 1)


@pytest.mark.slow
def test_in_simulation_the_naive_mean_is_biased_and_ours_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """2,500 runs of 50 rounds of 20 episodes with arms of 0.3, 0.45 and 0.5: bias, coverage, and who is played."""
    truth, runs, rounds, size = np.array([0.3, 0.45, 0.5]), 2500, 50, 20
    rng = np.random.default_rng(0)
    alpha, beta = np.ones((runs, 3)), np.ones((runs, 3))
    arms = np.empty((runs, rounds * size), np.int64)
    outcomes, chances = np.empty((runs, rounds * size)), np.empty((runs, rounds * size, 3))
    for turn in range(rounds):
        chance = allotment(alpha, beta, 0.2)  # (runs, arms)
        cumulative = chance.cumsum(1)
        places = slice(turn * size, (turn + 1) * size)
        drawn = (rng.random((runs, size, 1)) > cumulative[:, None]).sum(-1).clip(max=2)
        won = rng.random((runs, size)) < truth[drawn]
        arms[:, places], outcomes[:, places], chances[:, places] = drawn, won, chance[:, None]
        for arm in range(3):
            alpha[:, arm] += (won & (drawn == arm)).sum(1)
            beta[:, arm] += (~won & (drawn == arm)).sum(1)
    which = np.repeat(np.arange(rounds), size)
    naive = np.array([[outcomes[run][arms[run] == arm].mean() for arm in range(3)] for run in range(runs)])
    ours = np.array(
        [[adaptive_estimate(arm, arms[run], outcomes[run], chances[run, :, arm], which) for arm in range(3)]
         for run in range(runs)]
    )  # fmt: skip
    naive_bias, bias = naive.mean(0) - truth, ours[:, :, 0].mean(0) - truth
    error = ours[:, :, 0].std(0) / np.sqrt(runs)
    coverage = ((ours[:, :, 1] <= truth) & (truth <= ours[:, :, 2])).mean(0)
    pulls = np.array([(arms == arm).mean() for arm in range(3)])
    with capsys.disabled():
        print(f"\nnaive bias {naive_bias}, ours {bias} (standard error {error}), coverage {coverage}, pulls {pulls}")
    assert naive_bias[1] < -0.01  # ten of our standard errors
    assert (naive_bias < 0).all()
    assert (np.abs(bias) < 3.5 * error + 1e-9).all()
    assert ((coverage >= 0.93) & (coverage <= 0.97)).all()
    assert pulls.argmax() == 2
    assert pulls[2] > 0.45

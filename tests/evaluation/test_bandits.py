"""Thompson's rule and estimates under it: closed forms, and a simulation with known arms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from recrl.errors import ConfigError, DatasetError
from recrl.evaluation.bandits import adaptive_estimate, allotment, confidence_sequence, probability_best


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
    assert adaptive_estimate(0, arms, outcomes, chance, [0, 0, 1, 1]) == pytest.approx(np.mean(scores))
    assert guess[2] == (1 + 0.5) / (1 + 1)


def test_a_chance_of_nothing_is_no_nan() -> None:
    assert adaptive_estimate(0, [1, 0], [1.0, 1.0], np.array([0.0, 1.0]), [0, 1]) == pytest.approx(0.75)


@pytest.mark.parametrize(("won", "lost"), [(0, 50), (50, 0), (41, 96), (230, 189), (1, 1)])
def test_successes_have_the_interval_of_the_beta_binomial_mixture(won: int, lost: int) -> None:
    """At its ends the marginal likelihood under Beta(1, 1) is 20 times the likelihood (Howard et al., 2021)."""
    low, high = confidence_sequence([1.0] * won + [0.0] * lost)
    marginal = special.betaln(1 + won, 1 + lost)
    for end, bound in ((low, 0), (high, 1)):
        if end != bound:
            likelihood = special.xlogy(won, end) + special.xlogy(lost, 1 - end)
            assert marginal - likelihood == pytest.approx(np.log(20), abs=0.01)
    assert (low == 0, high == 1) == (won == 0, lost == 0)


def test_scores_that_vary_little_have_a_narrower_interval() -> None:
    rng = np.random.default_rng(0)
    low, high = confidence_sequence(np.where(rng.random(400) < 0.5, 0.6, 0.8))
    assert low < 0.7 < high
    assert high - low < 0.06
    assert high - low < 0.5 * np.subtract(*confidence_sequence([1.0] * 280 + [0.0] * 120)[::-1])
    assert confidence_sequence([]) == (0, 1)
    with pytest.raises(DatasetError, match="expected 0 to 1"):
        confidence_sequence([0.5, 57.0])


def test_a_run_that_stops_when_an_agent_looks_best_is_covered() -> None:
    """Two equal agents, stopped at P(best) = 0.9: the normal interval is too short, ours is not."""
    rng = np.random.default_rng(0)
    held = {"ours": 0, "normal": 0}
    for _ in range(300):
        won, lost = np.ones(2), np.ones(2)
        for turn in range(25):
            if turn and probability_best(won, lost).max() > 0.9:
                break
            played = rng.multinomial(20, allotment(won, lost, 0.2))
            new = rng.binomial(played, 0.5)
            won, lost = won + new, lost + played - new
        best = int((won / (won + lost)).argmax())
        wins, losses = int(won[best] - 1), int(lost[best] - 1)
        low, high = confidence_sequence([1.0] * wins + [0.0] * losses)
        held["ours"] += low <= 0.5 <= high
        share = wins / (wins + losses)
        held["normal"] += abs(share - 0.5) <= 1.96 * np.sqrt(share * (1 - share) / (wins + losses))
    assert held["ours"] >= 285
    assert held["normal"] < 280


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
    naive_bias, bias = naive.mean(0) - truth, ours.mean(0) - truth
    error = ours.std(0) / np.sqrt(runs)
    ends = np.array([[confidence_sequence(outcomes[run][arms[run] == arm]) for arm in range(3)] for run in range(runs)])
    coverage = ((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])).mean(0)
    pulls = np.array([(arms == arm).mean() for arm in range(3)])
    with capsys.disabled():
        print(f"\nnaive bias {naive_bias}, ours {bias} (standard error {error}), coverage {coverage}, pulls {pulls}")
    assert naive_bias[1] < -0.01  # ten of our standard errors
    assert (naive_bias < 0).all()
    assert (np.abs(bias) < 3.5 * error + 1e-9).all()
    assert (coverage >= 0.95).all()
    assert pulls.argmax() == 2
    assert pulls[2] > 0.45

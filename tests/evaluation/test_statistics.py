"""Intervals against closed forms, and their coverage where outcomes come in clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import DatasetError
from recrl.evaluation.statistics import (
    cluster_bootstrap,
    cluster_mean,
    cluster_sign_test,
    cluster_sums,
    mcnemar_p_value,
    wilson_interval,
)


def test_wilson_equals_its_formula() -> None:
    z, successes, trials = 1.959963984540054, 11, 500
    share = successes / trials
    center = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    assert wilson_interval(successes, trials) == pytest.approx((center - half, center + half))


def test_mcnemar_equals_the_binomial_sum() -> None:
    first = [True] * 8 + [False] * 2 + [True] * 5
    second = [False] * 8 + [True] * 2 + [True] * 5
    # Of 10 discordant pairs at most 2, or at least 8, on one side: 2 * (1 + 10 + 45) / 1024.
    assert mcnemar_p_value(first, second) == pytest.approx(112 / 1024)
    assert mcnemar_p_value(first, first) == 1.0


def test_the_bootstrap_of_single_clusters_nears_the_normal_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    low, high = cluster_bootstrap(values.tolist(), range(400), rng)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_intervals_cover_when_goals_of_a_product_stand_or_fall_together() -> None:
    """Products of very unequal numbers of goals, all with one outcome: Wilson's interval fails, the bootstrap holds."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 12, size=120)
    products = np.repeat(np.arange(120), sizes)
    covered = {"bootstrap": 0, "wilson": 0}
    for _ in range(300):
        outcome = (rng.random(120) < 0.6)[products].astype(float)
        low, high = cluster_bootstrap(outcome.tolist(), products.tolist(), rng, resamples=400)
        covered["bootstrap"] += low <= 0.6 <= high
        low, high = wilson_interval(int(outcome.sum()), len(outcome))
        covered["wilson"] += low <= 0.6 <= high
    assert 0.90 < covered["bootstrap"] / 300 <= 0.99
    assert covered["wilson"] / 300 < 0.70


def test_each_product_counts_once() -> None:
    assert cluster_mean([1, 1, 1, 0], ["a", "a", "a", "b"]) == 0.5
    sums, counts = cluster_sums([1, 1, 0, 1], ["b", "a", "b", "a"])
    assert (sums.tolist(), counts.tolist()) == ([1, 2], [2, 2])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40), st.integers(0, 9))
def test_an_interval_is_ordered_within_range_and_repeatable(rows: list[tuple[float, int]], seed: int) -> None:
    values, clusters = [row[0] for row in rows], [row[1] for row in rows]
    low, high = cluster_bootstrap(values, clusters, np.random.default_rng(seed), resamples=200)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    again = cluster_bootstrap(values, clusters, np.random.default_rng(seed), resamples=200)
    assert again == (low, high)


def test_the_bootstrap_equals_a_plain_loop() -> None:
    values, clusters = [1.0, 0.0, 0.5, 1.0, 0.0, 0.25], ["a", "b", "a", "c", "c", "c"]
    groups = [[1.0, 0.5], [0.0], [1.0, 0.0, 0.25]]
    drawn = np.random.default_rng(3).integers(3, size=(500, 3))
    means = []
    for draw in drawn:
        pooled = [value for number in draw for value in groups[number]]
        means.append(sum(pooled) / len(pooled))
    expected = np.quantile(means, [0.025, 0.975])
    assert cluster_bootstrap(values, clusters, np.random.default_rng(3), resamples=500) == pytest.approx(expected)


def test_many_clusters_are_drawn_in_pieces() -> None:
    """More draws than fit at once: the interval is that of the normal approximation all the same."""
    values = np.random.default_rng(4).random(5_000)
    low, high = cluster_bootstrap(values.tolist(), range(5_000), np.random.default_rng(5), resamples=1_000)
    half = 1.96 * values.std() / np.sqrt(5_000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 5)), min_size=1, max_size=30),
    st.floats(0.1, 10),
    st.floats(-5, 5),
)
def test_an_interval_moves_and_stretches_with_its_values(
    rows: list[tuple[float, int]], factor: float, shift: float
) -> None:
    values, clusters = [row[0] for row in rows], [row[1] for row in rows]
    plain = cluster_bootstrap(values, clusters, np.random.default_rng(0), resamples=200)
    moved = [factor * value + shift for value in values]
    found = cluster_bootstrap(moved, clusters, np.random.default_rng(0), resamples=200)
    assert found == pytest.approx([factor * end + shift for end in plain], abs=1e-9)


def test_the_sign_test_counts_products() -> None:
    differences = [1, 1, 1, -1, 0, 1, -1, 0.1, 0.2, -0.3]
    products = ["a", "a", "b", "c", "d", "e", "e", "f", "f", "f"]  # 2 better, 1 worse, 3 even
    assert cluster_sign_test(differences, products) == (2, 1, 1.0)
    assert cluster_sign_test([1] * 6 + [-1], range(7)) == (6, 1, pytest.approx(2 * (1 + 7) / 2**7))
    assert cluster_sign_test([0, 0], ["a", "b"]) == (0, 0, 1.0)


def test_a_missing_outcome_is_refused() -> None:
    with pytest.raises(DatasetError, match="value 1 is nan, expected a finite number"):
        cluster_bootstrap([1.0, float("nan")], ["a", "b"], np.random.default_rng(0))


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(DatasetError, match="as many clusters as values"):
        cluster_sums([1.0], [])

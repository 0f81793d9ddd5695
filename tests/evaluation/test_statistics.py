"""Intervals against closed forms, and their coverage where outcomes come in clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recrl.errors import DatasetError
from recrl.evaluation.statistics import (
    PRIOR_PRODUCTS,
    Clusters,
    cluster_mean,
    cluster_sign_test,
    difference_interval,
    mcnemar_p_value,
    mean_interval,
    tango_interval,
    wilson_interval,
)

EIGHTHS = st.integers(0, 8).map(lambda number: number / 8)


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


def student(freedom: int) -> float:
    return float(stats.t.ppf(0.975, freedom))


def test_goals_of_their_own_product_get_wilsons_interval_with_students_t() -> None:
    """With one goal a product the linearised variance is n / (n - 1) that of independent goals, and steadied by it."""
    count, won = 200, 90
    share, t = won / count, student(count - 1)
    variance = share * (1 - share) / count
    variance = (won * variance * count / (count - 1) + PRIOR_PRODUCTS * variance) / (won + PRIOR_PRODUCTS)
    trials = share * (1 - share) / variance
    center = (share + t**2 / (2 * trials)) / (1 + t**2 / trials)
    half = t / (1 + t**2 / trials) * np.sqrt(share * (1 - share) / trials + t**2 / (4 * trials**2))
    assert mean_interval([1] * won + [0] * (count - won), range(count)) == pytest.approx((center - half, center + half))


def test_none_of_them_is_an_interval_with_a_width() -> None:
    """0 of 200 goals of 200 products: Wilson's upper end t^2 / (n + t^2); goals of one product count as one."""
    t = student(199)
    assert mean_interval([0.0] * 200, range(200)) == pytest.approx((0, t**2 / (200 + t**2)))
    assert mean_interval([1.0] * 200, range(200)) == pytest.approx((200 / (200 + t**2), 1))
    assert mean_interval([0.0] * 400, [*range(200)] * 2) == pytest.approx((0, t**2 / (200 + t**2)))
    assert difference_interval([0.0] * 200, [0.0] * 200, range(200)) == pytest.approx(
        (-(t**2) / (200 + t**2), t**2 / (200 + t**2)), abs=1e-6
    )
    for outcome in (0.0, 1.0, 0.5):  # one product says nothing of others
        assert mean_interval([outcome] * 3, ["a"] * 3) == (0, 1)
        assert difference_interval([outcome] * 3, [0.0] * 3, ["a"] * 3) == (-1, 1)


@pytest.mark.parametrize(
    ("only_first", "only_second", "pairs"), [(1, 1, 44), (9, 0, 35), (8, 24, 80), (0, 0, 50), (20, 0, 20), (0, 20, 20)]
)
def test_tangos_interval_ends_where_his_score_is_the_quantile(only_first: int, only_second: int, pairs: int) -> None:
    z = 1.959963984540054

    def score(at: float) -> float:  # in counts, as the paper has it
        a, b, c = 2 * pairs, (2 * pairs - only_first + only_second) * at - only_first - only_second, only_second * at
        lost = (np.sqrt(b**2 + 4 * a * c * (1 - at)) - b) / (2 * a)
        return (only_first - only_second - pairs * at) / np.sqrt(pairs * (2 * lost + at * (1 - at)))

    low, high = tango_interval(only_first / pairs, only_second / pairs, pairs, z)
    assert -1 <= low <= (only_first - only_second) / pairs <= high <= 1
    assert low == -1 or score(low) == pytest.approx(z, abs=1e-5)
    assert high == 1 or score(high) == pytest.approx(-z, abs=1e-5)
    assert tango_interval(only_second / pairs, only_first / pairs, pairs, z) == pytest.approx((-high, -low), abs=1e-6)


def test_tangos_interval_of_many_trials_is_the_normal_one() -> None:
    low, high = tango_interval(0.25, 0.2, 100_000, 1.959963984540054)
    half = 1.959963984540054 * np.sqrt((0.45 - 0.05**2) / 100_000)
    assert (low, high) == pytest.approx((0.05 - half, 0.05 + half), abs=1e-5)


def two_way(values: np.ndarray) -> tuple[float, float, float]:
    """Plain loops: variances of the mean of (products, seeds) over products, over seeds, and over both."""
    products, seeds = values.shape
    mean = values.mean()
    over_products = sum((row.mean() - mean) ** 2 for row in values) / (products * (products - 1))
    over_seeds = sum((column.mean() - mean) ** 2 for column in values.T) / (seeds * (seeds - 1))
    rest = sum(
        (values[row, seed] - values[row].mean() - values[:, seed].mean() + mean) ** 2
        for row in range(products)
        for seed in range(seeds)
    ) / (products * (products - 1) * seeds * (seeds - 1))
    return over_products, over_seeds, rest


def test_seeds_widen_an_interval_by_what_they_vary() -> None:
    rng = np.random.default_rng(2)
    chance = np.array([0.47, 0.5, 0.56]) + rng.normal(0, 0.05, (400, 1))
    values = (rng.random((400, 3)) < chance).astype(float)
    low, high = mean_interval(values, range(400))
    over_products, over_seeds, both = two_way(values)
    variance = over_products + over_seeds - both
    freedom = max(variance**2 / (over_products**2 / 399 + over_seeds**2 / 2), 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert (high - low) / 2 == pytest.approx(half, rel=0.01)
    assert high - low > 1.5 * np.subtract(*mean_interval(values.mean(1), range(400))[::-1])
    same = np.repeat(values[:, :1], 3, axis=1)  # seeds that do not vary add nothing
    assert mean_interval(same, range(400)) == pytest.approx(mean_interval(values[:, 0], range(400)))


def test_seeds_of_both_sides_are_paired_or_added() -> None:
    rng = np.random.default_rng(3)
    seeds = rng.normal(0, 0.1, 5)
    start = (rng.random((300, 5)) < 0.5 + seeds).astype(float)
    agent = np.maximum(start, rng.random((300, 5)) < 0.1)  # each agent is a little better than its own start
    paired = difference_interval(agent, start, range(300))
    unpaired = difference_interval(agent, start[:, :4], range(300))
    assert 0 < paired[0] < paired[1] < 0.1
    assert unpaired[1] - unpaired[0] > 2 * (paired[1] - paired[0])
    fixed = difference_interval(agent, start[:, 0], range(300))
    assert fixed[1] - fixed[0] > 2 * (paired[1] - paired[0])


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_means_over_seeds_cover(seeds: int) -> None:
    """Seeds differ by 5 points, products by 15 and both together by 30: two-sided coverage near 95%, not 60."""
    rng = np.random.default_rng(seeds)
    held = alone = 0
    for _ in range(400):
        chance = stats.norm.cdf(
            0.4 * rng.normal(size=(160, 1)) + 0.13 * rng.normal(size=seeds) + 0.8 * rng.normal(size=(160, seeds))
        )
        values = (rng.random((160, seeds)) < chance).astype(float)
        low, high = mean_interval(values, range(160))
        held += low <= 0.5 <= high
        low, high = mean_interval(values.mean(1), range(160))
        alone += low <= 0.5 <= high
    assert 0.925 <= held / 400 <= 0.98
    assert alone < held - 20


def test_intervals_cover_when_goals_of_a_product_stand_or_fall_together() -> None:
    """Products of very unequal numbers of goals, all with one outcome: Wilson's interval of goals fails, ours holds."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 12, size=120)
    products = np.repeat(np.arange(120), sizes)
    for rate in (0.02, 0.6, 0.9):
        covered = {"ours": 0, "wilson": 0}
        for _ in range(400):
            outcome = (rng.random(120) < rate)[products].astype(float)
            low, high = mean_interval(outcome, products.tolist())
            covered["ours"] += low <= rate <= high
            low, high = wilson_interval(int(outcome.sum()), len(outcome))
            covered["wilson"] += low <= rate <= high
        assert 0.925 < covered["ours"] / 400 <= 0.985, rate
        assert covered["wilson"] / 400 < 0.75


def test_differences_cover_when_few_products_differ() -> None:
    rng = np.random.default_rng(4)
    products = np.repeat(np.arange(166), np.resize([1, 1, 2, 3, 4, 5], 166))
    held = 0
    for _ in range(400):
        better = (rng.random(166) < 0.02)[products].astype(float)
        low, high = difference_interval(better, np.zeros(len(products)), products)
        held += low <= 0.02 <= high
    assert held / 400 > 0.92


def test_each_product_counts_once() -> None:
    assert cluster_mean([1, 1, 1, 0], ["a", "a", "a", "b"]) == 0.5
    groups = Clusters(["b", "a", "b", "a"])
    assert groups.sums(np.array([1.0, 1, 0, 1])).tolist() == [1, 2]
    assert groups.counts.tolist() == [2, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS, st.integers(0, 5)), min_size=1, max_size=40))
def test_an_interval_holds_its_estimate_and_turns_round_with_it(rows: list[tuple[float, float, int]]) -> None:
    ours, theirs, clusters = (list(column) for column in zip(*rows, strict=True))
    low, high = mean_interval(ours, clusters)
    assert 0 <= low <= np.mean(ours) + 1e-9
    assert np.mean(ours) - 1e-9 <= high <= 1
    assert mean_interval([1 - value for value in ours], clusters) == pytest.approx((1 - high, 1 - low), abs=1e-6)
    difference = np.mean(ours) - np.mean(theirs)
    low, high = difference_interval(ours, theirs, clusters)
    assert -1 <= low <= difference + 1e-9
    assert difference - 1e-9 <= high <= 1
    assert difference_interval(theirs, ours, clusters) == pytest.approx((-high, -low), abs=1e-6)


def test_the_sign_test_counts_products() -> None:
    differences = [1, 1, 1, -1, 0, 1, -1, 0.1, 0.2, -0.3]
    products = ["a", "a", "b", "c", "d", "e", "e", "f", "f", "f"]  # 2 better, 1 worse, 3 even
    assert cluster_sign_test(differences, products) == (2, 1, 1.0)
    assert cluster_sign_test([1] * 6 + [-1], range(7)) == (6, 1, pytest.approx(2 * (1 + 7) / 2**7))
    assert cluster_sign_test([0, 0], ["a", "b"]) == (0, 0, 1.0)


def test_a_missing_outcome_is_refused() -> None:
    with pytest.raises(DatasetError, match="value 1 is nan, expected a finite number"):
        mean_interval([1.0, float("nan")], ["a", "b"])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(DatasetError, match="as many clusters as values"):
        mean_interval([1.0], [])
    with pytest.raises(DatasetError, match="expected 0 to 1"):
        mean_interval([0.5, 57.0], ["a", "b"])

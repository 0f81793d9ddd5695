"""Intervals and tests for outcomes that come in clusters: goals of one product are not independent.

The bootstrap resamples whole target products (clusters), not goals: Field and Welsh, "Bootstrapping clustered data",
Journal of the Royal Statistical Society B 69 (2007), the cluster bootstrap.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from recrl.errors import DatasetError

RESAMPLES = 10_000
CONFIDENCE = 0.95


def cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of the values of each cluster, in the order in which the clusters first appear.

    Raises:
        DatasetError: no values, another number of clusters, or a value that is not finite.
    """
    if len(values) != len(clusters) or not len(values):
        raise DatasetError(f"expected as many clusters as values and at least one, got {len(values)}, {len(clusters)}")
    weights = np.asarray(values, dtype=np.float64)
    if not np.isfinite(weights).all():
        place = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise DatasetError(f"value {place} is {weights[place]}, expected a finite number; a missing outcome is not 0")
    number: dict[Hashable, int] = {}
    which = np.array([number.setdefault(cluster, len(number)) for cluster in clusters])
    return np.bincount(which, weights=weights), np.bincount(which)


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """A percentile interval for the mean of the values; clusters are drawn with replacement, each with all its values.

    Of paired differences it is the interval of the paired difference.

    Args:
        values: (goals,) outcomes; clusters: (goals,) what each belongs to.
        resamples: number of draws; confidence: the share of them that the interval holds.
    """
    sums, counts = cluster_sums(values, clusters)
    means = np.empty(resamples)
    step = max(1, 2_000_000 // len(sums))  # at most 16 MB of draws at once
    for start in range(0, resamples, step):
        drawn = rng.integers(len(sums), size=(min(step, resamples - start), len(sums)))  # (resamples, clusters)
        means[start : start + len(drawn)] = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson_interval(successes: int, trials: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for a share, as if the trials were independent (which goals of one product are not)."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_p_value(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The exact McNemar test's two-sided p-value: are the goals that only one side solves split evenly?"""
    from scipy.stats import binomtest

    only_first = sum(one and not two for one, two in zip(first, second, strict=True))
    only_second = sum(two and not one for one, two in zip(first, second, strict=True))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def cluster_sign_test(differences: Sequence[float], clusters: Sequence[Hashable]) -> tuple[int, int, float]:
    """The exact two-sided sign test on the clusters' summed differences, which takes only clusters as independent.

    Returns:
        clusters with a positive sum, clusters with a negative one, and the p-value; even clusters do not count.
    """
    from scipy.stats import binomtest

    sums, _ = cluster_sums(differences, clusters)
    sums = sums.round(12)  # differences that cancel out leave rounding errors
    better, worse = int((sums > 0).sum()), int((sums < 0).sum())
    return better, worse, float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def cluster_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The mean over clusters of each cluster's mean: every product counts once."""
    sums, counts = cluster_sums(values, clusters)
    return float((sums / counts).mean())

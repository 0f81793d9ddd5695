"""Intervals and tests for outcomes that come in clusters: goals of one product are not independent.

What is counted as independent are target products, and training seeds where there are several. With the goals of
product g as n_g and the sum of its residuals as e_g, the variance of a mean over goals is the linearised one of a
ratio, v = G / (G - 1) * sum(e_g ** 2) / n ** 2 with n = sum(n_g) (Cochran, Sampling Techniques, 1977), and
Student's t has G - 1 degrees of freedom. On this rest

- the interval of a mean of outcomes from 0 to 1: Wilson's with the effective number of goals p (1 - p) / v, times
  (z / t) ** 2 for the degrees of freedom, which is t in the place of z (Dean and Pagano, Evaluating Confidence Interval
  Methods for Binomial Proportions in Clustered Surveys, Journal of Survey Statistics and Methodology 3(4), 2015);
- the interval of a paired difference: Tango's score interval (Statistics in Medicine 17, 1998) with the effective
  number (p + q - (p - q) ** 2) / v, where p and q are the mean gain and the mean loss;
- of means over seeds: both, each side of the interval widened by the variance over seeds. Products and seeds are
  crossed, so the variance that both estimates hold is taken off once (Cameron, Gelbach and Miller, Robust Inference
  With Multiway Clustering, Journal of Business and Economic Statistics 29(2), 2011), and Satterthwaite's degrees of
  freedom stand for the sum.

Ours is how v is steadied where few products decide: it is averaged with the variance of whole products that stand or
fall together, which counts as `PRIOR_PRODUCTS` products. So no interval has width 0, not that of 0 of N either.
`benchmarks/coverage.py` shows how often these intervals, and the ones that were not taken, hold the truth.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from recrl.errors import DatasetError

CONFIDENCE = 0.95
ROUNDING = 1e-9
PRIOR_PRODUCTS = 2  # chosen by simulation: with 0, intervals near 2 and 98% hold the truth 90% of the time


class Clusters:
    """Which goals belong together.

    Attributes:
        which: (goals,) the number of each one's cluster; counts: (clusters,) goals of each.
        effective: the number of equal clusters that tell as much as these, ``sum(n) ** 2 / sum(n ** 2)``.
    """

    def __init__(self, clusters: Sequence[Hashable]) -> None:
        number: dict[Hashable, int] = {}
        self.which = np.array([number.setdefault(cluster, len(number)) for cluster in clusters], np.int64)
        self.counts = np.bincount(self.which)
        self.effective = float(self.counts.sum() ** 2 / (self.counts**2).sum()) if len(self.which) else 0.0

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(clusters,) sums of (goals,) values, in the order in which the clusters first appear.

        Raises:
            DatasetError: no values, another number of goals, or a value that is not finite.
        """
        if len(values) != len(self.which) or not len(values):
            raise DatasetError(
                f"expected as many clusters as values and at least one, got {len(values)}, {len(self.which)}"
            )
        if not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DatasetError(
                f"value {place} is {values[place]}, expected a finite number; a missing outcome is not 0"
            )
        return np.bincount(self.which, weights=values)

    def variance(self, values: np.ndarray) -> float:
        """The variance of the mean of (goals,) values; clusters vary, goals within them as they like."""
        sums, count = self.sums(values), len(self.counts)
        residuals = sums - values.mean() * self.counts
        return float((residuals**2).sum() * count / (count - 1) / len(values) ** 2)


def steadied(variance: float, whole: float, deciding: int) -> float:
    """A variance averaged with the one of clusters whose goals have one outcome, see the module.

    Args:
        whole: the latter; deciding: clusters that the estimate rests on.
    """
    return (deciding * variance + PRIOR_PRODUCTS * whole) / (deciding + PRIOR_PRODUCTS)


def mean_interval(outcomes: Sequence[float] | np.ndarray, clusters: Sequence[Hashable]) -> tuple[float, float]:
    """The 95% interval of a mean of outcomes from 0 to 1, see the module.

    Args:
        outcomes: (goals,) or (goals, seeds).
        clusters: (goals,) what each goal belongs to.
    """
    values, groups = _by_seed(outcomes), Clusters(clusters)
    by_goal = values.mean(1)
    sums, count = groups.sums(by_goal), len(groups.counts)
    _check_range(values)
    if count < 2:
        return 0.0, 1.0  # one product says nothing of others
    mean = float(by_goal.mean())
    deciding = min(int((sums > 0).sum()), int((sums < groups.counts).sum()))
    interval = score_interval(mean, groups.variance(by_goal), groups.effective, deciding, count - 1)
    low, high = _count_seeds(mean, *interval, [values], groups)
    return max(low, 0.0), min(high, 1.0)


def score_interval(
    mean: float, variance: float, effective_clusters: float, deciding: int, freedom: int
) -> tuple[float, float]:
    """Wilson's interval with the effective number of goals, see the module.

    Args:
        mean: from 0 to 1; variance: of it.
        effective_clusters: the number of equal clusters that tell as much as those there are.
        deciding: clusters that the estimate rests on; freedom: Student's t's degrees of freedom.
    """
    variance = steadied(variance, mean * (1 - mean) / effective_clusters, deciding)
    effective = mean * (1 - mean) / variance if variance > 0 else effective_clusters
    t = student_quantile(freedom)
    center = (mean + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * math.sqrt(mean * (1 - mean) / effective + t**2 / (4 * effective**2))
    return center - half, center + half


def difference_interval(
    outcomes: Sequence[float] | np.ndarray, baseline: Sequence[float] | np.ndarray, clusters: Sequence[Hashable]
) -> tuple[float, float]:
    """The 95% interval of the mean paired difference of outcomes from 0 to 1, ``outcomes`` minus ``baseline``.

    Args:
        outcomes, baseline: (goals,) or (goals, seeds). Equally many seeds are paired in their order; a side with one
            seed, such as a rule, is taken as fixed.
        clusters: (goals,) what each goal belongs to.
    """
    ours, theirs, groups = _by_seed(outcomes), _by_seed(baseline), Clusters(clusters)
    differences = ours.mean(1) - theirs.mean(1)
    sums, count = groups.sums(differences), len(groups.counts)
    _check_range(ours)
    _check_range(theirs)
    if count < 2:
        return -1.0, 1.0
    mean = float(differences.mean())
    gain, loss = float(np.maximum(differences, 0).mean()), float(np.maximum(-differences, 0).mean())
    deciding = min(
        int((groups.sums(np.abs(differences)) > 0).sum()),
        int((sums < groups.counts).sum()),
        int((sums > -groups.counts).sum()),
    )
    independent = max(gain + loss - mean**2, 0.0)
    variance = steadied(groups.variance(differences), independent / groups.effective, deciding)
    effective = independent / variance if variance > 0 else groups.effective
    low, high = tango_interval(gain, loss, effective, student_quantile(count - 1))
    paired = ours.shape[1] == theirs.shape[1] or 1 in (ours.shape[1], theirs.shape[1])
    return _count_seeds(mean, low, high, [ours - theirs] if paired else [ours, theirs], groups)


def tango_interval(gain: float, loss: float, trials: float, quantile: float) -> tuple[float, float]:
    """Tango's score interval for a difference of paired shares (Statistics in Medicine 17, 1998).

    Args:
        gain, loss: the shares of trials that only the first, and only the second, won.
        trials: their number, whole or not; quantile: of the two-sided interval.
    """
    from scipy.optimize import brentq

    difference = gain - loss

    def score(at: float) -> float:
        linear = -(gain + loss) + (2 - difference) * at  # the likeliest share lost, if the difference were ``at``
        lost = (np.sqrt(max(linear**2 + 8 * loss * at * (1 - at), 0.0)) - linear) / 4
        return float(trials * (difference - at) ** 2 - quantile**2 * (2 * lost + at * (1 - at)))

    def end(bound: float) -> float:
        near = difference + np.copysign(ROUNDING, bound)  # at the difference itself the score may be 0 too
        return bound if abs(bound - difference) < 10 * ROUNDING else float(brentq(score, near, bound))

    return end(-1.0), end(1.0)


def _count_seeds(
    mean: float, low: float, high: float, sources: Sequence[np.ndarray], groups: Clusters
) -> tuple[float, float]:
    """An interval over products, widened by what seeds vary.

    Args:
        sources: (goals, seeds) outcomes that vary independently of each other; of a single seed nothing is known.
    """
    sources = [values for values in sources if values.shape[1] > 1]
    if not sources:
        return low, high
    products = len(groups.counts) - 1
    parts = [(float(values.mean(0).var(ddof=1)) / values.shape[1], values.shape[1] - 1) for values in sources]
    seeds = sum(part for part, _ in parts)
    both = sum(_interaction(values, groups) for values in sources)

    def reach(distance: float) -> float:
        over_products = (distance / student_quantile(products)) ** 2
        variance = max(over_products + seeds - both, over_products, seeds)
        if variance == 0:
            return distance
        squares = over_products**2 / products + sum(part**2 / freedom for part, freedom in parts)
        freedom = max(variance**2 / squares, min(products, *(freedom for _, freedom in parts)))
        return student_quantile(freedom) * math.sqrt(variance)

    return mean - reach(mean - low), mean + reach(high - mean)


def _interaction(values: np.ndarray, groups: Clusters) -> float:
    """The part of the variance of a mean that products and seeds hold together: of (goals, seeds) values."""
    seeds = values.shape[1]
    own = values - values.mean(1, keepdims=True)  # (goals, seeds) what each seed adds to the goal's mean
    return sum(groups.variance(of_seed) for of_seed in own.T) / (seeds * (seeds - 1))


def _by_seed(outcomes: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(outcomes, np.float64)
    return values[:, None] if values.ndim == 1 else values


def _check_range(values: np.ndarray) -> None:
    if values.min() < -ROUNDING or values.max() > 1 + ROUNDING:
        raise DatasetError(f"outcomes from {values.min()} to {values.max()}, expected 0 to 1")


def student_quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


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

    sums = Clusters(clusters).sums(np.asarray(differences, np.float64))
    sums = sums.round(12)  # differences that cancel out leave rounding errors
    better, worse = int((sums > 0).sum()), int((sums < 0).sum())
    return better, worse, float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def cluster_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The mean over clusters of each cluster's mean: every product counts once."""
    groups = Clusters(clusters)
    return float((groups.sums(np.asarray(values, np.float64)) / groups.counts).mean())

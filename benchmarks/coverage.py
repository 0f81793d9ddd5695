"""How often 95% intervals hold the truth, in simulations with known truths: the table of docs/evaluation.md.

    python benchmarks/coverage.py                      # some minutes; --repeats 600 for the documented table

Products are 166 with 1 to 5 goals, as the unseen test split of webshop-1k has them, or 146 of which one has 45 goals.
The outcomes of a product's goals are correlated (beta-binomial; 1 is all alike). Beside the intervals that recrl takes
(`recrl.evaluation.statistics`, `recrl.evaluation.bandits`) stand those that were not taken.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from recrl.evaluation.bandits import allotment, confidence_sequence, probability_best
from recrl.evaluation.statistics import CONFIDENCE, difference_interval, mean_interval
from recrl.tables import Table

Interval = tuple[float, float]
RESAMPLES = 400
SIZES = {
    "166 products": np.repeat([1, 2, 3, 4, 5], [58, 33, 25, 25, 25]),
    "146, one of 45 goals": np.concatenate([np.repeat([1, 2, 3, 4, 5], [58, 30, 24, 18, 15]), [45]]),
}
TAILS = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]


def percentile_bootstrap(values: np.ndarray, products: np.ndarray, rng: np.random.Generator) -> Interval:
    """Products are drawn with replacement."""
    means = _resampled(values, products, rng)[0]
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)


def bca_bootstrap(values: np.ndarray, products: np.ndarray, rng: np.random.Generator) -> Interval:
    """Bias-corrected and accelerated (Efron, Journal of the American Statistical Association 82, 1987), by products."""
    means, sums, counts = _resampled(values, products, rng)
    mean = values.mean()
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    spread = left_out.mean() - left_out
    acceleration = (spread**3).sum() / (6 * max((spread**2).sum(), 1e-30) ** 1.5)
    bias = stats.norm.ppf(np.clip(((means < mean).mean() + (means <= mean).mean()) / 2, 1e-4, 1 - 1e-4))
    shifted = bias + stats.norm.ppf(TAILS)
    low, high = np.quantile(means, stats.norm.cdf(bias + shifted / (1 - acceleration * shifted)))
    return float(low), float(high)


def bootstrap_t(values: np.ndarray, products: np.ndarray, rng: np.random.Generator) -> Interval:
    """Studentised by the linearised standard error of each draw."""
    sums, counts = np.bincount(products, values), np.bincount(products)
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    errors = np.sqrt(((sums[drawn] - means[:, None] * counts[drawn]) ** 2).sum(1)) / counts[drawn].sum(1)
    mean = values.mean()
    error = np.sqrt(((sums - mean * counts) ** 2).sum()) / counts.sum()
    if not (errors > 0).any() or error == 0:
        return float(mean), float(mean)
    high, low = np.quantile(((means - mean)[errors > 0]) / errors[errors > 0], TAILS)
    return float(mean - low * error), float(mean - high * error)


def cluster_t(values: np.ndarray, products: np.ndarray, rng: np.random.Generator) -> Interval:
    """Student's t with the linearised variance over products."""
    sums, counts = np.bincount(products, values), np.bincount(products)
    count, mean = len(counts), values.mean()
    error = np.sqrt(((sums - mean * counts) ** 2).sum() * count / (count - 1)) / counts.sum()
    half = stats.t.ppf(TAILS[1], count - 1) * error
    return float(mean - half), float(mean + half)


def _resampled(
    values: np.ndarray, products: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(resamples,) means, (products,) sums and (products,) counts."""
    sums, counts = np.bincount(products, values), np.bincount(products)
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    return sums[drawn].sum(1) / counts[drawn].sum(1), sums, counts


NOT_TAKEN: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], Interval]] = {
    "percentile bootstrap": percentile_bootstrap,
    "BCa": bca_bootstrap,
    "bootstrap-t": bootstrap_t,
    "cluster t": cluster_t,
}


def outcomes(rate: float, alike: float, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(goals,) of 0 and 1; ``alike`` is the correlation of two goals of one product."""
    if alike == 1:
        return np.repeat(rng.random(len(sizes)) < rate, sizes).astype(float)
    size = (1 - alike) / alike
    chance = rng.beta(rate * size, (1 - rate) * size, len(sizes))
    return (rng.random(sizes.sum()) < np.repeat(chance, sizes)).astype(float)


def paired(gain: float, loss: float, sizes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(goals,) outcomes of two agents that differ on whole products."""
    drawn = np.repeat(rng.random(len(sizes)), sizes)
    common = np.repeat(rng.random(len(sizes)) < 0.5, sizes).astype(float)
    ours, theirs = drawn < gain, (drawn >= gain) & (drawn < gain + loss)
    same = ~(ours | theirs)
    return np.where(same, common, ours), np.where(same, common, theirs)


def single_rows(repeats: int, rng: np.random.Generator) -> list[list[str]]:
    """Success rates, of goals of a product that are more or less alike."""
    rows = []
    for name, sizes in SIZES.items():
        products = np.repeat(np.arange(len(sizes)), sizes)
        for rate in (0.005, 0.02, 0.1, 0.56, 0.9, 0.98):
            for alike in (0.2, 1.0):
                held = {"ours": 0.0} | dict.fromkeys(NOT_TAKEN, 0.0)
                for _ in range(repeats):
                    values = outcomes(rate, alike, sizes, rng)
                    held["ours"] += _holds(mean_interval(values, products), rate)
                    for method, interval in NOT_TAKEN.items():
                        held[method] += _holds(interval(values, products, rng), rate)
                rows.append([f"{name}: {100 * rate:g}% success, correlation {alike:g}", *_shares(held, repeats)])
    return rows


def paired_rows(repeats: int, rng: np.random.Generator) -> list[list[str]]:
    """Paired differences of agents that few or many products tell apart."""
    rows = []
    for name, sizes in SIZES.items():
        products = np.repeat(np.arange(len(sizes)), sizes)
        for gain, loss in ((0.01, 0.01), (0.02, 0.0), (0.05, 0.03), (0.2, 0.1)):
            held = {"ours": 0.0} | dict.fromkeys(NOT_TAKEN, 0.0)
            for _ in range(repeats):
                ours, theirs = paired(gain, loss, sizes, rng)
                held["ours"] += _holds(difference_interval(ours, theirs, products), gain - loss)
                for method, interval in NOT_TAKEN.items():
                    held[method] += _holds(interval(ours - theirs, products, rng), gain - loss)
            rows.append([f"{name}: better on {100 * gain:g}%, worse on {100 * loss:g}%", *_shares(held, repeats)])
    return rows


def seed_rows(repeats: int, rng: np.random.Generator) -> list[list[str]]:
    """Means over seeds: what products, seeds and both together add to the chance of success."""
    sizes = SIZES["166 products"]
    products = np.repeat(np.arange(len(sizes)), sizes)
    rows = []
    for name, of_product, of_seed, of_both in (
        ("rate, seeds alike", 1.0, 0.0, 0.5),
        ("rate, seeds differ", 1.0, 0.2, 0.5),
        ("difference, seeds alike", 0.2, 0.0, 0.5),
        ("difference, seeds differ", 0.2, 0.2, 0.5),
    ):
        for seeds in (3, 5, 10):
            held = {"products and seeds": 0, "products alone": 0}
            for _ in range(repeats):
                level = (
                    of_product * rng.normal(size=(len(sizes), 1))
                    + of_seed * rng.normal(size=seeds)
                    + of_both * rng.normal(size=(len(sizes), seeds))
                )
                chance = stats.norm.cdf(level)[products]
                values = (rng.random(chance.shape) < chance).astype(float)  # the truth is 1/2 by symmetry
                if name.startswith("rate"):
                    intervals = mean_interval(values, products), mean_interval(values.mean(1), products)
                    truth = 0.5
                else:
                    fixed = (rng.random(len(products)) < 0.5).astype(float)
                    intervals = (
                        difference_interval(values, fixed, products),
                        difference_interval(values.mean(1), fixed, products),
                    )
                    truth = 0.0
                for method, interval in zip(held, intervals, strict=True):
                    held[method] += _holds(interval, truth)
            rows.append([f"{name}, {seeds} seeds", *_shares(held, repeats)])
    return rows


def adaptive_rows(repeats: int, rng: np.random.Generator) -> list[list[str]]:
    """Comparisons by Thompson's rule, 1,000 episodes in rounds of 20, with and without stopping at P(best) = 0.95."""
    rows = []
    for rates, stop in (((0.5, 0.5), 0.95), ((0.5,) * 5, None), ((0.5,) * 5, 0.95), ((0.3, 0.45, 0.5), None)):
        held = {"confidence sequence": 0, "its most played agent": 0, "normal, most played": 0}
        for _ in range(repeats):
            won, lost = np.ones(len(rates)), np.ones(len(rates))
            for _ in range(50):
                if stop is not None and probability_best(won, lost).max() > stop:
                    break
                played = rng.multinomial(20, allotment(won, lost, 0.2))
                new = rng.binomial(played, rates)
                won, lost = won + new, lost + played - new
            wins, losses = (won - 1).astype(int), (lost - 1).astype(int)
            most = int((wins + losses).argmax())
            found = [
                _holds(confidence_sequence(np.repeat([1.0, 0.0], [one, other])), rate)
                for one, other, rate in zip(wins, losses, rates, strict=True)
            ]
            held["confidence sequence"] += found[0]
            held["its most played agent"] += found[most]
            share, count = wins[most] / (wins[most] + losses[most]), wins[most] + losses[most]
            half = stats.norm.ppf(TAILS[1]) * np.sqrt(share * (1 - share) / count)
            held["normal, most played"] += _holds((share - half, share + half), rates[most])
        shown = ", ".join(f"{100 * rate:g}" for rate in rates)
        rows.append([f"agents of {shown}%" + ("" if stop is None else f", stops at {stop}"), *_shares(held, repeats)])
    return rows


def _holds(interval: Interval, truth: float) -> bool:
    return bool(interval[0] - 1e-12 <= truth <= interval[1] + 1e-12)


def _shares(held: dict[str, float] | dict[str, int], repeats: int) -> list[str]:
    return [f"{100 * count / repeats:.1f}" for count in held.values()]


def main() -> None:
    """Simulates and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100, help="simulated evaluations of each row")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    note = f"Share of {arguments.repeats} simulations, in %, in which the 95% interval holds the truth."
    methods = ("ours", *NOT_TAKEN)
    for header, make in (
        (("success rate", *methods), single_rows),
        (("paired difference", *methods), paired_rows),
        (("mean over seeds", "products and seeds", "products alone"), seed_rows),
        (("compare", "confidence sequence", "of the most played", "normal, of the most played"), adaptive_rows),
    ):
        print(Table(header, make(arguments.repeats, rng), note).markdown())


if __name__ == "__main__":
    main()

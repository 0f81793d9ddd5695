"""Allotting episodes to agents by Thompson's rule, and estimates that stay valid although the allotment was adaptive.

Thompson (Biometrika 25, 1933): an agent is played with the probability that it is the best, under a Beta posterior on
its success. Rewards between 0 and 1 enter by Agrawal and Goyal's device (COLT 2012, Algorithm 2): each counts as a
success with a probability of its own size, so that the Beta posterior is a proper one and concentrates on the mean
reward.

The plain mean of what an agent got is biased then, because an agent that begins badly is asked less often and keeps its
bad mean. Each round's probabilities are known, so episodes can be weighted by their inverse: `adaptive_estimate` is the
augmented inverse-propensity estimator (Hadad, Hirshberg, Zhan, Wager and Athey, PNAS 118, 2021, Eq. 5), whose terms
have the right mean whatever came before. Their variance-stabilising weights were tried and left out: in samples of this
size they bring back half of the bias. A share of all episodes is allotted uniformly, which keeps every probability away
from 0 and the interval's coverage near its nominal one.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from recrl.errors import ConfigError

CONFIDENCE = 0.95
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_QUANTILES, _SHARES = (_NODES + 1) / 2, _WEIGHTS / 2  # on (0, 1)


def probability_best(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The probability that each arm's success is the highest, under independent Beta posteriors.

    The integral of one arm's density times the others' distribution functions, by Gauss-Legendre quadrature over that
    arm's quantiles.

    Args:
        alpha, beta: (..., arms) positive parameters.

    Returns:
        (..., arms), adding up to 1.
    """
    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    best = np.empty(alpha.shape)
    for arm in range(alpha.shape[-1]):
        points = special.betaincinv(alpha[..., arm, None], beta[..., arm, None], _QUANTILES)  # (..., nodes)
        others = np.ones(points.shape)
        for other in range(alpha.shape[-1]):
            if other != arm:
                others = others * special.betainc(alpha[..., other, None], beta[..., other, None], points)
        best[..., arm] = (others * _SHARES).sum(-1)
    return best / best.sum(-1, keepdims=True)


def allotment(alpha: np.ndarray, beta: np.ndarray, exploration: float) -> np.ndarray:
    """(..., arms) the probabilities of the next round: Thompson's, with a share of ``exploration`` uniform."""
    if not 0 <= exploration <= 1:
        raise ConfigError(f"exploration={exploration}, expected a share from 0 to 1")
    return (1 - exploration) * probability_best(alpha, beta) + exploration / np.shape(alpha)[-1]


def adaptive_estimate(
    arm: int,
    arms: Sequence[int] | np.ndarray,
    outcomes: Sequence[float] | np.ndarray,
    probabilities: np.ndarray,
    rounds: Sequence[int] | np.ndarray,
) -> tuple[float, float, float]:
    """The mean outcome of an arm and its 95% interval, valid under adaptive allotment (see the module).

    Args:
        arms, outcomes: (episodes,) who played each and what came of it.
        probabilities: (episodes,) with which this arm would have been played.
        rounds: (episodes,) the round of each, ascending; what is known before a round comes from earlier ones.

    Returns:
        estimate, low and high.
    """
    taken = np.asarray(arms) == arm
    values, chance, turn = np.asarray(outcomes, np.float64), np.asarray(probabilities, np.float64), np.asarray(rounds)
    first = np.searchsorted(turn, turn)  # (episodes,) the first episode of each one's round
    sums = np.concatenate(([0.0], np.cumsum(values * taken)))[first]
    counts = np.concatenate(([0], np.cumsum(taken)))[first]
    guess = (sums + 0.5) / (counts + 1)  # a mean that leans on 1/2 while little is known
    scores = guess + taken / chance * (values - guess)  # Eq. 5 of Hadad et al.
    estimate = float(scores.mean())
    error = float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else np.inf  # one says nothing of it
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    return estimate, estimate - half, estimate + half

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
from 0.

No normal interval around that estimate is valid: it covers too seldom when a run stops because an agent looks best, and
for the agent that was played most. `confidence_sequence` is valid at every number of episodes at once, so at any that a
rule of allotment or stopping may choose: goals are drawn anew for each episode, so the outcomes of one agent, in the
order of its episodes, are independent and of one mean, whoever chooses when it plays. Whoever bets against a mean m
that is the true one, winning the factor x q / m + (1 - x) (1 - q) / (1 - m) at outcome x, will by Ville's inequality
hold 20 times the stake with a probability of 5% at most, ever; the interval is the means against which less was won
(Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 86, 2024). The stake is spread evenly
over the bets q from 0 to 1; for outcomes 0 and 1 that is Robbins' beta-binomial mixture with the prior Beta(1, 1).
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from recrl.errors import ConfigError, DatasetError

CONFIDENCE = 0.95
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_BETS = (np.arange(500) + 0.5) / 500  # any choice is valid; so many are as good as all
_EDGE = 1e-12
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
) -> float:
    """The mean outcome of an arm, without bias under adaptive allotment (see the module); it may lie outside 0 to 1.

    Args:
        arms, outcomes: (episodes,) who played each and what came of it.
        probabilities: (episodes,) with which this arm would have been played.
        rounds: (episodes,) the round of each, ascending; what is known before a round comes from earlier ones.
    """
    taken = np.asarray(arms) == arm
    values, chance, turn = np.asarray(outcomes, np.float64), np.asarray(probabilities, np.float64), np.asarray(rounds)
    first = np.searchsorted(turn, turn)  # (episodes,) the first episode of each one's round
    sums = np.concatenate(([0.0], np.cumsum(values * taken)))[first]
    counts = np.concatenate(([0], np.cumsum(taken)))[first]
    guess = (sums + 0.5) / (counts + 1)  # a mean that leans on 1/2 while little is known
    weights = np.divide(1, chance, out=np.zeros(len(chance)), where=taken)  # a chance of 0 was not taken
    return float((guess + weights * (values - guess)).mean())  # Eq. 5 of Hadad et al.


def confidence_sequence(outcomes: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95% interval of an arm's mean outcome, valid whenever its episodes are looked at (see the module).

    Args:
        outcomes: (episodes,) from 0 to 1, of this arm alone.

    Returns:
        low and high; 0 and 1 without episodes.
    """
    values = np.asarray(outcomes, np.float64)
    if not len(values):
        return 0.0, 1.0
    if not (values.min() >= 0 and values.max() <= 1):
        raise DatasetError(f"outcomes from {values.min()} to {values.max()}, expected 0 to 1")
    points, counts = np.unique(values, return_counts=True)
    points = points[:, None]  # (outcomes, bets)

    def excess(mean: float) -> float:
        """The log of the money won by betting that the mean is not this one, less that at which it is given up."""
        factors = points * _BETS / mean + (1 - points) * (1 - _BETS) / (1 - mean)
        return float(special.logsumexp(counts @ np.log(factors)) - np.log(len(_BETS)) + np.log(1 - CONFIDENCE))

    middle = min(max(float(values.mean()), _EDGE), 1 - _EDGE)  # bets against it win nothing
    low = optimize.brentq(excess, _EDGE, middle) if excess(_EDGE) > 0 else 0.0
    high = optimize.brentq(excess, middle, 1 - _EDGE) if excess(1 - _EDGE) > 0 else 1.0
    return float(low), float(high)

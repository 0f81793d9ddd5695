"""What a policy would earn, estimated from the log of another that took its actions by known probabilities.

The ratio of an action's probability under the target policy to that under the logging one is multiplied up along each
episode: the weight w_t of everything up to step t. With n episodes and the reward r_t after step t,

- importance sampling per decision is the mean of sum_t w_t r_t: unbiased (Precup, Sutton and Singh, Eligibility Traces
  for Off-Policy Policy Evaluation, ICML 2000). Where only the last reward is not 0, as here, it is the same as
  importance sampling of whole episodes (Sutton and Barto, Reinforcement Learning, 2018, Eq. 5.5);
- self-normalised: sum of w G over sum of w, with the weights w and rewards G of whole episodes (the same book, Eq. 5.6,
  "weighted"): from 0 to 1 and steadier, for a bias that shrinks as the log grows;
- self-normalised per decision: sum_t of (sum of w_t r_t over sum of w_t), known as consistent weighted per-decision
  importance sampling and credited to Thomas, Safe Reinforcement Learning, 2015. An episode that has ended keeps its
  last weight; implementations differ in this, see docs/propensities.md.

Intervals of the self-normalised estimates are those of `recrl.evaluation.statistics` for a mean over target products,
with the weights of products in the place of their numbers of goals and the linearised variance of a ratio. They hold
only where many episodes count: of few effective ones they are too short.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recrl.environments.protocols import Task
from recrl.environments.webshop import as_task
from recrl.episodes.data import Episode, load_episodes
from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import SUMMARY_FILE
from recrl.errors import DatasetError, PolicyError
from recrl.evaluation.seen_goals import check_seen_goals
from recrl.evaluation.statistics import Clusters, score_interval
from recrl.policies.base import Answer, Choice, Policy, knows_goal
from recrl.policies.own import as_policy, choose
from recrl.runs import read_object
from recrl.webshop.catalog import Catalog

BATCH_SIZE = 64  # decisions that are scored together


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number from 0 to 100 with its 95% interval."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class OffPolicyEstimate:
    """What a log says of a policy.

    Attributes:
        policy: the target; logged_by: who acted.
        num_episodes: of the log; num_products: target products among them.
        logged_success_rate, logged_score: what the log itself earned, from 0 to 100.
        success_rate, score: by the self-normalised estimator, and success_rate_per_decision, score_per_decision: by the
            one per decision; unbiased_success_rate, unbiased_score: by importance sampling, which may exceed 100.
        effective_episodes: how many episodes of equal weight would tell as much, (sum of w) ** 2 / sum of w ** 2 (Kish,
            Survey Sampling, 1965); largest_share: of the weights, the heaviest episode's.
        unsupported: the target's probability of actions that the logging policy never takes, averaged over the
            decisions that it was asked about; None where the log does not hold the probabilities of all actions.
            Estimates miss what these actions earn.
    """

    policy: str
    logged_by: str
    num_episodes: int
    num_products: int
    logged_success_rate: float
    logged_score: float
    success_rate: Estimate
    score: Estimate
    success_rate_per_decision: Estimate
    score_per_decision: Estimate
    unbiased_success_rate: float
    unbiased_score: float
    effective_episodes: float
    largest_share: float
    unsupported: float | None


def estimate_from_log(
    policy: Policy | Callable[[str, dict[str, Any]], Answer],
    log: str | Path | Sequence[Episode],
    catalog: Catalog | Task,
    *,
    allow_seen_goals: bool = False,
) -> OffPolicyEstimate:
    """Estimates what a policy would earn on the goals of a log, without playing it.

    Args:
        policy: the target. It must give the probabilities of all actions, or be deterministic, as rules are; a model
            counts as it samples.
        log: a dataset of `recrl generate-trajectories --log`, by folder or Hub id, or its episodes.
        catalog: what was played, a catalogue or another task.
        allow_seen_goals: estimate it even on goals that it was trained on.

    Raises:
        DatasetError: the log was selected, is of other goals, or lacks what the estimates need; or it holds no episode
            that the target could have played.
        PolicyError: the target knows the goal, depends on its own draws, writes its actions, or was trained on the
            goals.
    """
    policy, task = as_policy(policy), as_task(catalog)
    episodes = load_log(log) if isinstance(log, str | Path) else list(log)
    _check_target(policy)
    _check_log(episodes, task)
    goals = [episode.goal_index for episode in episodes]
    check_seen_goals(policy, task, goals, asked="the log", allowed=allow_seen_goals)
    probabilities = target_probabilities(policy, episodes)
    ratios = [_log_ratios(*one) for one in zip(episodes, probabilities, strict=True)]
    weights, groups = cumulative_weights(ratios), Clusters([task.target(goal) for goal in goals])
    last = weights[:, -1]
    if not last.any():
        raise DatasetError(
            f"{policy.name!r} would have played none of the {len(episodes)} episodes as they were logged: the log says "
            "nothing of it"
        )
    returns = {
        "success_rate": np.array([float(episode.success) for episode in episodes]),
        "score": np.array([episode.reward for episode in episodes]),
    }
    found: dict[str, Any] = {}
    for name, values in returns.items():
        rewards = _at_the_end(values, ratios)
        found[name] = _estimate(self_normalised(weights, rewards), last, values, groups)
        found[f"{name}_per_decision"] = _estimate(self_normalised_per_decision(weights, rewards), last, values, groups)
        found[f"unbiased_{name}"] = 100 * importance_sampling(weights, rewards)
    return OffPolicyEstimate(
        policy=policy.name,
        logged_by=" and ".join(dict.fromkeys(episode.policy for episode in episodes)),
        num_episodes=len(episodes),
        num_products=len(groups.counts),
        logged_success_rate=100 * float(returns["success_rate"].mean()),
        logged_score=100 * float(returns["score"].mean()),
        effective_episodes=float(last.sum() ** 2 / (last**2).sum()),
        largest_share=float(last.max() / last.sum()),
        unsupported=_unsupported(episodes, probabilities),
        **found,
    )


def load_log(source: str | Path) -> list[Episode]:
    """Opens a trajectory dataset whose episodes were not selected by what they earned.

    Raises:
        DatasetError: they were, as its summary says; or see `recrl.episodes.data.load_episodes`.
    """
    episodes, summary = load_episodes(source), Path(source) / SUMMARY_FILE
    config = read_object(summary, Path(source)).get("config") if summary.is_file() else None
    if isinstance(config, dict) and (config.get("min_reward") or config.get("prune")):
        raise DatasetError(
            f"{source} was collected with min_reward={config.get('min_reward')} and prune={config.get('prune')}: what "
            "was left out makes every estimate wrong; collect it with `recrl generate-trajectories --log`"
        )
    return episodes


def target_probabilities(policy: Policy, episodes: Sequence[Episode]) -> list[list[tuple[float, ...]]]:
    """For each episode and step (actions,) probabilities of the valid actions under a policy. An episode's list ends
    where the policy would never have done what was done: there its weight is 0, and it is not asked on ways that are
    not its own.

    Raises:
        PolicyError: it writes actions, or draws them without saying their probabilities.
    """
    found: list[list[tuple[float, ...]]] = [[] for _ in episodes]
    walks = [episode.decisions() for episode in episodes]
    memories: list[dict[Any, Any]] = [{} for _ in episodes]
    rngs = [np.random.default_rng([0, number]) for number in range(len(episodes))]
    running = list(range(len(episodes)))
    while running:
        for first in range(0, len(running), BATCH_SIZE):
            numbers = running[first : first + BATCH_SIZE]
            decisions = [replace(next(walks[number]), memory=memories[number]) for number in numbers]
            choices = choose(policy, decisions, [rngs[number] for number in numbers])
            for number, decision, choice in zip(numbers, decisions, choices, strict=True):
                found[number].append(_chances(policy, decision, choice))
        running = [number for number in running if _goes_on(episodes[number], found[number])]
    return found


def _goes_on(episode: Episode, chances: Sequence[tuple[float, ...]]) -> bool:
    asked = len(chances)
    return asked < episode.num_steps and chances[-1][episode.steps[asked - 1].action_index] > 0


def _log_ratios(episode: Episode, chances: Sequence[tuple[float, ...]]) -> np.ndarray:
    """(steps,) log-probability of each action under the target minus the logged one; 0 for steps not asked about."""
    ratios = np.zeros(episode.num_steps)
    for place, (step, of_actions) in enumerate(zip(episode.steps, chances, strict=False)):
        chance = of_actions[step.action_index]
        assert step.log_prob is not None  # see `_check_log`
        ratios[place] = math.log(chance) - step.log_prob if chance > 0 else -math.inf
    return ratios


def cumulative_weights(log_ratios: Sequence[np.ndarray]) -> np.ndarray:
    """The weights of what happened up to each step.

    Args:
        log_ratios: for each episode (steps,) differences of the log-probabilities of its actions, target minus logging.

    Returns:
        (episodes, steps) as long as the longest; one that has ended keeps its last weight.
    """
    longest = max(len(one) for one in log_ratios)
    padded = np.array([np.pad(one, (0, longest - len(one))) for one in log_ratios])
    return np.exp(padded.cumsum(1))


def importance_sampling(weights: np.ndarray, rewards: np.ndarray) -> float:
    """The mean weighted return of (episodes, steps) weights and rewards; unbiased, and not bounded by 1."""
    return float((weights * rewards).sum(1).mean())


def self_normalised(weights: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """(episodes,) linearised values whose mean is the self-normalised estimate of whole episodes.

    Args:
        weights: (episodes, steps), of `cumulative_weights`, not all 0 at the end; rewards: (episodes, steps), 0 after
            an episode's end.
    """
    last, returns = weights[:, -1], rewards.sum(1)
    estimate = (last * returns).sum() / last.sum()
    return np.asarray(estimate + last * (returns - estimate) / last.mean())


def self_normalised_per_decision(weights: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """As `self_normalised`, with the weights of each step normalised on their own."""
    means = weights.mean(0)  # (steps,) none is 0: some episode's weight is not, up to the end
    at_step = (weights * rewards).mean(0) / means
    return np.asarray(at_step.sum() + (weights * (rewards - at_step) / means).sum(1))


def _estimate(linearised: np.ndarray, weights: np.ndarray, returns: np.ndarray, groups: Clusters) -> Estimate:
    """A self-normalised estimate with its interval, from 0 to 100.

    Args:
        linearised: (episodes,) see `self_normalised`; weights, returns: (episodes,) of whole episodes.
    """
    mean = float(linearised.mean())
    low, high = 0.0, 1.0  # one product says nothing of others
    if len(groups.counts) > 1:
        shares, won = groups.sums(weights), groups.sums(weights * returns)
        deciding = min(int((won > 0).sum()), int((won < shares).sum()))
        effective = float(shares.sum() ** 2 / (shares**2).sum())  # products of equal weight that tell as much
        low, high = score_interval(mean, groups.variance(linearised), effective, deciding, len(groups.counts) - 1)
    return Estimate(100 * mean, (100 * low, 100 * high))


def _at_the_end(rewards: np.ndarray, steps: Sequence[np.ndarray]) -> np.ndarray:
    """(episodes, steps) with each episode's reward at its last step."""
    table = np.zeros((len(rewards), max(map(len, steps))))
    for place, (reward, one) in enumerate(zip(rewards, steps, strict=True)):
        table[place, len(one) - 1] = reward
    return table


def _check_target(policy: Policy) -> None:
    if knows_goal(policy):
        raise PolicyError(f"{policy.name!r} knows the goal, which a log does not hold for it; play it instead")
    if getattr(policy, "loop_guard", False):
        raise PolicyError(
            f"{policy.name!r} has a loop guard, whose probabilities depend on what it took itself; estimate it without"
        )


def _check_log(episodes: Sequence[Episode], task: Task) -> None:
    if not episodes:
        raise DatasetError("the log holds no episodes")
    others = {episode.protocol for episode in episodes if episode.goals_sha256 != task.goals_sha256}
    if others:
        raise DatasetError(f"the log is of other goals than the catalogue's: {', '.join(sorted(others))}")
    steps = [step for episode in episodes for step in episode.steps]
    written, unknown = sum(step.written for step in steps), sum(step.log_prob is None for step in steps)
    if written or unknown:
        what = f"{written} actions that a model wrote" if written else f"{unknown} actions of unknown probability"
        raise DatasetError(
            f"the log holds {what}, of {len(steps)}; estimates need actions of the page with their log-probabilities"
        )


def _chances(policy: Policy, decision: Decision, choice: Choice) -> tuple[float, ...]:
    if choice.text is not None:
        raise PolicyError(f"{policy.name!r} writes its actions; estimates need the probabilities of the valid ones")
    if choice.probabilities:
        return choice.probabilities
    if choice.log_prob != 0:  # of a deterministic policy it is
        raise PolicyError(
            f"{policy.name!r} gave an action of log_prob={choice.log_prob} without the probabilities of all actions; "
            "give them in its Choice"
        )
    return _certain(choice.action_index, decision.valid_actions)


def _certain(action_index: int, valid_actions: Sequence[str]) -> tuple[float, ...]:
    return tuple(float(index == action_index) for index in range(len(valid_actions)))


def _unsupported(episodes: Sequence[Episode], target: Sequence[Sequence[tuple[float, ...]]]) -> float | None:
    """The target's mean probability of actions whose logged probability is 0."""
    missed = []
    asked = (episode.steps[: len(chances)] for episode, chances in zip(episodes, target, strict=True))
    for step, chances in zip(itertools.chain(*asked), itertools.chain(*target), strict=True):
        logged = step.probabilities
        if not logged and step.log_prob == 0:
            logged = _certain(step.action_index, step.valid_actions)
        if not logged:
            return None
        missed.append(sum(chance for chance, ours in zip(chances, logged, strict=True) if ours == 0))
    return float(np.mean(missed))

"""From the rounds of a comparison to its report: posteriors, estimates, running means and paired differences."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recrl.environments.protocols import Task
from recrl.evaluation.bandits import adaptive_estimate, confidence_sequence, probability_best
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.report import AgentEstimate, PairedDifference, Report, RunningMeans, RunReport
from recrl.evaluation.statistics import cluster_sign_test
from recrl.queries.proposing import recorded


@dataclass(frozen=True)
class Round:
    """One round of a run: who played which goal, and what came of it.

    Attributes:
        probabilities: (agents,) with which each episode went to an agent; arms, goals, rewards: (episodes,).
        trials: (episodes,) 0 or 1, what the posterior learned of each.
    """

    run: int
    number: int
    probabilities: list[float]
    arms: list[int]
    goals: list[int]
    rewards: list[float]
    trials: list[int]

    def __post_init__(self) -> None:
        count, size = len(self.probabilities), len(self.arms)
        whole = (self.run, self.number, *self.arms, *self.goals, *self.trials)
        if not all(type(value) is int and value >= 0 for value in whole):
            raise ValueError("run, number, arms, goals and trials are whole numbers from 0 on")
        if not len(self.goals) == len(self.rewards) == len(self.trials) == size:
            raise ValueError(
                f"{size} arms, {len(self.goals)} goals, {len(self.rewards)} rewards: expected as many of each"
            )
        if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in (*self.rewards, *self.trials)):
            raise ValueError("rewards and trials are numbers from 0 to 1")
        if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in self.probabilities):
            raise ValueError("probabilities are numbers from 0 to 1")
        if any(arm >= count for arm in self.arms):
            raise ValueError(f"arm {max(self.arms)} of {count} agents")


def posterior(config: ComparisonConfig, rounds: Sequence[Round], count: int) -> tuple[np.ndarray, np.ndarray]:
    """(agents,) the parameters of the Beta posteriors after some rounds."""
    arms = np.array([arm for one in rounds for arm in one.arms], np.int64)
    trials = np.array([trial for one in rounds for trial in one.trials], np.float64)
    won, all_of = np.bincount(arms, trials, count), np.bincount(arms, minlength=count)
    return config.prior_alpha + won, config.prior_beta + all_of - won


def make_report(config: ComparisonConfig, task: Task, rounds: Sequence[Round]) -> Report:
    """What was found: per run and over all runs; rates from 0 to 100, probabilities from 0 to 1.

    Only the rounds of the ``config.runs`` first runs count; a folder may hold more from an earlier command.
    """
    runs = [[one for one in rounds if one.run == run] for run in range(config.runs)]
    counted = [one for of_run in runs for one in of_run]
    return Report(
        config=json.loads(json.dumps(recorded(config))),
        protocol=task.protocol(config.split_by),
        catalog_sha256=task.sha256,
        goals_sha256=task.goals_sha256,
        num_goals=len(task.split(config.split, config.split_by)),
        agents=config.policies,
        runs=tuple(_report_run(config, of_run) for of_run in runs),
        all_runs=_estimates(config, counted),
        paired=_paired(config, task, counted) if config.allocation == "uniform" else None,
    )


def _report_run(config: ComparisonConfig, rounds: Sequence[Round]) -> RunReport:
    count = len(config.policies)
    alpha, beta = posterior(config, rounds, count)
    best = probability_best(alpha, beta)
    means = alpha / (alpha + beta)
    pulls = np.bincount([arm for one in rounds for arm in one.arms], minlength=count)
    return RunReport(
        num_episodes=int(pulls.sum()),
        pulls=tuple(pulls.tolist()),
        posterior_alpha=tuple(alpha.tolist()),
        posterior_beta=tuple(beta.tolist()),
        posterior_mean=tuple((100 * means).tolist()),
        probability_best=tuple(best.tolist()),
        probability_best_by_round=tuple(
            tuple(probability_best(*posterior(config, rounds[: place + 1], count)).tolist())
            for place in range(len(rounds))
        ),
        expected_regret=float(((means.max() - means) * pulls).sum()),
        agents=_estimates(config, rounds),
        running=tuple(_running(rounds, arm) for arm in range(count)),
    )


def _running(rounds: Sequence[Round], arm: int) -> RunningMeans:
    outcomes = [pair for one in rounds for pair in zip(one.arms, one.rewards, strict=True)]
    rewards = np.array([reward for who, reward in outcomes if who == arm])
    played = np.arange(1, len(rewards) + 1)
    return RunningMeans(
        score=tuple((100 * rewards.cumsum() / played).round(3).tolist()),
        success=tuple((100 * (rewards == 1).cumsum() / played).round(3).tolist()),
    )


def _estimates(config: ComparisonConfig, rounds: Sequence[Round]) -> tuple[AgentEstimate, ...]:
    """For each agent the biased running mean, and the estimate of its success and score with valid 95% intervals.

    An estimate outside its interval, which may also be outside 0 to 100, is moved to the interval's nearest end.
    """
    arms = [arm for one in rounds for arm in one.arms]
    rewards = np.array([reward for one in rounds for reward in one.rewards])
    turns = np.repeat(np.arange(len(rounds)), [len(one.arms) for one in rounds])
    estimates = []
    for arm, name in enumerate(config.policies):
        chance = np.array([one.probabilities[arm] for one in rounds for _ in one.arms])
        played = np.array(arms) == arm
        entry: dict[str, Any] = {}
        for objective, outcomes in (("success", (rewards == 1).astype(float)), ("score", rewards)):
            low, high = confidence_sequence(outcomes[played])
            entry[f"{objective}_ci"] = (100 * low, 100 * high)
            raw = adaptive_estimate(arm, arms, outcomes, chance, turns) if played.any() else None
            entry[f"{objective}_raw"] = None if raw is None else 100 * raw
            entry[objective] = None if raw is None else 100 * min(max(raw, low), high)
            entry[f"{objective}_running_mean"] = 100 * float(outcomes[played].mean()) if played.any() else None
        estimates.append(AgentEstimate(policy=name, pulls=int(played.sum()), **entry))
    return tuple(estimates)


def _paired(config: ComparisonConfig, task: Task, rounds: Sequence[Round]) -> tuple[PairedDifference, ...]:
    """Of a uniform allotment: each agent against the first, on the same goals; intervals as those of the agents."""
    count = len(config.policies)
    rewards = np.concatenate([np.array(one.rewards).reshape(-1, count) for one in rounds])  # (goals, agents)
    products = [task.target(goal) for one in rounds for goal in one.goals[::count]]
    found = []
    for arm in range(1, count):
        entry: dict[str, Any] = {}
        for objective, outcomes in (("success", (rewards == 1).astype(float)), ("score", rewards)):
            differences = outcomes[:, arm] - outcomes[:, 0]
            low, high = confidence_sequence((1 + differences) / 2)
            entry[f"{objective}_difference"] = 100 * float(differences.mean())
            entry[f"{objective}_difference_ci"] = (100 * (2 * low - 1), 100 * (2 * high - 1))
            if objective == "success":
                better, worse, p_value = cluster_sign_test(differences.tolist(), products)
                entry |= {"products_better": better, "products_worse": worse, "p_value_products": p_value}
        found.append(PairedDifference(policy=config.policies[arm], baseline=config.policies[0], **entry))
    return tuple(found)

"""Evaluating a policy on frozen goals: one episode a goal, intervals that respect the products."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recrl.environments.protocols import GoalSource, Queries, Task
from recrl.environments.webshop import WebShopTask, as_task
from recrl.episodes.data import REWARD_PARTS, Episode
from recrl.errors import ConfigError, DatasetError, PolicyError, StorageError
from recrl.evaluation.ceilings import ceiling_rewards
from recrl.evaluation.config import DECODINGS
from recrl.evaluation.failure_types import Failure, Failures
from recrl.evaluation.failures import explain_failure
from recrl.evaluation.result_types import EpisodeRecord, GoalList, Result
from recrl.evaluation.results import check_same_goals, compare_results, summarise
from recrl.evaluation.seen_goals import check_seen_goals
from recrl.policies.base import Answer, Policy, knows_goal
from recrl.policies.own import as_policy
from recrl.progress import tracked
from recrl.queries.proposing import describe_queries
from recrl.rollouts.rollout import rollout
from recrl.version import versions
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import DEFAULT_SPLIT_BY

POLICY_SETTINGS = ("temperature", "loop_guard", "answers")  # what a model's policy has beside its name


def evaluation_goals(catalog: GoalSource, split: str, split_by: str, num_episodes: int | None) -> np.ndarray:
    """The first goals of a split, in its order.

    Raises:
        DatasetError: the split holds fewer.
    """
    goals = np.asarray(catalog.split(split, split_by))
    if num_episodes is None:
        return goals
    if not 0 < num_episodes <= len(goals):
        raise DatasetError(
            f"num_episodes={num_episodes}, but the {split} split by {split_by} of {catalog.protocol(split_by)} holds "
            f"{len(goals)} goals; each is used once, so ask for 1 to {len(goals)}"
        )
    return goals[:num_episodes]


def evaluate(
    policy: Policy | Callable[[str, dict[str, Any]], Answer],
    catalog: Catalog | Task,
    *,
    split: str = "test",
    split_by: str = DEFAULT_SPLIT_BY,
    num_episodes: int | None = None,
    decoding: str = "greedy",
    seed: int = 0,
    batch_size: int = 16,
    max_steps: int = 15,
    baseline: Result | None = None,
    allow_seen_goals: bool = False,
    explain_failures: bool = False,
    progress: Callable[[int, int], None] | None = None,
    queries: Queries | None = None,
) -> Result:
    """Plays each goal once and sums up.

    Args:
        policy: a policy, or a function of (observation, info), see `recrl.policies.own`.
        catalog: what is played: a catalogue, or another `recrl.environments.protocols.Task`.
        num_episodes: the first goals of the split, in order; None is all of them.
        decoding: greedy, or sample from the policy.
        seed: of sampling; batch_size: environments side by side, without influence on the result.
        baseline: another result on the same goals, for the paired difference in ``comparison``.
        allow_seen_goals: score it even on goals that it may have been trained on; the result says how many.
        explain_failures: also find out why episodes failed, see `recrl.evaluation.failures`.
        progress: called with the episodes played and their total.
        queries: proposes search queries, as `recrl.webshop.env.WebShopEnv` takes them; the result names the model.

    Returns:
        rates from 0 to 100, 95% intervals, fingerprints, and ``episodes``.

    Raises:
        DatasetError: fewer goals than asked for, an unknown decoding, or a baseline on other goals; before anything is
            played.
        PolicyError: the policy, or the baseline's, may have been trained on some of the goals; before anything is
            played.
    """
    policy = as_policy(policy)
    if decoding not in DECODINGS:
        raise DatasetError(f"decoding={decoding!r}, expected one of {', '.join(DECODINGS)}")
    task = as_task(catalog)
    if explain_failures and not isinstance(task, WebShopTask):
        raise ConfigError("failures are explained in shops only; leave out failures")
    goals = evaluation_goals(task, split, split_by, num_episodes)
    if baseline is not None:
        ours = GoalList(task.protocol(split_by), task.sha256, task.goals_sha256, tuple(goals.tolist()))
        check_same_goals(ours, baseline.goals)
        if isinstance(baseline.num_seen_goals, int) and baseline.num_seen_goals and not allow_seen_goals:
            raise PolicyError(
                f"{baseline.num_seen_goals} of the {len(goals)} goals are training goals of the baseline "
                f"{baseline.policy!r}; take another baseline, or say --allow_seen_goals"
            )
    seen = check_seen_goals(policy, task, goals, asked=f"the {split} split by {split_by}", allowed=allow_seen_goals)
    episodes: list[Episode] = []
    failures: list[Failure] = []
    played = rollout(
        policy,
        task,
        goals.tolist(),
        seed=seed,
        split_by=split_by,
        batch_size=batch_size,
        max_steps=max_steps,
        greedy=decoding == "greedy",
        queries=queries,
    )
    for episode in tracked(played, f"playing {policy.name}", len(goals)):
        episodes.append(episode)
        if explain_failures and isinstance(task, WebShopTask):
            failure = explain_failure(task.catalog, episode)
            failures += [] if failure is None else [failure]
        if progress is not None:
            progress(len(episodes), len(goals))
    records = tuple(map(record_of, episodes))
    bought = [episode.reward_parts for episode in episodes if episode.reward_parts]
    found = {name: [float(parts[name]) for parts in bought if name in parts] for name in REWARD_PARTS}
    result = Result(
        **_settings(task, split, split_by, max_steps),
        policy=policy.name,
        **{name: getattr(policy, name) for name in POLICY_SETTINGS if hasattr(policy, name)},
        **describe_queries(queries),
        decoding=decoding,
        seed=seed,
        **summarise(records),
        mean_steps=float(np.mean([episode.num_steps for episode in episodes])),
        truncated_rate=100 * float(np.mean([episode.truncated for episode in episodes])),
        refused_rate=_refused_rate(episodes) if getattr(policy, "answers", "score") != "score" else None,
        reward_parts={name: float(np.mean(values)) for name, values in found.items() if values},
        num_seen_goals=seen,
        knows_goal=knows_goal(policy) or None,
        trained_on_this_catalog=policy.catalog_sha256 == task.sha256 if policy.catalog_sha256 else None,
        episodes=records,
        failures=Failures.of(failures) if explain_failures else None,
    )
    return result if baseline is None else replace(result, comparison=compare_results(result, baseline))


def _refused_rate(episodes: Sequence[Episode]) -> float:
    """The share of actions, in %, that a policy wrote and the environment refused."""
    return 100 * float(np.mean([not step.accepted for episode in episodes for step in episode.steps]))


def record_of(episode: Episode) -> EpisodeRecord:
    """What a result keeps of an episode: what came of it, and what gives its pages again."""
    assert episode.target_asin is not None  # it was just played
    return EpisodeRecord(
        goal_index=episode.goal_index,
        target_asin=episode.target_asin,
        reward=episode.reward,
        success=episode.success,
        num_steps=episode.num_steps,
        truncated=episode.truncated,
        bought_asin=episode.bought_asin,
        bought_options=episode.bought_options,
        reward_parts=episode.reward_parts,
        actions=tuple(step.action for step in episode.steps),
        probabilities=tuple(step.probabilities for step in episode.steps),
        values=tuple(step.value for step in episode.steps),
    )


def evaluate_ceiling(
    catalog: Catalog,
    *,
    split: str = "test",
    split_by: str = DEFAULT_SPLIT_BY,
    num_episodes: int | None = None,
    num_hits: int,
) -> Result:
    """The result of a perfect shopper among the first ``num_hits`` hits, see `recrl.evaluation.ceilings`."""
    goals = evaluation_goals(catalog, split, split_by, num_episodes)
    records = tuple(
        EpisodeRecord(
            goal_index=int(index), target_asin=catalog.goals[index].asin, reward=reward, success=reward == 1.0
        )
        for index, reward in zip(goals, ceiling_rewards(catalog, goals.tolist(), num_hits=num_hits), strict=True)
    )
    return Result(
        **_settings(catalog, split, split_by, None),
        policy=f"ceiling of {num_hits} hits",
        **summarise(records),
        episodes=records,
    )


def _settings(catalog: GoalSource, split: str, split_by: str, max_steps: int | None) -> dict[str, Any]:
    """The fields of a result that say which goals are played, and by what."""
    return {
        "protocol": catalog.protocol(split_by),
        "split": split,
        "split_by": split_by,
        "max_steps": max_steps,
        "catalog_sha256": catalog.sha256,
        "goals_sha256": catalog.goals_sha256,
        "versions": versions(),
    }


def check_result_path(path: str | Path) -> None:
    """Refuses, before anything is played, a place where the result could not be written.

    Raises:
        StorageError: it is a folder, or lies in something that is no folder or not writable.
    """
    path = Path(path).absolute()
    nearest = next(parent for parent in path.parents if parent.exists())
    if path.is_dir():
        raise StorageError(f"the result cannot be written to {path}: it is a folder; name a file")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise StorageError(f"the result cannot be written to {path}: {nearest} is no folder that can be written to")

"""Results of an evaluation: their file, summary, comparison, and one result of several seeds.

A result file is a JSON object with the fields of `Result` and a ``format_version`` (`recrl.evaluation.typed_json`).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from recrl.episodes.data import REWARD_PARTS
from recrl.errors import DatasetError
from recrl.evaluation.result_types import (
    PLAY_FIELDS,
    BaselineSettings,
    Comparison,
    EpisodeRecord,
    GoalList,
    Interval,
    Result,
)
from recrl.evaluation.seen_goals import most_seen
from recrl.evaluation.statistics import (
    cluster_mean,
    cluster_sign_test,
    difference_interval,
    mcnemar_p_value,
    mean_interval,
    wilson_interval,
)
from recrl.evaluation.typed_json import read_versioned
from recrl.seals import write_sealed_json

RECORD_MEANS = ("reward", "success", "num_steps", "truncated")


class Summary(TypedDict):
    """The fields of a `Result` that follow from outcomes and products alone."""

    num_episodes: int
    num_products: int
    score: float
    success_rate: float
    score_ci: Interval
    success_ci: Interval
    success_ci_wilson: Interval
    success_per_product: float
    score_per_product: float


def summarise(records: Sequence[EpisodeRecord]) -> Summary:
    """Rates and intervals of episode records; rates and scores from 0 to 100.

    The intervals count target products and, where rewards were averaged over seeds, seeds
    (`recrl.evaluation.statistics`).
    """
    products = [record.target_asin for record in records]
    successes = [float(record.success) for record in records]
    rewards = [record.reward for record in records]

    def interval(values: np.ndarray) -> Interval:
        low, high = mean_interval(values, products)
        return 100 * low, 100 * high

    low, high = wilson_interval(int(sum(successes)), len(records))
    return {
        "num_episodes": len(records),
        "num_products": len(set(products)),
        "score": 100 * float(np.mean(rewards)),
        "success_rate": 100 * float(np.mean(successes)),
        "score_ci": interval(_rewards(records)),
        "success_ci": interval(_rewards(records) == 1),
        "success_ci_wilson": (100 * low, 100 * high),
        "success_per_product": 100 * cluster_mean(successes, products),
        "score_per_product": 100 * cluster_mean(rewards, products),
    }


def _rewards(records: Sequence[EpisodeRecord]) -> np.ndarray:
    """(goals, seeds) rewards.

    Raises:
        DatasetError: they were averaged over seeds, and the seeds' own are missing or unequal in number.
    """
    rewards = [
        (record.reward,) if isinstance(record.success, bool) else record.reward_by_seed or () for record in records
    ]
    if not rewards[0] or len(set(map(len, rewards))) > 1:
        raise DatasetError(
            "outcomes were averaged over seeds, but reward_by_seed is missing or not equally long; aggregate the "
            "seeds' results again, so that the interval can count seeds"
        )
    return np.array(rewards)


def compare_results(result: Result, baseline: Result) -> Comparison:
    """The paired difference of two results on the same goals, ``result`` minus ``baseline``.

    Means over equally many seeds are compared seed by seed, in their order: give the start's and the agent's seeds
    alike.

    Raises:
        DatasetError: the results are of other catalogues, protocols or goals.
    """
    check_same_goals(result.goals, baseline.goals)
    pairs = list(zip(result.episodes, baseline.episodes, strict=True))
    products = [record.target_asin for record in result.episodes]
    ours, theirs = _rewards(result.episodes), _rewards(baseline.episodes)

    def difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, Interval]:
        low, high = difference_interval(ours, theirs, products)
        return 100 * float(ours.mean() - theirs.mean()), (100 * low, 100 * high)

    success, success_ci = difference(ours == 1, theirs == 1)
    score, score_ci = difference(ours, theirs)
    better, worse, p_value_products = cluster_sign_test([one.success - two.success for one, two in pairs], products)
    counted = [
        (one.success, two.success)
        for one, two in pairs
        if isinstance(one.success, bool) and isinstance(two.success, bool)
    ]
    return Comparison(
        baseline=baseline.policy,
        baseline_settings=BaselineSettings(
            decoding=baseline.decoding, seed=baseline.seed, max_steps=baseline.max_steps
        ),
        success_difference=success,
        success_difference_ci=success_ci,
        score_difference=score,
        score_difference_ci=score_ci,
        products_better=better,
        products_worse=worse,
        p_value_products=p_value_products,
        p_value=mcnemar_p_value(*zip(*counted, strict=True)) if len(counted) == len(pairs) else None,
    )


def check_same_goals(goals: GoalList, baseline: GoalList) -> None:
    """Refuses a baseline of another protocol, catalogue or list of goals.

    Raises:
        DatasetError: see above; the message holds both sides.
    """
    for name in ("protocol", "catalog_sha256", "goals_sha256"):
        ours, theirs = getattr(goals, name), getattr(baseline, name)
        if ours != theirs:
            raise DatasetError(f"{name} is {ours!r}, the baseline's {theirs!r}; compare equal goals")
    if goals != baseline:
        raise DatasetError(
            f"{len(goals.goal_indices)} goals, the baseline has {len(baseline.goal_indices)} and not the same; use its "
            "--split and --num_episodes"
        )


def aggregate_seeds(results: Sequence[Result]) -> Result:
    """Results of one method with several seeds, on the same goals, as one result.

    Each goal's outcome is averaged over the seeds; the intervals say what other products and other seeds would do to
    the mean, and ``success_by_seed`` and ``success_std`` (over seeds, n - 1) what seeds alone do.

    Raises:
        DatasetError: there is no result, one is not of a single seed, or they are not of the same goals, step limit or
            decoding.
    """
    if not results:
        raise DatasetError("no results to aggregate; expected one per seed")
    first = results[0]
    seeds = tuple(result.seed for result in results if isinstance(result.seed, int))
    if len(seeds) < len(results):
        raise DatasetError(
            f"results of {first.policy} have the seeds {[result.seed for result in results]}; expected played results "
            "of one seed each"
        )
    for result in results[1:]:
        check_same_goals(result.goals, first.goals)
        for name in ("max_steps", "decoding"):
            if getattr(result, name) != getattr(first, name):
                raise DatasetError(
                    f"results of one method have {name}={getattr(first, name)!r} and {getattr(result, name)!r}; only "
                    "the seed may differ, so evaluate one of them again"
                )
    records = tuple(
        dataclasses.replace(
            same[0],
            **{name: float(np.mean([getattr(record, name) for record in same])) for name in RECORD_MEANS},
            reward_by_seed=tuple(record.reward for record in same),
            **dict.fromkeys(("actions", *PLAY_FIELDS)),  # each seed's own, not the mean's
        )
        for same in zip(*(result.episodes for result in results), strict=True)
    )
    parts = [result.reward_parts or {} for result in results]
    by_seed = {name: tuple(getattr(result, name) for result in results) for name in ("success_rate", "score")}
    spread = {name: float(np.std(values, ddof=1)) if len(values) > 1 else None for name, values in by_seed.items()}
    summary: dict[str, Any] = {**summarise(records), "success_ci_wilson": None}  # means over seeds are no counts
    return dataclasses.replace(
        first,
        **summary,
        mean_steps=float(np.mean([result.mean_steps for result in results])),
        truncated_rate=float(np.mean([result.truncated_rate for result in results])),
        reward_parts={
            name: float(np.mean([of_seed[name] for of_seed in parts if name in of_seed]))
            for name in REWARD_PARTS
            if any(name in of_seed for of_seed in parts)
        },
        seed=seeds,
        episodes=records,
        num_seen_goals=most_seen([result.num_seen_goals for result in results]),
        comparison=None,  # was the first seed's, and so were its failures
        failures=None,
        success_by_seed=by_seed["success_rate"],
        success_std=spread["success_rate"],
        score_by_seed=by_seed["score"],
        score_std=spread["score"],
    )


def save_result(path: str | Path, result: Result) -> None:
    """Writes a result file, atomically.

    Raises:
        StorageError: the disk is full or not writable; ``path`` keeps its former content.
    """
    write_sealed_json(path, result.to_json())


def load_result(path: str | Path) -> Result:
    """Reads a result file of `recrl evaluate --output_json`.

    Raises:
        DatasetError: it is missing, foreign, of a later version, or damaged: a type is wrong, an outcome is impossible,
            or the summary contradicts the episodes.
    """
    return read_versioned(
        Result,
        path,
        what="result of `recrl evaluate --output_json`",
        advice="evaluate again with --output_json",
        upgrade=_upgrade,
    )


def _upgrade(fields: dict[str, Any], version: int) -> None:
    """Up to version 2 the target's asin was called ``asin``."""
    if version >= 3:
        return
    failures = fields.get("failures")
    for holder in (fields, failures if isinstance(failures, dict) else {}):
        episodes = holder.get("episodes")
        for record in episodes if isinstance(episodes, list) else ():
            if isinstance(record, dict) and "asin" in record:
                record["target_asin"] = record.pop("asin")

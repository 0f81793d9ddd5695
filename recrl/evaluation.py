"""Evaluating a policy on frozen goals: one episode a goal, intervals that respect the products, paired comparisons."""

import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recrl.ceilings import ceiling_rewards
from recrl.episodes import REWARD_PARTS, Episode
from recrl.errors import DatasetError
from recrl.policies import Policy
from recrl.rollouts import rollout
from recrl.statistics import cluster_bootstrap, cluster_mean, mcnemar_p_value, wilson_interval
from recrl.version import __version__
from recrl.webshop.catalog import Catalog

DECODINGS = ("greedy", "sample")
BOOTSTRAP_SEED = 0  # the intervals of equal outcomes are equal
SAME_GOALS = ("protocol", "catalog_sha256", "goals_sha256")


def evaluation_goals(catalog: Catalog, split: str, split_by: str, num_episodes: int | None) -> np.ndarray:
    """The first goals of a split, in its order.

    Raises:
        DatasetError: the split holds fewer.
    """
    goals = catalog.split(split, split_by)
    if num_episodes is None:
        return goals
    if not 0 < num_episodes <= len(goals):
        raise DatasetError(
            f"num_episodes={num_episodes}, but the {split} split by {split_by} of {catalog.protocol(split_by)} holds "
            f"{len(goals)} goals; each is used once, so ask for at most that many"
        )
    return goals[:num_episodes]


def evaluate(
    policy: Policy,
    catalog: Catalog,
    *,
    split: str = "test",
    split_by: str = "goal",
    num_episodes: int | None = None,
    decoding: str = "greedy",
    seed: int = 0,
    batch_size: int = 16,
    max_steps: int = 15,
    baseline: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Plays each goal once and sums up.

    Args:
        num_episodes: the first goals of the split, in order; None is all of them.
        decoding: greedy, or sample from the policy.
        seed: of sampling; batch_size: environments side by side, without influence on the result.
        baseline: another result on the same goals, for the paired difference in ``comparison``.
        progress: called with the episodes played and their total.

    Returns:
        the result object: rates from 0 to 100, 95% intervals, fingerprints, and ``episodes``.

    Raises:
        DatasetError: fewer goals than asked for, an unknown decoding, or a baseline on other goals; before anything is
            played.
    """
    if decoding not in DECODINGS:
        raise DatasetError(f"decoding={decoding!r}, expected one of {', '.join(DECODINGS)}")
    goals = evaluation_goals(catalog, split, split_by, num_episodes)
    settings = _settings(catalog, split, split_by, max_steps)
    if baseline is not None:
        _check_same_goals(settings, goals.tolist(), baseline)
    episodes: list[Episode] = []
    for episode in rollout(
        policy,
        catalog,
        goals.tolist(),
        seed=seed,
        split_by=split_by,
        batch_size=batch_size,
        max_steps=max_steps,
        greedy=decoding == "greedy",
    ):
        episodes.append(episode)
        if progress is not None:
            progress(len(episodes), len(goals))
    records = [
        {
            "goal_index": episode.goal_index,
            "asin": catalog.goals[episode.goal_index].asin,
            "reward": episode.reward,
            "success": episode.success,
            "num_steps": episode.num_steps,
            "truncated": episode.truncated,
        }
        for episode in episodes
    ]
    bought = [episode.reward_parts for episode in episodes if episode.reward_parts]
    found = {name: [float(parts[name]) for parts in bought if name in parts] for name in REWARD_PARTS}
    result = {
        **settings,
        "policy": policy.name,
        "decoding": decoding,
        "seed": seed,
        **_summary(records),
        "mean_steps": float(np.mean([episode.num_steps for episode in episodes])),
        "truncated_rate": 100 * float(np.mean([episode.truncated for episode in episodes])),
        "reward_parts": {name: float(np.mean(values)) for name, values in found.items() if values},
        "trained_on_this_catalog": policy.catalog_sha256 == catalog.sha256 if policy.catalog_sha256 else None,
        "episodes": records,
    }
    if baseline is not None:
        result["comparison"] = compare_results(result, baseline)
    return result


def evaluate_ceiling(
    catalog: Catalog, *, split: str = "test", split_by: str = "goal", num_episodes: int | None = None, num_hits: int
) -> dict[str, Any]:
    """The result object of a perfect shopper among the first ``num_hits`` hits, see `recrl.ceilings`."""
    goals = evaluation_goals(catalog, split, split_by, num_episodes)
    records = [
        {"goal_index": int(index), "asin": catalog.goals[index].asin, "reward": reward, "success": reward == 1.0}
        for index, reward in zip(goals, ceiling_rewards(catalog, goals.tolist(), num_hits=num_hits), strict=True)
    ]
    return {
        **_settings(catalog, split, split_by, None),
        "policy": f"ceiling of {num_hits} hits",
        **_summary(records),
        "episodes": records,
    }


def _settings(catalog: Catalog, split: str, split_by: str, max_steps: int | None) -> dict[str, Any]:
    return {
        "protocol": catalog.protocol(split_by),
        "split": split,
        "split_by": split_by,
        "max_steps": max_steps,
        "catalog_sha256": catalog.sha256,
        "goals_sha256": catalog.goals_sha256,
        "versions": {"recrl": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "trl", "datasets")},
    }


def _summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates and intervals of episode records; rates and scores from 0 to 100."""
    products = [record["asin"] for record in records]
    successes = [float(record["success"]) for record in records]
    rewards = [record["reward"] for record in records]

    def interval(values: Sequence[float]) -> list[float]:
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        return [100 * end for end in cluster_bootstrap(values, products, rng)]

    return {
        "num_episodes": len(records),
        "num_products": len(set(products)),
        "score": 100 * float(np.mean(rewards)),
        "success_rate": 100 * float(np.mean(successes)),
        "score_ci": interval(rewards),
        "success_ci": interval(successes),
        "success_ci_wilson": [100 * end for end in wilson_interval(int(sum(successes)), len(records))],
        "success_per_product": 100 * cluster_mean(successes, products),
        "score_per_product": 100 * cluster_mean(rewards, products),
    }


def compare_results(result: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """The paired difference of two results on the same goals, ``result`` minus ``baseline``, in points of 100.

    Returns:
        ``success_difference``, ``score_difference``, their 95% intervals (bootstrap over target products), and
        ``p_value``, the exact McNemar test's on success, which takes goals as independent.

    Raises:
        DatasetError: the results are of other catalogues, protocols or goals.
    """
    ours, theirs = result["episodes"], baseline["episodes"]
    _check_same_goals(result, [record["goal_index"] for record in ours], baseline)
    products = [record["asin"] for record in ours]
    comparison: dict[str, Any] = {"baseline": baseline["policy"]}
    for name, field in (("success", "success"), ("score", "reward")):
        differences = [float(one[field]) - float(two[field]) for one, two in zip(ours, theirs, strict=True)]
        low, high = cluster_bootstrap(differences, products, np.random.default_rng(BOOTSTRAP_SEED))
        comparison[f"{name}_difference"] = 100 * float(np.mean(differences))
        comparison[f"{name}_difference_ci"] = [100 * low, 100 * high]
    comparison["p_value"] = mcnemar_p_value(
        [record["success"] for record in ours], [record["success"] for record in theirs]
    )
    return comparison


def _check_same_goals(settings: dict[str, Any], goals: list[int], baseline: dict[str, Any]) -> None:
    for name in SAME_GOALS:
        if settings[name] != baseline[name]:
            raise DatasetError(f"{name} is {settings[name]!r}, the baseline's {baseline[name]!r}; compare equal goals")
    others = [record["goal_index"] for record in baseline["episodes"]]
    if goals != others:
        raise DatasetError(f"{len(goals)} goals, the baseline has {len(others)} others; use the same --num_episodes")


def aggregate_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Results of one method with several seeds, on the same goals, as one result.

    Each goal's outcome is averaged over the seeds, and products are resampled: the interval says what other products
    would do to the mean, and ``success_by_seed`` what other seeds would.

    Raises:
        DatasetError: the results are not of the same goals.
    """
    for result in results[1:]:
        compare_results(result, results[0])
    records = [
        {
            **first,
            "reward": float(np.mean([result["episodes"][place]["reward"] for result in results])),
            "success": float(np.mean([result["episodes"][place]["success"] for result in results])),
        }
        for place, first in enumerate(results[0]["episodes"])
    ]
    summary = _summary(records)
    del summary["success_ci_wilson"]  # shares of seeds are no counts
    return {
        **results[0],
        **summary,
        "mean_steps": float(np.mean([result["mean_steps"] for result in results])),
        "seed": [result["seed"] for result in results],
        "success_by_seed": [result["success_rate"] for result in results],
        "score_by_seed": [result["score"] for result in results],
        "episodes": records,
    }


def load_result(path: str | Path) -> dict[str, Any]:
    """Reads a result file of `recrl evaluate --output_json`.

    Raises:
        DatasetError: it is missing or no result file.
    """
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a result of `recrl evaluate --output_json`: {error}") from error
    missing = {"success_rate", "episodes", *SAME_GOALS} - set(result if isinstance(result, dict) else {})
    if missing:
        raise DatasetError(f"{path} is no result of `recrl evaluate`: it lacks {', '.join(sorted(missing))}")
    return result

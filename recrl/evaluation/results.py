"""Results of an evaluation: their summary, reading them, comparing two of them, and one result of several seeds.

A result is a JSON object: rates from 0 to 100, intervals, fingerprints, and ``episodes``, one record per goal.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recrl.episodes.data import REWARD_PARTS
from recrl.errors import DatasetError
from recrl.evaluation.statistics import (
    cluster_bootstrap,
    cluster_mean,
    cluster_sign_test,
    mcnemar_p_value,
    wilson_interval,
)

BOOTSTRAP_SEED = 0  # the intervals of equal outcomes are equal
SAME_GOALS = ("protocol", "catalog_sha256", "goals_sha256")
NUMBER = (int, float)
RESULT_FIELDS: dict[str, tuple[type, ...]] = {
    "policy": (str,),
    "protocol": (str,),
    "split": (str,),
    "catalog_sha256": (str,),
    "goals_sha256": (str,),
    "num_episodes": (int,),
    "num_products": (int,),
    "success_rate": NUMBER,
    "success_per_product": NUMBER,
    "success_ci": (list,),
    "score": NUMBER,
    "score_ci": (list,),
    "episodes": (list,),
}
RECORD_FIELDS: dict[str, tuple[type, ...]] = {
    "goal_index": (int,),
    "asin": (str,),
    "reward": (int, float),
    "success": (bool, float),
}
RECORD_MEANS = ("reward", "success", "num_steps", "truncated")


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
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
        ``success_difference`` and ``score_difference`` with their 95% intervals (bootstrap over target products);
        ``products_better`` and ``products_worse``, counted by the number of successes on each, with
        ``p_value_products``, the exact sign test's; and ``p_value``, the exact McNemar test's on success, which takes
        goals as independent (None for outcomes that were averaged over seeds, where it has no meaning).

    Raises:
        DatasetError: the results are of other catalogues, protocols or goals.
    """
    ours, theirs = result["episodes"], baseline["episodes"]
    check_same_goals(result, [record["goal_index"] for record in ours], baseline)
    products = [record["asin"] for record in ours]
    comparison: dict[str, Any] = {
        "baseline": baseline["policy"],
        "baseline_settings": {name: baseline.get(name) for name in ("decoding", "seed", "max_steps")},
    }
    for name, field in (("success", "success"), ("score", "reward")):
        differences = [float(one[field]) - float(two[field]) for one, two in zip(ours, theirs, strict=True)]
        low, high = cluster_bootstrap(differences, products, np.random.default_rng(BOOTSTRAP_SEED))
        comparison[f"{name}_difference"] = 100 * float(np.mean(differences))
        comparison[f"{name}_difference_ci"] = [100 * low, 100 * high]
    successes = [[record["success"] for record in records] for records in (ours, theirs)]
    better, worse, p_value = cluster_sign_test([one - two for one, two in zip(*successes, strict=True)], products)
    counted = all(isinstance(success, bool) for side in successes for success in side)
    return comparison | {
        "products_better": better,
        "products_worse": worse,
        "p_value_products": p_value,
        "p_value": mcnemar_p_value(*successes) if counted else None,
    }


def check_same_goals(settings: dict[str, Any], goals: list[int], baseline: dict[str, Any]) -> None:
    """Refuses a baseline of another protocol, catalogue or list of goals.

    Args:
        settings: hold the fields of `SAME_GOALS`; goals: the goal indices, in order.

    Raises:
        DatasetError: see above; the message holds both sides.
    """
    for name in SAME_GOALS:
        if settings[name] != baseline[name]:
            raise DatasetError(f"{name} is {settings[name]!r}, the baseline's {baseline[name]!r}; compare equal goals")
    others = [record["goal_index"] for record in baseline["episodes"]]
    if goals != others:
        raise DatasetError(
            f"{len(goals)} goals, the baseline has {len(others)} and not the same; use its --split and --num_episodes"
        )


def aggregate_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Results of one method with several seeds, on the same goals, as one result.

    Each goal's outcome is averaged over the seeds, and products are resampled: the interval says what other products
    would do to the mean, and ``success_by_seed`` and ``success_std`` (over seeds, n - 1) what other seeds would.

    Raises:
        DatasetError: there is no result, or they are not of the same goals, step limit or decoding.
    """
    if not results:
        raise DatasetError("no results to aggregate; expected one per seed")
    for result in results[1:]:
        check_same_goals(result, [record["goal_index"] for record in result["episodes"]], results[0])
        for name in ("max_steps", "decoding"):
            if result.get(name) != results[0].get(name):
                raise DatasetError(
                    f"results of one method have {name}={results[0].get(name)!r} and {result.get(name)!r}; only the "
                    "seed may differ, so evaluate one of them again"
                )
    records = [
        same[0] | {name: float(np.mean([record[name] for record in same])) for name in RECORD_MEANS if name in same[0]}
        for same in zip(*(result["episodes"] for result in results), strict=True)
    ]
    parts = [result.get("reward_parts", {}) for result in results]
    aggregate = {
        **results[0],
        **summarise(records),
        "reward_parts": {
            name: float(np.mean([of_seed[name] for of_seed in parts if name in of_seed]))
            for name in REWARD_PARTS
            if any(name in of_seed for of_seed in parts)
        },
        "seed": [result.get("seed") for result in results],
        "episodes": records,
    }
    for name in ("mean_steps", "truncated_rate"):
        if name in aggregate:
            aggregate[name] = float(np.mean([result[name] for result in results]))
    for name, rate in (("success", "success_rate"), ("score", "score")):
        by_seed = [result[rate] for result in results]
        aggregate[f"{name}_by_seed"] = by_seed
        aggregate[f"{name}_std"] = float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None
    del aggregate["success_ci_wilson"]  # means over seeds are no counts
    aggregate.pop("comparison", None)  # was the first seed's
    return aggregate


def load_result(path: str | Path) -> dict[str, Any]:
    """Reads a result file of `recrl evaluate --output_json`.

    Raises:
        DatasetError: it is missing, no result file, or an episode in it lacks its goal or has an impossible outcome.
    """
    if not Path(path).is_file():
        raise DatasetError(f"{path}: no such file; expected a result that `recrl evaluate --output_json` wrote")
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not there, not UTF-8, not JSON
        raise DatasetError(f"{path} cannot be read as a result of `recrl evaluate --output_json`: {error}") from error
    fields = result if isinstance(result, dict) else {}
    required = set(RESULT_FIELDS) | ({"decoding"} if fields.get("max_steps") is not None else set())
    missing = required - set(fields)
    if missing:
        raise DatasetError(f"{path} is no result of `recrl evaluate`: it lacks {', '.join(sorted(missing))}")
    for name, kind in RESULT_FIELDS.items():
        if not isinstance(result[name], kind):
            raise DatasetError(f"{path} has {name}={result[name]!r}; evaluate again")
    for name in ("success_ci", "score_ci"):
        if len(result[name]) != 2 or not all(isinstance(end, NUMBER) for end in result[name]):
            raise DatasetError(f"{path} has {name}={result[name]!r}, expected two numbers; evaluate again")
    for place, record in enumerate(result["episodes"]):
        _check_record(record, f"{path}: episode {place}")
    return result


def _check_record(record: Any, what: str) -> None:
    """Refuses an episode record without its goal, or with an outcome that cannot be; ``what`` names it."""
    if not isinstance(record, dict):
        raise DatasetError(f"{what} is {record!r}, expected an object")
    for name, kind in RECORD_FIELDS.items():
        if not isinstance(record.get(name), kind):
            raise DatasetError(f"{what} has {name}={record.get(name)!r}; evaluate again")
    reward, success = record["reward"], record["success"]
    if not (0 <= reward <= 1 and 0 <= success <= 1):
        raise DatasetError(f"{what} has reward={reward!r} and success={success!r}, expected 0 to 1; evaluate again")
    if isinstance(success, bool) and success != (reward == 1):
        raise DatasetError(f"{what}: success={success} contradicts reward={reward!r}; evaluate again")

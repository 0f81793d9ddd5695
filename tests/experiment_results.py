"""Constructed results of an experiment: a few goals, each about a product of its own."""

from collections.abc import Sequence
from typing import Any

from recrl.evaluation.result_types import EpisodeRecord, Result
from recrl.evaluation.results import summarise
from recrl.experiment.arms import find_arms
from recrl.experiment.plan import Measurement
from recrl.experiment.rows import Found, Row

GOALS = 12


def found(
    arm_name: str,
    rewards: Sequence[float],
    *,
    seed: int | None = None,
    steps: float | None = 5,
    kept: int = 0,
    wording: str = "template",
) -> Found:
    """A measurement with a goal a reward; without steps it is a ceiling."""
    [arm] = find_arms([arm_name])
    played = steps is not None
    records = tuple(
        EpisodeRecord(
            goal_index=number, target_asin=f"B{number}", reward=reward, success=reward == 1,
            num_steps=steps if played else None, truncated=False if played else None,
        )
        for number, reward in enumerate(rewards)
    )  # fmt: skip
    how: dict[str, Any] = {
        "decoding": "greedy", "seed": seed or 0, "mean_steps": steps, "truncated_rate": 0.0, "reward_parts": {},
    }  # fmt: skip
    result = Result(
        protocol="embedded-unseen", split="test", split_by="product", max_steps=15 if played else None,
        catalog_sha256="c" * 64, goals_sha256="g" * 64, versions={}, policy=arm_name, **summarise(records),
        trained_on_this_catalog=True if arm.seeded else None, episodes=records, **(how if played else {}),
    )  # fmt: skip
    measurement = Measurement(
        stage="", arm=arm, seed=seed, split_by="product", steps=15 if played else None, wording=wording,
        made_by=(), own=(),
    )  # fmt: skip
    row = Row(
        protocol=result.protocol, split="test", steps=measurement.steps, wording=wording, arm=arm_name, seed=seed,
        success_rate=result.success_rate, score=result.score, success_ci=result.success_ci,
        mean_steps=result.mean_steps, num_episodes=GOALS, num_products=GOALS, kept_trajectories=kept, played_episodes=0,
        minutes=0.0, commit=None, catalog_sha256="c" * 64, goals_sha256="g" * 64,
    )  # fmt: skip
    return Found(measurement, result, row)


def wins(count: int) -> list[float]:
    """The rewards of `GOALS` goals, of which the first are perfect."""
    return [1.0] * count + [0.5] * (GOALS - count)

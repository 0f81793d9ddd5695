"""What an evaluation found, as frozen types whose values are checked when they are born.

Rates and scores are from 0 to 100, intervals are pairs of them.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recrl.errors import DatasetError
from recrl.evaluation.failure_types import Failures
from recrl.evaluation.typed_json import ABSENT_IF_NONE, to_json, with_version

UNKNOWN_SEEN = "unknown"  # num_seen_goals of a policy that does not say what it was trained on
ROUNDING = 1e-6  # by which a recomputed rate may differ
PLAYED_FIELDS = ("decoding", "seed", "mean_steps", "truncated_rate", "reward_parts")  # a ceiling has none of them

PLAY_FIELDS = ("bought_asin", "bought_options", "reward_parts", "probabilities", "values")  # stand beside actions

Interval = tuple[float, float]
Seed = int | tuple[int, ...] | None  # several where seeds were averaged, None where nothing was played


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """What came of one goal. After averaging over seeds the outcomes are means.

    Attributes:
        goal_index: of the goal; target_asin: of the product that it asks for.
        reward: from 0 to 1; success: whether it is 1, or the share of seeds for which it is.
        num_steps, truncated: actions taken, and whether the step limit ended the episode; None if nothing was played.
        reward_by_seed: the rewards that were averaged, if any were.
        bought_asin: of the product that was bought, None without a purchase; bought_options: group -> value, as chosen
            of it; reward_parts: of the purchase (`recrl.webshop.reward`), empty without one.
        actions: (steps,) what was done, in order: with the catalogue they give every page again.
        probabilities: (steps, actions) of each page's valid actions under the policy; empty for a page where it had
            none. values: (steps,) the returns that it expected; None where it has learned no values.

    Of means over seeds, of ceilings, and in files from before version 3 the last six are None.
    """

    goal_index: int
    target_asin: str
    reward: float
    success: bool | float
    num_steps: int | float | None = field(default=None, metadata=ABSENT_IF_NONE)
    truncated: bool | float | None = field(default=None, metadata=ABSENT_IF_NONE)
    reward_by_seed: tuple[float, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    bought_asin: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    bought_options: dict[str, str] | None = field(default=None, metadata=ABSENT_IF_NONE)
    reward_parts: dict[str, float | bool] | None = field(default=None, metadata=ABSENT_IF_NONE)
    actions: tuple[str, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    probabilities: tuple[tuple[float, ...], ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    values: tuple[float | None, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)

    def __post_init__(self) -> None:
        if self.goal_index < 0 or not self.target_asin:
            raise DatasetError(
                f"goal_index={self.goal_index}, target_asin={self.target_asin!r}; expected at least 0, and a product"
            )
        if not (0 <= self.reward <= 1 and 0 <= self.success <= 1):
            raise DatasetError(f"reward={self.reward!r} and success={self.success!r}, expected 0 to 1")
        if isinstance(self.success, bool) and self.success != (self.reward == 1):
            raise DatasetError(f"success={self.success} contradicts reward={self.reward!r}")
        if (self.num_steps is None) != (self.truncated is None):
            raise DatasetError(f"num_steps={self.num_steps}, truncated={self.truncated}; expected both or neither")
        if not (0 <= (self.num_steps or 0) < math.inf and 0 <= (self.truncated or 0) <= 1):
            raise DatasetError(
                f"num_steps={self.num_steps}, truncated={self.truncated}; expected at least 0, and 0 to 1"
            )
        if self.reward_by_seed is not None:
            found = float(np.mean(self.reward_by_seed)) if self.reward_by_seed else math.nan
            if not (
                math.isclose(self.reward, found, abs_tol=ROUNDING) and all(0 <= x <= 1 for x in self.reward_by_seed)
            ):
                raise DatasetError(
                    f"reward_by_seed={self.reward_by_seed} contradicts reward={self.reward!r}; expected numbers from 0 "
                    "to 1 with that mean"
                )
        self._check_play()

    def _check_play(self) -> None:
        """Refuses what was done that contradicts what came of it."""
        if self.actions is None:
            given = [name for name in PLAY_FIELDS if getattr(self, name) is not None]
            if given:
                raise DatasetError(f"{', '.join(given)} without actions; expected what was done beside what came of it")
            return
        if len(self.actions) != self.num_steps:
            raise DatasetError(f"{len(self.actions)} actions contradict num_steps={self.num_steps}")
        if self.bought_asin is not None and self.truncated:  # what is no shop ends without a purchase
            raise DatasetError(f"bought_asin={self.bought_asin!r} contradicts truncated={self.truncated}")
        for name in ("probabilities", "values"):
            of_steps = getattr(self, name)
            if of_steps is not None and len(of_steps) != len(self.actions):
                raise DatasetError(f"{name} of {len(of_steps)} steps, expected {len(self.actions)}, as actions")


@dataclass(frozen=True, kw_only=True)
class BaselineSettings:
    """How a baseline was played; None for a ceiling."""

    decoding: str | None
    seed: Seed
    max_steps: int | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The paired difference of two results on the same goals, result minus baseline, in points of 100.

    Attributes:
        baseline, baseline_settings: the baseline's policy and how it was played.
        success_difference, score_difference: with their 95% intervals, over target products and, of means over seeds,
            over seeds.
        products_better, products_worse: products with more successes than the baseline's, and with fewer;
            p_value_products: of the exact sign test on them.
        p_value: of the exact McNemar test on success, which takes goals as independent; None for outcomes that were
            averaged over seeds, where it has no meaning.
    """

    baseline: str
    baseline_settings: BaselineSettings
    success_difference: float
    success_difference_ci: Interval
    score_difference: float
    score_difference_ci: Interval
    products_better: int
    products_worse: int
    p_value_products: float
    p_value: float | None


@dataclass(frozen=True)
class GoalList:
    """Which goals were played; only results with equal ones can be compared."""

    protocol: str
    catalog_sha256: str
    goals_sha256: str
    goal_indices: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an evaluation found.

    Attributes:
        protocol, split, split_by, catalog_sha256, goals_sha256: which goals.
        max_steps: the step limit; None for a ceiling, which plays nothing.
        versions: of the packages and of Python, with what else the last digits depend on.
        policy: its name; temperature, loop_guard, answers: of a policy that has them.
        query_model, num_queries, query_model_sha256: what proposed search queries, if anything did.
        decoding, seed: how actions were chosen.
        num_episodes, num_products: goals, and different target products.
        score, success_rate: 100 x mean reward, and the share of rewards of 1, with 95% intervals over products and, of
            means over seeds, over seeds.
        success_ci_wilson: as if goals were independent; None for means over seeds, which are no counts.
        success_per_product, score_per_product: every product counts once.
        mean_steps, truncated_rate: actions per episode, and the share that the step limit ended.
        refused_rate: of a language model that writes its actions, the share of them that the environment refused.
        reward_parts: means over the purchases that have the part; an episode that was truncated bought nothing.
        num_seen_goals: how many of the goals the policy may have been trained on, "unknown" if that cannot be told;
            None for a policy that was not trained.
        knows_goal: True of a policy that knows the hidden goal; None of all others.
        trained_on_this_catalog: None for a policy that was not trained.
        failures: why episodes failed, if that was asked for.
        comparison: with a baseline, if there is one.
        success_by_seed, score_by_seed: of means over seeds; ``_std``: over seeds, n - 1; None for a single one.
    """

    protocol: str
    split: str
    split_by: str
    max_steps: int | None
    catalog_sha256: str
    goals_sha256: str
    versions: dict[str, str]
    policy: str
    temperature: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    loop_guard: bool | None = field(default=None, metadata=ABSENT_IF_NONE)
    answers: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    query_model: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    num_queries: int | None = field(default=None, metadata=ABSENT_IF_NONE)
    query_model_sha256: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    decoding: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    seed: Seed = field(default=None, metadata=ABSENT_IF_NONE)
    num_episodes: int
    num_products: int
    score: float
    success_rate: float
    score_ci: Interval
    success_ci: Interval
    success_ci_wilson: Interval | None = field(default=None, metadata=ABSENT_IF_NONE)
    success_per_product: float
    score_per_product: float
    mean_steps: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    truncated_rate: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    refused_rate: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    reward_parts: dict[str, float] | None = field(default=None, metadata=ABSENT_IF_NONE)
    num_seen_goals: int | str | None = field(default=None, metadata=ABSENT_IF_NONE)
    knows_goal: bool | None = field(default=None, metadata=ABSENT_IF_NONE)
    trained_on_this_catalog: bool | None = None
    episodes: tuple[EpisodeRecord, ...]
    failures: Failures | None = field(default=None, metadata=ABSENT_IF_NONE)
    comparison: Comparison | None = field(default=None, metadata=ABSENT_IF_NONE)
    success_by_seed: tuple[float, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    success_std: float | None = None
    score_by_seed: tuple[float, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    score_std: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in PLAYED_FIELDS if getattr(self, name) is not None]
        if self.max_steps is None and given:
            raise DatasetError(f"max_steps is null, as of a ceiling, which has no {', '.join(given)}")
        if self.max_steps is not None and len(given) < len(PLAYED_FIELDS):
            lacking = [name for name in PLAYED_FIELDS if name not in given]
            raise DatasetError(f"a result with max_steps={self.max_steps} lacks {', '.join(lacking)}")
        if not self.episodes:
            raise DatasetError("episodes is empty, expected one per goal")
        for place, record in enumerate(self.episodes):
            if (record.num_steps is None) != (self.max_steps is None):
                raise DatasetError(
                    f"episodes[{place}] has num_steps={record.num_steps}, but max_steps={self.max_steps}"
                )
        seen = self.num_seen_goals
        if seen != UNKNOWN_SEEN and not (seen is None or (isinstance(seen, int) and 0 <= seen <= len(self.episodes))):
            raise DatasetError(f"num_seen_goals={seen!r}, expected 0 to {len(self.episodes)}, or {UNKNOWN_SEEN!r}")
        if self.failures is not None:
            failed = [record.goal_index for record in self.episodes if not record.success]
            if [failure.goal_index for failure in self.failures.episodes] != failed:
                raise DatasetError("failures has other goals than the episodes that failed, or another order")
        self._check_rates()

    def _check_rates(self) -> None:
        """Recomputes what can be recomputed at once, and refuses a summary that contradicts its episodes."""
        records = self.episodes
        found: dict[str, float] = {
            "num_episodes": len(records),
            "num_products": len({record.target_asin for record in records}),
            "success_rate": 100 * float(np.mean([float(record.success) for record in records])),
            "score": 100 * float(np.mean([record.reward for record in records])),
        }
        if self.max_steps is not None:
            found["mean_steps"] = float(np.mean([record.num_steps for record in records]))
            found["truncated_rate"] = 100 * float(np.mean([record.truncated for record in records]))
        for name, value in found.items():
            if not math.isclose(getattr(self, name), value, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise DatasetError(f"{name}={getattr(self, name)} contradicts the episodes, which give {value}")
        for name in ("success_ci", "score_ci"):
            low, high = getattr(self, name)
            if not -ROUNDING <= low <= high <= 100 + ROUNDING:
                raise DatasetError(f"{name}={[low, high]}, expected two numbers from 0 to 100 that ascend")

    @property
    def goals(self) -> GoalList:
        """Which goals were played, in order."""
        indices = tuple(record.goal_index for record in self.episodes)
        return GoalList(self.protocol, self.catalog_sha256, self.goals_sha256, indices)

    def headline(self) -> dict[str, Any]:
        """The result as JSON can hold it, without its episodes and why they failed."""
        fields = to_json(self)
        del fields["episodes"]
        fields.pop("failures", None)
        return self._without_what_it_cannot_have(fields)

    def to_json(self) -> dict[str, Any]:
        """The object of a result file."""
        return with_version(self._without_what_it_cannot_have(to_json(self)))

    def _without_what_it_cannot_have(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Leaves out fields whose None would say something that is not so."""
        if self.max_steps is None:
            del fields["trained_on_this_catalog"]
        if self.success_by_seed is None:
            del fields["success_std"], fields["score_std"]
        return fields

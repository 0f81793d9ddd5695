"""What an experiment has found: a row for each evaluation, and the results behind the rows."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recrl.evaluation.result_types import Interval, Result
from recrl.evaluation.results import aggregate_seeds, load_result
from recrl.experiment.arms import KINDS, place_of
from recrl.experiment.making import collections_in
from recrl.experiment.plan import Measurement, Plan
from recrl.experiment.stages import StageLog
from recrl.rollouts.collecting import SUMMARY_FILE
from recrl.runs import read_object
from recrl.training.runs import training_metrics


@dataclass(frozen=True, kw_only=True)
class Row:
    """One evaluation of one arm.

    Attributes:
        protocol, split, wording: which goals; steps: the limit, None for a ceiling, which plays nothing.
        arm, seed: what was evaluated; the seed is that of training, None for what is not trained.
        success_rate, score, success_ci: from 0 to 100; the interval counts products.
        mean_steps: actions an episode, None for a ceiling.
        num_episodes, num_products: goals, and their different products.
        kept_trajectories: episodes that were collected for the arm and learned from, those of its start included.
        played_episodes: all that were played for it: for the collections, in training, and on dev goals.
        minutes: of everything that led to the arm, its start included, its evaluation not; None if not known.
        commit: of the code that evaluated it; None outside a repository.
        catalog_sha256, goals_sha256: the fingerprints of the goals.
    """

    protocol: str
    split: str
    steps: int | None
    wording: str
    arm: str
    seed: int | None
    success_rate: float
    score: float
    success_ci: Interval
    mean_steps: float | None
    num_episodes: int
    num_products: int
    kept_trajectories: int
    played_episodes: int
    minutes: float | None
    commit: str | None
    catalog_sha256: str
    goals_sha256: str

    def to_json(self) -> dict[str, Any]:
        """The row as JSON can hold it."""
        return asdict(self) | {"success_ci": list(self.success_ci)}


@dataclass(frozen=True)
class Cost:
    """What stages took: episodes kept for learning, episodes played, and minutes, None if not known."""

    kept: int
    played: int
    minutes: float | None


@dataclass(frozen=True)
class Found:
    """A measurement that was made."""

    measurement: Measurement
    result: Result
    row: Row


def find_results(plan: Plan, log: StageLog) -> list[Found]:
    """The measurements that are complete, in the plan's order."""
    found = []
    for one in plan.measurements:
        if not log.is_done(plan.stages[one.stage]):
            continue
        result = load_result(log.path(one.stage))
        cost = cost_of(one.made_by, plan, log)
        row = Row(
            protocol=result.protocol,
            split=result.split,
            steps=one.steps,
            wording=one.wording,
            arm=one.arm.name,
            seed=one.seed,
            success_rate=result.success_rate,
            score=result.score,
            success_ci=result.success_ci,
            mean_steps=result.mean_steps,
            num_episodes=result.num_episodes,
            num_products=result.num_products,
            kept_trajectories=cost.kept,
            played_episodes=cost.played,
            minutes=cost.minutes,
            commit=log.commit_of(one.stage),
            catalog_sha256=result.catalog_sha256,
            goals_sha256=result.goals_sha256,
        )
        found.append(Found(one, result, row))
    return found


def cost_of(stages: Iterable[str], plan: Plan, log: StageLog) -> Cost:
    """What complete stages took together."""
    kept = played = 0
    minutes: float | None = 0.0
    for name in stages:
        kept_here, played_here = _episodes_of(log.path(name), plan.stages[name].kind)
        taken = log.minutes(name)
        kept, played = kept + kept_here, played + played_here
        minutes = None if minutes is None or taken is None else minutes + taken
    return Cost(kept, played, minutes)


def _episodes_of(folder: Path, kind: str) -> tuple[int, int]:
    """Episodes that a stage kept and played."""
    if KINDS[kind].collects:
        summaries = [read_object(Path(one) / SUMMARY_FILE, Path(one)) for one in collections_in(folder)]
        return sum(one["num_trajectories"] for one in summaries), sum(one["num_episodes"] for one in summaries)
    return 0, sum(training_metrics(folder).get("num_episodes_played", {}).values())


@dataclass(frozen=True)
class Comparable:
    """The arms of one table: equal goals and step limit.

    Attributes:
        protocol, split_by, wording, steps: of the table.
        results: arm -> its result, a mean over its seeds where there are several.
        by_seed: arm -> seed, None of what is not trained -> its result.
        starts: arm -> its start, for those that have one here.
        kept: arm -> trajectories that it learned from, with those of its start; of its last seed.
    """

    protocol: str
    split_by: str
    wording: str
    steps: int
    results: dict[str, Result]
    by_seed: dict[str, dict[int | None, Result]]
    starts: dict[str, str]
    kept: dict[str, int]

    def sides(self, arm: str, other: str) -> tuple[Result, Result]:
        """Both arms' results over the seeds that both have; all of one that has none."""
        ours, theirs = self.by_seed[arm], self.by_seed[other]
        common = [seed for seed in ours if seed in theirs]
        if not common:
            return self.results[arm], self.results[other]
        return mean_over([ours[seed] for seed in common]), mean_over([theirs[seed] for seed in common])


def mean_over(results: Sequence[Result]) -> Result:
    """The mean of an arm's results over seeds; of a single one it is that."""
    return aggregate_seeds(results) if len(results) > 1 else results[0]


def comparable(found: Iterable[Found]) -> list[Comparable]:
    """What was found as tables; ceilings are in those of every step limit."""
    found = list(found)
    tables = []
    places = {(one.row.protocol, one.row.wording): None for one in found}
    for protocol, wording in places:
        here = [one for one in found if (one.row.protocol, one.row.wording) == (protocol, wording)]
        for steps in sorted({one.row.steps for one in here if one.row.steps is not None}):
            by_seed: dict[str, dict[int | None, Result]] = {}
            for one in sorted(here, key=lambda one: place_of(one.row.arm)):
                if one.row.steps in (steps, None):
                    by_seed.setdefault(one.row.arm, {})[one.row.seed] = one.result
            results = {arm: mean_over(list(of_arm.values())) for arm, of_arm in by_seed.items()}
            starts = {
                one.row.arm: one.measurement.arm.start
                for one in here
                if one.measurement.arm.start is not None and one.measurement.arm.start in results
            }
            kept = {one.row.arm: one.row.kept_trajectories for one in here}
            split_by = here[0].measurement.split_by
            tables.append(Comparable(protocol, split_by, wording, steps, results, by_seed, starts, kept))
    return tables

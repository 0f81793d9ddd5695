"""What the page says of training: curves, health, and what was learned from. Seeds of one agent share a chart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from recrl.evaluation.result_types import Result
from recrl.reports.charts import Line, line_chart, number
from recrl.reports.finding import Training, is_scripted
from recrl.reports.health import gauges_of
from recrl.reports.naming import seed_of, without_seed
from recrl.reports.parts import Chart, Fold, Grid, Section
from recrl.tables import with_interval

CURVES = {  # keys of logs -> what they are
    "loss": "training loss",
    "dev/success": "success on dev goals (%)",
    "dev/score": "score on dev goals",
    "episode/success": "success of sampled training episodes (%)",
    "episode/score": "score of sampled training episodes",
    "loss/policy": "policy loss",
    "loss/value": "value loss",
}
DATA = {  # keys of training metrics -> what they count
    "num_demonstrations": "demonstrations",
    "num_decisions": "decisions",
    "num_pairs": "preference pairs",
    "num_goals": "goals",
    "num_examples": "examples",
    "num_environment_steps": "environment steps",
}
Point = tuple[float, float]
STAGES = ("judgement", "imitation", "sft", "dpo", "self-improvement", "dpo-language", "grpo", "ppo", "search")
MOST_CHARTS = 12  # that stand open; more are folded up, run by run


def by_run(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """Name -> the trainings that differ by their seed alone; runs in the order of the stages of training."""

    def place(one: Training) -> tuple[int, str, int]:
        folder = without_seed(one.name).rpartition("/")[0]
        return folder.count("/"), folder, STAGES.index(one.method) if one.method in STAGES else len(STAGES)

    groups: dict[str, list[Training]] = {}
    for one in sorted(trainings, key=place):
        groups.setdefault(without_seed(one.name), []).append(one)
    return groups


def curves_section(trainings: Sequence[Training]) -> Section:
    """Learning curves, a chart for each number and run."""
    section = Section("curves", "Learning curves")

    def charts(group: Sequence[Training]) -> Iterable[Chart]:
        for key, title in CURVES.items():
            lines = [(one, points) for one in group if len(points := _points(one, key)) > 1]
            if lines:
                note = _kept(group) if key == "dev/success" else ""
                yield _chart(title, lines, note=note)

    _fill(section, trainings, charts, lambda drawn: ", ".join(chart.title for chart in drawn))
    return section


def health_section(trainings: Sequence[Training]) -> Section:
    """Numbers of the training with their healthy ranges."""
    section = Section("health", "Training health", "The shaded band is the healthy range, a rule of thumb: a line "
                      "that leaves it says where to look, not that the run is lost.")  # fmt: skip

    def charts(group: Sequence[Training]) -> Iterable[Chart]:
        for gauge in gauges_of(group[0].method, group[0].settings):
            lines = [(one, points) for one in group if (points := _points(one, gauge.key))]
            if not lines:
                continue
            lasts = [points[-1][1] for _, points in lines]
            verdicts = dict.fromkeys(verdict for last in lasts if (verdict := gauge.verdict(last)))
            low, high = (None if end is None else number(end) for end in gauge.band)
            span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
            because = f" ({gauge.note})" if gauge.note else ""
            note = f"last {', '.join(map(number, lasts))}; healthy: {span}{because}. {'; '.join(verdicts)}".strip()
            yield _chart(gauge.title, lines, note=note, band=gauge.band, is_alarm=bool(verdicts))

    def summary(drawn: Sequence[Chart]) -> str:
        outside = [chart.title for chart in drawn if chart.is_alarm]
        if not outside:
            return "in the healthy range" if len(drawn) == 1 else f"all {len(drawn)} in their healthy ranges"
        return f"{len(outside)} of {len(drawn)} outside of the healthy range: {', '.join(outside)}"

    _fill(section, trainings, charts, summary)
    return section


def _fill(
    section: Section,
    trainings: Sequence[Training],
    charts: Callable[[Sequence[Training]], Iterable[Chart]],
    summary: Callable[[Sequence[Chart]], str],
) -> None:
    """Puts the charts of each run into a section: all open, each with its run's name, or folded up by run."""
    drawn = {name: list(charts(group)) for name, group in by_run(trainings).items()}
    drawn = {name.replace("_", " "): of_run for name, of_run in drawn.items() if of_run}
    if sum(map(len, drawn.values())) <= MOST_CHARTS:
        for name, of_run in drawn.items():
            section.charts += [
                Chart(f"{name}: {one.title}", one.picture, one.note, one.is_alarm, one.legend) for one in of_run
            ]
        return
    for name, of_run in drawn.items():
        is_alarm = any(chart.is_alarm for chart in of_run)
        section.folds.append(Fold(name, summary(of_run), charts=of_run, is_alarm=is_alarm))
    max(reversed(section.folds), key=lambda fold: len(fold.charts)).is_open = True


def _chart(
    title: str,
    lines: Sequence[tuple[Training, list[Point]]],
    *,
    note: str = "",
    band: tuple[float | None, float | None] | None = None,
    is_alarm: bool = False,
) -> Chart:
    """A chart with a line for each seed."""
    names = [f"seed {seed}" if (seed := seed_of(one.name)) is not None else one.name for one, _ in lines]
    drawn = [Line(name, points) for name, (_, points) in zip(names, lines, strict=True)]
    picture = line_chart(drawn, title=title, x_label=_unit(lines[0][0]), band=band)
    legend = [(name, place) for place, name in enumerate(names)] if len(names) > 1 else []
    return Chart(title, picture, note, is_alarm, legend)


def _points(training: Training, key: str) -> list[Point]:
    points = []
    for entry in training.log:
        step, value = entry.get("step", entry.get("update", entry.get("round"))), entry.get(key)
        if isinstance(step, int | float) and isinstance(value, int | float):
            points.append((float(step), float(value)))
    start = training.metrics.get("start_on_dev")
    if points and isinstance(start, Mapping) and isinstance(start.get(key), int | float):
        points.insert(0, (0.0, float(start[key])))
    return points


def _unit(training: Training) -> str:
    return "update" if any("update" in entry for entry in training.log) else "step"


def _kept(group: Sequence[Training]) -> str:
    """Which update of each seed was kept."""
    kept = [update for one in group if isinstance(update := one.metrics.get("best_update"), int)]
    if not kept:
        return ""
    if not any(kept):
        return "no update was better, so the start was given back"
    return "kept: " + ", ".join("the start, given back" if update == 0 else f"update {update}" for update in kept)


def data_section(
    trainings: Sequence[Training], results: Mapping[str, Result], rows: Sequence[Mapping[str, Any]]
) -> Section:
    """What was learned from, and what that bought."""
    section = Section("data", "Data efficiency", "How much each stage learned from, and success for it. Episodes that "
                      "were played cost more than those that were kept.")  # fmt: skip
    learned = {name: one for name, one in results.items() if one.max_steps is not None and not is_scripted(one)}
    is_one_table = len({(one.goals, one.max_steps) for one in learned.values()}) == 1
    success = {one.policy: one for one in learned.values()} if is_one_table else {}
    table: list[list[Any]] = []
    for name, group in by_run(trainings).items():
        known = [
            f"{counts} {what}"
            for key, what in DATA.items()
            if (counts := _counts(one.metrics.get(key) for one in group))
        ]
        played = [one.metrics.get("num_episodes_played") for one in group]
        episodes = _counts(sum(count.values()) if isinstance(count, Mapping) else None for count in played)
        steps = _counts(one.metrics.get("global_step") for one in group)
        row = [name.replace("_", " "), group[0].method, ", ".join(known), episodes, steps]
        if success:
            found = success.get(group[0].path.name)
            row.append("" if found is None else with_interval(found.success_rate, found.success_ci))
        table.append(row)
    if table:
        header = ["run", "method", "learned from", "episodes played", "training steps"]
        section.grids.append(Grid("", [*header, "success % [95%]"] if success else header, table))
    for key, title in (("kept_trajectories", "trajectories kept"), ("played_episodes", "episodes played")):
        section.charts += _efficiency(rows, key, title)
    return section


def _counts(values: Iterable[Any]) -> str:
    """Counts of some seeds: one number if they are equal, else from the lowest to the highest."""
    found = sorted({value for value in values if isinstance(value, int | float)})
    return "" if not found else f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _efficiency(rows: Sequence[Mapping[str, Any]], key: str, title: str) -> Iterable[Chart]:
    """Success over an amount of data, a line or a dot for each arm, averaged over seeds."""
    arms: dict[tuple[str, Any], dict[str, dict[Any, list[Point]]]] = {}
    for row in rows:
        if isinstance(row.get(key), int) and row[key] > 0 and isinstance(row.get("success_rate"), int | float):
            of = arms.setdefault((str(row.get("protocol")), row.get("steps")), {})
            seeds = of.setdefault(str(row.get("arm")), {})
            seeds.setdefault(row.get("seed"), []).append((float(row[key]), float(row["success_rate"])))
    for (protocol, steps), of in arms.items():
        drawn = [Line(arm, _over_seeds(seeds)) for arm, seeds in of.items()]
        if len({x for line in drawn for x, _ in line.points}) > 1:
            name = f"success over {title}, {protocol}, {steps} steps"
            picture = line_chart(drawn, title=name, x_label=title)
            yield Chart(name, picture, legend=[(line.name, place) for place, line in enumerate(drawn)])


def _over_seeds(seeds: Mapping[Any, Sequence[Point]]) -> list[Point]:
    """The points of some seeds, in order; averaged, the first with the first, if there are as many of each."""
    of_seeds = [sorted(points) for points in seeds.values()]
    if len({len(points) for points in of_seeds}) > 1:
        return sorted(point for points in of_seeds for point in points)
    return [
        (sum(x for x, _ in same) / len(same), sum(y for _, y in same) / len(same))
        for same in zip(*of_seeds, strict=True)
    ]

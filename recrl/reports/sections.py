"""What the page says of a run, section by section, as values that the template sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from recrl.errors import DatasetError
from recrl.evaluation.comparison_tables import comparison_table
from recrl.evaluation.failure_types import KINDS
from recrl.evaluation.report import Report
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import aggregate_seeds, compare_results
from recrl.evaluation.tables import result_table, strongest_rule
from recrl.reports.charts import Line, interval_bar, line_chart, number, share_bar, stacked_bar
from recrl.reports.finding import Training, is_scripted
from recrl.reports.health import gauges_of
from recrl.tables import with_interval

PARTS = {"r_type": "kind", "r_att": "attributes", "r_option": "options", "r_price": "price"}
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


@dataclass(frozen=True)
class Chart:
    """A chart with its heading, and what is to be said below."""

    title: str
    picture: Markup
    note: str = ""
    is_alarm: bool = False


@dataclass(frozen=True)
class Grid:
    """A table whose cells can hold pictures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)  # a word of it -> what it means


@dataclass
class Section:
    """A section of the page: its anchor, its heading, a paragraph, and what it holds."""

    anchor: str
    title: str
    text: str = ""
    grids: list[Grid] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    legend: Sequence[tuple[str, int]] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not (self.grids or self.charts)


def comparable_results(results: Mapping[str, Result]) -> list[dict[str, Result]]:
    """Results that can stand in one table: equal goals and step limit; a ceiling goes with each."""
    tables: dict[Any, dict[str, Result]] = {}
    for name, result in results.items():
        if result.max_steps is not None:
            tables.setdefault((result.goals, result.max_steps), {})[name] = result
    for name, result in results.items():
        if result.max_steps is None:
            alike = [table for (goals, _), table in tables.items() if goals == result.goals]
            for table in alike or [tables.setdefault((result.goals, None), {})]:
                table[name] = result
    return [_shortly_named(table) for table in tables.values()]


def _shortly_named(table: dict[str, Result]) -> dict[str, Result]:
    """The results of a table without the folders in their names, where that tells them apart."""
    short = {name.rpartition("/")[2]: result for name, result in table.items()}
    return short if len(short) == len(table) else table


def over_seeds(results: Mapping[str, Result]) -> dict[str, Result]:
    """Results of one agent with several seeds as one, where their folders are called ``seed_0`` and so on."""
    groups: dict[str, dict[str, Result]] = {}
    for name, result in results.items():
        parts = [part for part in name.split("/") if not part.startswith("seed ")]
        groups.setdefault("/".join(parts), {})[name] = result
    found: dict[str, Result] = {}
    for name, group in groups.items():
        if len(group) > 1:
            try:
                found[name] = aggregate_seeds(list(group.values()))
                continue
            except DatasetError:  # of other goals: each for itself
                pass
        found |= group if len(group) > 1 else dict(zip([name], group.values(), strict=True))
    return found


def results_section(results: Mapping[str, Result]) -> Section:
    """Success and score with intervals, and the paired differences that decide."""
    section = Section("results", "Results", "Dots are the figures, whiskers their 95% intervals.")
    for table in comparable_results(results):
        start = next((name for name in table if "imitation" in name.lower() and not is_scripted(table[name])), None)
        base = start or next((name for name, one in table.items() if one.max_steps is not None), None)
        compared = result_table(table, baseline=base if len(table) > 1 else None)
        rows = []
        for row, result in zip(compared.rows, table.values(), strict=True):
            name, success, score, per_product, steps, *differences = row
            rows.append([
                name, success, interval_bar(result.success_rate, result.success_ci),
                score, interval_bar(result.score, result.score_ci), per_product, steps, *differences,
            ])  # fmt: skip
        header = ["policy", "success % [95%]", "0 - 100", "score [95%]", "0 - 100", "per product", "steps",
                  *compared.header[5:]]  # fmt: skip
        first = next(iter(table.values()))
        limit = next((f", {one.max_steps} steps" for one in table.values() if one.max_steps is not None), "")
        title = f"{first.protocol}, {first.split} split{limit}"
        section.grids.append(Grid(title, header, rows, compared.caption, compared.legend))
    return section


def headline(results: Mapping[str, Result]) -> list[str]:
    """What came out, in sentences: the best that was trained, and against what it is measured."""
    said = []
    for table in comparable_results(results):
        trained = {name: one for name, one in table.items() if one.max_steps is not None and not is_scripted(one)}
        if not trained:
            continue
        name = max(trained, key=lambda one: (trained[one].success_rate, trained[one].score))
        best, rule = trained[name], strongest_rule(table, name)
        text = f"{name}: success {with_interval(best.success_rate, best.success_ci)} on {best.num_episodes} goals"
        if rule is not None:
            found = compare_results(best, table[rule])
            low, high = found.success_difference_ci
            shown = "more" if low > 0 else "less" if high < 0 else "not shown to differ"
            against = with_interval(found.success_difference, found.success_difference_ci, "+.1f")
            text += f"; against {rule}, the strongest rule of equal steps: {against}, {shown}"
        said.append(f"{text} ({best.protocol}, {best.max_steps} steps).")
    return said


def reward_section(results: Mapping[str, Result]) -> Section:
    """Which part of the reward purchases miss."""
    section = Section("reward", "Reward, part by part", "Means over what was bought: the right kind of product, the "
                      "share of wanted attributes, of wanted options, and of purchases within the price bound. "
                      "reward = kind x (sum of share x weight).")  # fmt: skip
    rows: list[list[Any]] = []
    for name, result in results.items():
        if not result.reward_parts:
            continue
        cells: list[Any] = [name]
        for part in PARTS:
            value = result.reward_parts.get(part)
            cells += ["", ""] if value is None else [f"{value:.2f}", share_bar(value)]
        rows.append(cells)
    header = ["policy"]
    for title in PARTS.values():
        header += [title, ""]
    if rows:
        section.grids.append(Grid("", header, rows))
    return section


def failure_section(kinds: Mapping[str, Mapping[str, int]], sizes: Mapping[str, int]) -> Section:
    """Why episodes failed.

    Args:
        kinds: policy -> kind, in words -> episodes; sizes: policy -> episodes in all.
    """
    names = list(KINDS.values())
    section = Section("failures", "Why episodes failed", "Each failed episode counts once, in the first class that "
                      "holds. This looks at the hidden goal, after the fact; no policy sees it. Choose a class in the "
                      "viewer below to read the episodes.")  # fmt: skip
    rows: list[list[Any]] = []
    for policy, counts in kinds.items():
        found = [(name, counts.get(name, 0)) for name in names]
        failed = sum(count for _, count in found)
        bar = stacked_bar(found, sizes[policy])
        rows.append([policy, f"{failed} of {sizes[policy]}", bar, *(str(count or "") for _, count in found)])
    if rows:
        section.grids.append(Grid("", ["policy", "failed", "share of all episodes", *names], rows))
        section.legend = [(name, place) for place, name in enumerate(names)]
    return section


def _points(training: Training, key: str) -> list[tuple[float, float]]:
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


def curves_section(trainings: Sequence[Training]) -> Section:
    """Learning curves, a chart for each number and training."""
    section = Section("curves", "Learning curves")
    for training in trainings:
        for key, title in CURVES.items():
            points = _points(training, key)
            if len(points) > 1:
                name = f"{training.name}: {title}"
                percent = (0.0, 100.0) if title.endswith("(%)") else (None, None)
                picture = line_chart([Line(name, points)], title=name, x_label=_unit(training), y_range=percent)
                kept = training.metrics.get("best_update")
                note = ""
                if key == "dev/success" and isinstance(kept, int):
                    note = "the start was given back" if kept == 0 else f"update {kept} is kept"
                section.charts.append(Chart(name, picture, note))
    return section


def health_section(trainings: Sequence[Training]) -> Section:
    """Numbers of the training with their healthy ranges."""
    section = Section("health", "Training health", "The shaded band is the healthy range, a rule of thumb: a line "
                      "that leaves it says where to look, not that the run is lost.")  # fmt: skip
    for training in trainings:
        for gauge in gauges_of(training.method, training.settings):
            points = _points(training, gauge.key)
            if not points:
                continue
            title = f"{training.name}: {gauge.title}"
            picture = line_chart([Line(title, points)], title=title, x_label=_unit(training), band=gauge.band)
            last = points[-1][1]
            verdict = gauge.verdict(last)
            low, high = (None if end is None else number(end) for end in gauge.band)
            span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
            note = f"last {number(last)}; healthy: {span}{f' ({gauge.note})' if gauge.note else ''}"
            section.charts.append(Chart(title, picture, f"{note}. {verdict}".strip(), bool(verdict)))
    return section


def data_section(
    trainings: Sequence[Training], results: Mapping[str, Result], rows: Sequence[Mapping[str, Any]]
) -> Section:
    """What was learned from, and what that bought."""
    success = {result.policy: result for result in results.values() if not is_scripted(result)}
    section = Section("data", "Data efficiency", "How much each stage learned from, and success for it. Episodes that "
                      "were played cost more than those that were kept.")  # fmt: skip
    if trainings:
        table: list[list[Any]] = []
        for one in trainings:
            played = one.metrics.get("num_episodes_played")
            known = [f"{one.metrics[key]} {name}" for key, name in DATA.items() if key in one.metrics]
            episodes = sum(played.values()) if isinstance(played, Mapping) else ""
            measured = success.get(one.path.name)
            came = "" if measured is None else with_interval(measured.success_rate, measured.success_ci)
            steps = str(one.metrics.get("global_step", ""))
            table.append([one.name, one.method, ", ".join(known), str(episodes), steps, came])
        header = ["run", "method", "learned from", "episodes played", "training steps", "success % [95%]"]
        section.grids.append(Grid("", header, table))
    for key, title in (("kept_trajectories", "trajectories kept"), ("played_episodes", "episodes played")):
        arms: dict[tuple[str, Any, str], list[tuple[float, float]]] = {}
        for row in rows:
            if isinstance(row.get(key), int) and row[key] > 0 and isinstance(row.get("success_rate"), int | float):
                group = (str(row.get("protocol")), row.get("steps"), str(row.get("arm")))
                arms.setdefault(group, []).append((float(row[key]), float(row["success_rate"])))
        for protocol, steps in dict.fromkeys((one[0], one[1]) for one in arms):
            lines = [
                Line(arm, sorted(points)) for (one, of, arm), points in arms.items() if (one, of) == (protocol, steps)
            ]
            name = f"success over {title}, {protocol}, {steps} steps"
            picture = line_chart(lines, title=name, x_label=title, y_range=(0.0, 100.0))
            section.charts.append(Chart(name, picture, "; ".join(line.name for line in lines)))
    return section


def bandit_section(comparisons: Mapping[str, Report]) -> Section:
    """Comparisons of agents: who is the best, and how sure that was when."""
    section = Section("bandit", "Agents side by side", "Episodes were allotted while outcomes came in. Running means "
                      "of agents that are asked less often are biased; the table's estimates are not.")  # fmt: skip
    for name, report in comparisons.items():
        table = comparison_table(report)
        section.grids.append(Grid(name, table.header, table.rows, table.caption, table.legend))
        agents = [agent.rstrip("/").rpartition("/")[2] for agent in report.agents]
        section.legend = [(agent, place) for place, agent in enumerate(agents)]
        for number_, run in enumerate(report.runs, 1):
            chances = [
                Line(agent, list(enumerate(map(float, of_agent), 1)))
                for agent, of_agent in zip(agents, zip(*run.probability_best_by_round, strict=True), strict=True)
            ]
            title = f"run {number_}: probability of being the best"
            section.charts.append(Chart(title, line_chart(chances, title=title, x_label="round", y_range=(0.0, 1.0))))
            means = [
                Line(agent, list(enumerate(one.success, 1))) for agent, one in zip(agents, run.running, strict=True)
            ]
            title = f"run {number_}: running success (%)"
            picture = line_chart(means, title=title, x_label="episodes of the agent", y_range=(0.0, 100.0))
            section.charts.append(Chart(title, picture))
    return section


def fingerprints(results: Mapping[str, Result]) -> Grid | None:
    """Which goals, catalogue, decoding and packages stand behind each result."""
    rows = [
        [
            name,
            result.protocol,
            str(result.max_steps or ""),
            str(result.decoding or ""),
            str(result.seed if result.seed is not None else ""),
            result.catalog_sha256[:12],
            result.goals_sha256[:12],
            ", ".join(f"{package} {version}" for package, version in result.versions.items()),
        ]
        for name, result in results.items()
    ]
    header = ["result", "protocol", "steps", "decoding", "seed", "catalogue", "goals", "versions"]
    return Grid("Fingerprints", header, rows) if rows else None

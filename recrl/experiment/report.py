"""The report of an experiment: ``results.json`` with a row per evaluation, ``results.md`` with tables and curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError
from recrl.evaluation.failure_types import KINDS, MEANINGS
from recrl.evaluation.legend import result_legend
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import compare_results
from recrl.evaluation.tables import EQUAL_STEPS, caption, result_cells, strongest_rule
from recrl.experiment.amounts import UNITS, Growth, draw_growth, find_growth, growth_table
from recrl.experiment.curves import Curve, curve_table, draw_curves
from recrl.experiment.rows import Comparable, Cost, Found, comparable
from recrl.files import read_text, write_json, write_text
from recrl.tables import Cell, Number, Table, legend_text

RESULTS_JSON, RESULTS_MD = "results.json", "results.md"
BEGIN, END = "<!-- experiment: written by recipes/paper.py -->", "<!-- end of experiment -->"
HEADER = (
    "arm", "seeds", "success % [95% CI]", "score [95% CI]", "success % per product", "steps",
    "success against its start", "success against the strongest rule",
)  # fmt: skip


@dataclass(frozen=True)
class ArmCost:
    """What one arm took, mean over its seeds.

    Attributes:
        arm, protocol: which; num_seeds: how many of it there are.
        own: of the stages that its start does not have; whole: of all.
    """

    protocol: str
    arm: str
    num_seeds: int
    own: Cost
    whole: Cost


@dataclass(frozen=True)
class Report:
    """What is written of an experiment.

    Attributes:
        found: the measurements; costs: of trained arms; curves: of PPO, name of the protocol -> seed -> curve.
        missing: names of stages that were not made.
    """

    found: Sequence[Found]
    costs: Sequence[ArmCost]
    curves: Mapping[str, Mapping[int, Curve]]
    missing: Sequence[str]


def arm_table(table: Comparable) -> Table:
    """A row per arm; paired differences to its own start and to the strongest rule of equal steps."""
    results, rows = table.results, []
    for name, result in results.items():
        start, rule = table.starts.get(name), strongest_rule(results, name)
        arm, *measured = result_cells(name, result)
        seeds = "" if result.trained_on_this_catalog is None else _num_seeds(result)
        rows.append([arm, seeds, *measured, _difference(table, name, start), _difference(table, name, rule)])
    said = (
        f" Differences are paired and name what they are to. The strongest rule is the one with most success of those "
        f"that take at most {EQUAL_STEPS} steps more an episode than the arm."
    )
    legend = {"seeds": "trainings of the arm, of which the row is the mean"} | result_legend(
        results, against=HEADER[-2:]
    )
    return Table(HEADER, rows, caption(results) + said, legend=legend)


def _num_seeds(result: Result) -> int:
    return len(result.seed) if isinstance(result.seed, tuple) else 1


def _difference(table: Comparable, name: str, other: str | None) -> Cell:
    if other is None:
        return ""
    found = compare_results(*table.sides(name, other))
    return Number(found.success_difference, found.success_difference_ci, "+.1f", note=other)


def failure_kinds_table(tables: Sequence[Comparable]) -> Table | None:
    """Of every trained arm the share of the goals that failed in each way, mean over seeds; arms with a result that
    does not say why its episodes failed are left out, and None is returned where there are no others.
    """
    rows: list[list[Cell]] = []
    for table in tables:
        for arm, of_arm in table.by_seed.items():
            results = list(of_arm.values())
            explained = [one.failures for one in results if one.failures is not None]
            if None in of_arm or len(explained) < len(results):
                continue
            episodes = sum(one.num_episodes for one in results)
            counts = [sum(one.kinds[place].episodes for one in explained) for place in range(len(KINDS))]
            shares: list[Cell] = [Number(100 * count / episodes) for count in (*counts, sum(counts))]
            rows.append([table.protocol, table.steps, arm, *shares])
    if not rows:
        return None
    header = ("protocol", "step limit", "arm", *KINDS.values(), "all failures")
    legend = {said: MEANINGS[kind] for kind, said in KINDS.items()}
    return Table(header, rows, "In percent of all goals, means over seeds.", legend=legend)


def cost_table(costs: Sequence[ArmCost]) -> Table:
    """Minutes and episodes of every trained arm, without and with its start."""
    header = ("protocol", "arm", "seeds", "minutes", "with its start", "kept trajectories", "played episodes")
    rows = [
        [
            one.protocol,
            one.arm,
            one.num_seeds,
            _minutes(one.own.minutes),
            _minutes(one.whole.minutes),
            one.whole.kept,
            one.whole.played,
        ]
        for one in costs
    ]
    return Table(
        header,
        rows,
        "Means over seeds. Minutes are those of collecting and training, without evaluation on test goals. "
        "Trajectories and episodes are with the start's; the played ones hold those of training and of dev goals.",
    )


def _minutes(minutes: float | None) -> Cell:
    return "not known" if minutes is None else Number(minutes)


def report_tables(report: Report) -> list[Table]:
    """The tables of arms, and what they cost."""
    found = comparable(report.found)
    tables, failed = [arm_table(table) for table in found], failure_kinds_table(found)
    tables += [] if failed is None else [failed]
    return [*tables, cost_table(report.costs)] if report.costs else tables


def report_text(report: Report, picture_of: Callable[[str], str]) -> str:
    """The report as Markdown.

    Args:
        picture_of: name of a picture -> where it is, seen from the page.
    """
    parts = []
    if report.missing:
        shown = ", ".join(f"`{name}`" for name in report.missing[:5])
        more = f" and {len(report.missing) - 5} more" if len(report.missing) > 5 else ""
        parts.append(f"Not complete: {len(report.missing)} stages are missing ({shown}{more}).\n")
    legend: dict[str, str] = {}
    found = comparable(report.found)
    for table in found:
        arms = arm_table(table)
        parts += [f"### {table.protocol}, {table.steps} steps\n", replace(arms, legend={}).markdown()]
        legend |= arms.legend
    if legend:
        parts += ["### What the columns mean\n", legend_text(legend)]
    for growth in find_growth(found):
        name = f"How many {UNITS[growth.name]}"
        parts += [f"### {name}, {growth.protocol}\n", f"![{name}]({picture_of(growth_picture(growth))})\n"]
        parts.append(growth_table(growth).markdown())
    failed = failure_kinds_table(found)
    if failed is not None:
        parts += ["### Why episodes fail\n", failed.markdown()]
    if report.costs:
        parts += ["### Minutes and episodes\n", cost_table(report.costs).markdown()]
    for protocol, curves in report.curves.items():
        parts += [
            f"### PPO on dev goals, {protocol}\n",
            f"![Dev success of PPO]({picture_of(curves_picture(protocol))})\n",
        ]
        parts.append(curve_table(curves).markdown())
    return "\n".join(parts)


def curves_picture(protocol: str) -> str:
    """The name of the picture of PPO's curves."""
    return f"ppo_{protocol}.png"


def growth_picture(growth: Growth) -> str:
    """The name of the picture of a growth."""
    return f"{growth.name}_{growth.protocol}.png"


def write_report(report: Report, folder: Path, *, pictures: str = "", between_marks: bool = False) -> None:
    """Writes ``results.json``, ``results.md`` and the pictures into a folder.

    A file that has the content already is left untouched.

    Args:
        pictures: a folder inside it for the pictures.
        between_marks: the page may hold more than the report, which stands between two lines, `BEGIN` and `END`.

    Raises:
        ConfigError: a page that is there lacks these lines, or matplotlib is not installed.
    """
    page, inside = folder / RESULTS_MD, Path(pictures)
    for protocol, curves in report.curves.items():
        draw_curves(curves, folder / inside / curves_picture(protocol), title=protocol)
    for growth in find_growth(comparable(report.found)):
        draw_growth(growth, folder / inside / growth_picture(growth))
    text = report_text(report, lambda name: (inside / name).as_posix())
    if between_marks:
        text = _between_marks(page, text)
    content: dict[str, Any] = {"rows": [one.row.to_json() for one in report.found], "missing": list(report.missing)}
    write_json(folder / RESULTS_JSON, content)
    write_text(page, text)


def _between_marks(page: Path, text: str) -> str:
    if not page.exists():
        return f"# Results\n\n{BEGIN}\n{text}{END}\n"
    before, begun, rest = read_text(page).partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ConfigError(
            f"{page} has no place for the report; put the two lines {BEGIN!r} and {END!r} where it shall stand"
        )
    return f"{before}{BEGIN}\n{text}{END}{after}"

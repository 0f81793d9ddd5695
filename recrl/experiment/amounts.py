"""How success grows with the data: the arms of a number of trajectories or products, as a table and a picture.

The reading imitation itself, which has the full amount, is the last of the products and has its place among the
trajectories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recrl.evaluation.result_types import Result
from recrl.evaluation.tables import is_rule
from recrl.experiment.arms import READING, numbered
from recrl.experiment.rows import Comparable, mean_over
from recrl.pictures import COLORS, load_pyplot, save_picture
from recrl.tables import Cell, Number, Table

UNITS = {"efficiency": "trajectories", "products": "training products"}


@dataclass(frozen=True)
class Growth:
    """Success over one amount, with one kind of training goals.

    Attributes:
        name: of the family of arms; protocol: of the training and of the first column.
        amounts: what was varied, smallest first, as it is shown.
        columns: what was played -> amount -> the result there, a mean over the seeds of the varied arms.
        rules: what was played -> success of the strongest rule there, if one was played.
    """

    name: str
    protocol: str
    amounts: Sequence[str]
    columns: Mapping[str, Mapping[str, Result]]
    rules: Mapping[str, float]


def find_growth(tables: Sequence[Comparable]) -> list[Growth]:
    """What can be drawn from the tables of an experiment: families with at least two amounts."""
    grown = []
    for split_by in dict.fromkeys(table.split_by for table in tables):
        here = [table for table in tables if table.split_by == split_by]
        grown += [one for name in UNITS if (one := _growth(name, here)) is not None]
    return grown


def _growth(name: str, tables: Sequence[Comparable]) -> Growth | None:
    numbers: set[int] = set()
    full: int | None = None
    columns: dict[str, dict[int | None, Result]] = {}
    rules = {}
    for table in tables:
        varied = {found[1]: arm for arm in table.by_seed if (found := numbered(arm)) and found[0] == name}
        if not varied:
            continue
        wording = "" if table.wording == "template" else f", {table.wording}"
        column = f"{table.steps} steps{wording}"
        columns[column] = {number: table.results[arm] for number, arm in varied.items()}
        numbers |= set(varied)
        if READING in table.by_seed:
            seeds = {seed for arm in varied.values() for seed in table.by_seed[arm]}
            same = [result for seed, result in table.by_seed[READING].items() if seed in seeds]
            full = table.kept[READING] if name == "efficiency" else None
            if same:
                columns[column][full] = mean_over(same)
        ruled = [result.success_rate for result in table.results.values() if is_rule(result)]
        if ruled:
            rules[column] = max(ruled)
    known = sorted(numbers if full is None else numbers | {full})
    places: list[int | None] = [*known]
    if any(None in of_column for of_column in columns.values()):
        places.append(None)
    if len(places) < 2:
        return None
    shown = {place: "all" if place is None else f"{place:,}" for place in places}
    return Growth(
        name=name,
        protocol=tables[0].protocol,
        amounts=list(shown.values()),
        columns={
            column: {shown[place]: of_column[place] for place in places if place in of_column}
            for column, of_column in columns.items()
        },
        rules=rules,
    )


def growth_table(growth: Growth) -> Table:
    """A row per amount: success with its interval, and of how many trainings it is the mean."""
    rows = []
    for amount in growth.amounts:
        results = [of_column.get(amount) for of_column in growth.columns.values()]
        cells: list[Cell] = ["" if one is None else Number(one.success_rate, one.success_ci) for one in results]
        seeds = max(len(one.seed) if isinstance(one.seed, tuple) else 1 for one in results if one is not None)
        rows.append([amount, seeds, *cells])
    header = (UNITS[growth.name], "seeds", *growth.columns)
    return Table(header, rows, "Success % [95% CI] on test goals; equal seeds in every row.")


def draw_growth(growth: Growth, path: Path) -> None:
    """Writes the picture: a line with intervals for everything that was played, dotted the strongest rule there.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure, axes = load_pyplot().subplots(figsize=(7, 3.4), layout="constrained")
    shift = 0.06  # between the intervals of two lines, in places of the axis
    for number, (column, of_column) in enumerate(growth.columns.items()):
        color = COLORS[number % len(COLORS)]
        places = [growth.amounts.index(amount) + shift * number for amount in of_column]
        success = [one.success_rate for one in of_column.values()]
        low = [one.success_rate - one.success_ci[0] for one in of_column.values()]
        high = [one.success_ci[1] - one.success_rate for one in of_column.values()]
        axes.errorbar(places, success, yerr=[low, high], color=color, marker="o", capsize=2, label=column)
        if column in growth.rules:
            axes.axhline(growth.rules[column], color=color, linestyle=":", linewidth=1)
    axes.set_xticks(range(len(growth.amounts)), growth.amounts)
    axes.set_xlabel(UNITS[growth.name])
    axes.set_ylabel("success %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(growth.columns), frameon=False)
    figure.suptitle(f"{growth.protocol}; dotted: the strongest rule", fontsize=10)
    save_picture(figure, path)

"""What the page says of results, failures, rewards and comparisons, section by section."""

from collections.abc import Mapping, Sequence
from typing import Any

from recrl.evaluation.comparison_tables import comparison_table, equal_lines
from recrl.evaluation.failure_types import KINDS
from recrl.evaluation.report import Report
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import compare_results
from recrl.evaluation.tables import result_table, strongest_rule
from recrl.reports.charts import Line, interval_bar, line_chart, share_bar, stacked_bar
from recrl.reports.naming import best_trained, comparable_results, start_of, table_title
from recrl.reports.parts import Chart, Fold, Grid, Section
from recrl.tables import with_interval

PARTS = {"r_type": "kind", "r_att": "attributes", "r_option": "options", "r_price": "price"}
MOST_SAID = 4  # sentences of the headline
MOST_ROWS = 15  # of a table that is not folded up, where it is for looking something up


def results_section(results: Mapping[str, Result]) -> Section:
    """Success and score with intervals, and the paired differences that decide."""
    section = Section("results", "Results", "Dots are the figures, whiskers their 95% intervals.")
    for table in comparable_results(results):
        base = start_of(table) or next((name for name, one in table.items() if one.max_steps is not None), None)
        compared = result_table(table, baseline=base if len(table) > 1 else None)
        rows = []
        for row, result in zip(compared.rows, table.values(), strict=True):
            name, success, score, per_product, steps, *differences = row
            rows.append([
                name, success, interval_bar(result.success_rate, result.success_ci),
                score, interval_bar(result.score, result.score_ci), per_product, steps, *differences,
            ])  # fmt: skip
        header = ["policy", "success % [95%]", "0 to 100", "score [95%]", "0 to 100", "per product", "steps",
                  *compared.header[5:]]  # fmt: skip
        section.grids.append(Grid(table_title(table), header, rows, compared.caption))
        section.explain(compared.legend)
    return section


def headline(results: Mapping[str, Result]) -> list[str]:
    """What came out, in sentences: the best that was trained, and against what it is measured."""
    said = []
    tables = comparable_results(results)
    on_test = [table for table in tables if next(iter(table.values())).split == "test"]
    for table in on_test or tables:
        name = best_trained(table)
        if name is None:
            continue
        best, rule = table[name], strongest_rule(table, start_of(table) or name)
        text = f"{name}: success {with_interval(best.success_rate, best.success_ci)} on {best.num_episodes} goals"
        if rule is not None:
            found = compare_results(best, table[rule])
            low, high = found.success_difference_ci
            shown = "more" if low > 0 else "less" if high < 0 else "not shown to differ"
            against = with_interval(found.success_difference, found.success_difference_ci, "+.1f")
            text += f"; against {rule}, the strongest rule of equal steps: {against}, {shown}"
        said.append(f"{text} ({best.protocol}, {best.max_steps} steps).")
    left = len(said) - MOST_SAID
    return said if left <= 1 else [*said[:MOST_SAID], f"{left} more protocols stand under Results."]


def reward_section(results: Mapping[str, Result]) -> Section:
    """Which part of the reward purchases miss."""
    section = Section("reward", "Reward, part by part", "Means over what was bought: the right kind of product, the "
                      "share of wanted attributes, of wanted options, and of purchases within the price bound. "
                      "Reward = kind × the mean of the others, weighed by how many things each asks for.")  # fmt: skip
    header = ["policy"]
    for title in PARTS.values():
        header += [title, ""]
    for table in comparable_results(results):
        rows: list[list[Any]] = []
        for name, result in table.items():
            if not result.reward_parts:
                continue
            cells: list[Any] = [name]
            for part in PARTS:
                value = result.reward_parts.get(part)
                cells += ["", ""] if value is None else [f"{value:.2f}", share_bar(value)]
            rows.append(cells)
        if rows:
            section.folds.append(Fold(table_title(table), grids=[Grid("", header, rows)]))
    if len(section.folds) == 1:
        section.grids, section.folds = section.folds[0].grids, []
    elif section.folds:
        section.folds[0].is_open = True
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


def bandit_section(comparisons: Mapping[str, Report]) -> Section:
    """Comparisons of agents: who is the best, and how sure that was when."""
    section = Section("bandit", "Agents side by side")
    several = len(comparisons) > 1
    for name, report in comparisons.items():
        table = comparison_table(report)
        rows = []
        for row, agent in zip(table.rows, report.all_runs, strict=True):
            who, episodes, success, score, *rest = row
            pictures = [
                "" if value is None else interval_bar(value, interval)
                for value, interval in ((agent.success, agent.success_ci), (agent.score, agent.score_ci))
            ]
            rows.append([who, episodes, success, pictures[0], score, pictures[1], *rest])
        header = [*table.header[:3], "0 to 100", table.header[3], "0 to 100", *table.header[4:]]
        section.grids.append(Grid(name, header, rows, table.caption, equal_lines(report)))
        section.explain(table.legend)
        is_adaptive = report.config["allocation"] == "thompson"
        section.text = "Dots are the figures, whiskers their 95% intervals." + (
            " Episodes were allotted while outcomes came in, so the running means of agents that are asked less often "
            "are biased; the table's estimates are not."
            if is_adaptive
            else ""
        )
        if report.paired:
            section.grids.append(_paired(report))
            section.explain(PAIRED_MEANINGS)
        agents = [agent.rstrip("/").rpartition("/")[2] for agent in report.agents]
        section.legend = [(agent, place) for place, agent in enumerate(agents)]
        for number, run in enumerate(report.runs, 1):
            which = f"{name}, run {number}" if several else f"run {number}"
            chances = [
                Line(agent, list(enumerate(map(float, of_agent), 1)))
                for agent, of_agent in zip(agents, zip(*run.probability_best_by_round, strict=True), strict=True)
            ]
            title = f"{which}: probability of being the best"
            section.charts.append(Chart(title, line_chart(chances, title=title, x_label="round", y_range=(0.0, 1.0))))
            means = [
                Line(agent, list(enumerate(one.success, 1))) for agent, one in zip(agents, run.running, strict=True)
            ]
            title = f"{which}: running success (%)"
            picture = line_chart(means, title=title, x_label="episodes of the agent", y_range=(0.0, 100.0))
            section.charts.append(Chart(title, picture))
    return section


PAIRED_MEANINGS = {
    "difference": "of an agent to the first one on the same goals, in points, with a 95% confidence sequence for these "
    "goals; an interval without 0 shows that there is one",
    "products": "target products on which the agent has more, or fewer, successes; p is of the exact sign test",
}
SPAN = 100  # points that the axis of a difference reaches to either side


def _paired(report: Report) -> Grid:
    """Paired differences of a uniform allotment."""
    rows = [
        [
            one.policy,
            with_interval(one.success_difference, one.success_difference_ci, "+.1f"),
            interval_bar(one.success_difference, one.success_difference_ci, low=-SPAN, high=SPAN),
            with_interval(one.score_difference, one.score_difference_ci, "+.1f"),
            interval_bar(one.score_difference, one.score_difference_ci, low=-SPAN, high=SPAN),
            f"{one.products_better} better, {one.products_worse} worse",
            f"{one.p_value_products:.3g}",
        ]
        for one in report.paired or ()
    ]
    span = f"-{SPAN} to {SPAN}"
    header = ["agent", "success difference [95%]", span, "score difference [95%]", span, "products", "p"]
    return Grid(f"Paired differences to {report.agents[0]}, on the same goals", header, rows)


def fingerprints(results: Mapping[str, Result]) -> Fold | None:
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
        ]
        for name, result in results.items()
    ]
    header = ["result", "protocol", "steps", "decoding", "seed", "catalogue", "goals"]
    packages: dict[str, list[str]] = {}
    for name, result in results.items():
        if result.versions:
            said = ", ".join(f"{package} {version}" for package, version in result.versions.items())
            packages.setdefault(said, []).append(name)
    notes = [
        f"{some(names)}: {said}" if len(packages) > 1 else f"Made with {said}." for said, names in packages.items()
    ]
    if not rows:
        return None
    summary = f"{len(rows)} results"
    return Fold("Fingerprints", summary, [Grid("", header, rows, notes=notes)], is_open=len(rows) <= MOST_ROWS)


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - most
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:most])} and {more} more"

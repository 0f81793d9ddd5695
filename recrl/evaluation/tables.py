"""Results and their comparisons for people."""

from collections.abc import Mapping

from recrl.evaluation.result_types import Comparison, Result
from recrl.evaluation.results import compare_results
from recrl.evaluation.seen_goals import seen_goals_notes
from recrl.tables import Table, with_interval

HEADER = ("policy", "success % [95% CI]", "score [95% CI]", "success % per product", "steps", "success against {}")


def result_table(results: Mapping[str, Result], *, baseline: str | None = None) -> Table:
    """A row per result; with a baseline's name, the last column is the paired difference to it, in points.

    Raises:
        DatasetError: a result is of other goals than the baseline.
    """
    rows = []
    for name, result in results.items():
        row = [
            f"{name} (knows the goal)" if result.knows_goal else name,
            with_interval(result.success_rate, result.success_ci),
            with_interval(result.score, result.score_ci),
            f"{result.success_per_product:.1f}",
            "" if result.mean_steps is None else f"{result.mean_steps:.1f}",
        ]
        if baseline is not None and name == baseline:
            row.append("-")
        elif baseline is not None:
            comparison = compare_results(result, results[baseline])
            row.append(with_interval(comparison.success_difference, comparison.success_difference_ci, "+.1f"))
        rows.append(row)
    header = [column.format(baseline) for column in (HEADER if baseline is not None else HEADER[:-1])]
    return Table(header, rows, caption(results))


def caption(results: Mapping[str, Result]) -> str:
    """The protocol, the goals, the settings and the fingerprints behind a table."""
    first = next(iter(results.values()))
    played = [result for result in results.values() if result.max_steps is not None]  # a ceiling plays nothing
    settings = "".join(
        f", {' or '.join(dict.fromkeys(str(getattr(result, name)) for result in played))} {unit}"
        for name, unit in (("max_steps", "steps at most"), ("decoding", "decoding"))
        if played
    )
    proposed = [f"{result.num_queries} of {result.query_model}" for result in played if result.num_queries is not None]
    if proposed:
        plain = ["none"] if len(proposed) < len(played) else []
        settings += f", proposed queries: {' or '.join(dict.fromkeys([*proposed, *plain]))}"
    return (
        f"Protocol {first.protocol}, {first.split} split, {first.num_episodes} goals of "
        f"{first.num_products} products{settings}. Intervals: 95%, bootstrap over target products. "
        f"Catalogue {first.catalog_sha256[:12]}, goals {first.goals_sha256[:12]}."
        + seen_goals_notes({name: result.num_seen_goals for name, result in results.items()}, first.num_episodes)
    )


def markdown_table(results: Mapping[str, Result], *, baseline: str | None = None) -> str:
    """The table as Markdown; arguments and errors as those of `result_table`."""
    return result_table(results, baseline=baseline).markdown()


def print_table(results: Mapping[str, Result], *, baseline: str | None = None) -> None:
    """The table on the terminal; arguments and errors as those of `result_table`."""
    result_table(results, baseline=baseline).print()


def comparison_lines(comparison: Comparison) -> list[str]:
    """What `recrl.evaluation.results.compare_results` found, as lines for people; differences in points of 100."""
    success = with_interval(comparison.success_difference, comparison.success_difference_ci, "+.1f")
    score = with_interval(comparison.score_difference, comparison.score_difference_ci, "+.1f")
    lines = [
        f"paired difference in success: {success}",
        f"paired difference in score: {score}",
        f"exact sign test over products: {comparison.products_better} better, {comparison.products_worse} worse, "
        f"p = {comparison.p_value_products:.3g}",
    ]
    if comparison.p_value is not None:
        lines.append(f"exact McNemar test over goals, as if they were independent: p = {comparison.p_value:.3g}")
    return lines

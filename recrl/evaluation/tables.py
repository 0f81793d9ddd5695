"""Results as tables for people: Markdown for files, aligned text for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from recrl.evaluation.results import compare_results

HEADER = ("policy", "success % [95% CI]", "score [95% CI]", "success % per product", "steps", "success against {}")

WIDTH = 140  # characters of a table that goes to a file or a pipe


def _interval(value: float, ends: Sequence[float]) -> str:
    return f"{value:.1f} [{ends[0]:.1f}, {ends[1]:.1f}]"


def result_rows(results: Mapping[str, dict[str, Any]], baseline: str | None = None) -> list[list[str]]:
    """A row per result; with a baseline's name, the last column is the paired difference to it, in points.

    Raises:
        DatasetError: a result is of other goals than the baseline.
    """
    rows = []
    for name, result in results.items():
        row = [
            name,
            _interval(result["success_rate"], result["success_ci"]),
            _interval(result["score"], result["score_ci"]),
            f"{result['success_per_product']:.1f}",
            f"{result['mean_steps']:.1f}" if "mean_steps" in result else "",
        ]
        if baseline is not None:
            if name == baseline:
                row.append("-")
            else:
                comparison = compare_results(result, results[baseline])
                difference = comparison["success_difference"]
                low, high = comparison["success_difference_ci"]
                row.append(f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]")
        rows.append(row)
    return rows


def caption(results: Mapping[str, dict[str, Any]]) -> str:
    """The protocol, the goals, the settings and the fingerprints behind a table."""
    first = next(iter(results.values()))
    played = [result for result in results.values() if result.get("max_steps") is not None]  # a ceiling plays nothing
    settings = "".join(
        f", {' or '.join(dict.fromkeys(str(result[name]) for result in played))} {unit}"
        for name, unit in (("max_steps", "steps at most"), ("decoding", "decoding"))
        if played
    )
    proposed = [f"{result['num_queries']} of {result['query_model']}" for result in played if "num_queries" in result]
    if proposed:
        plain = ["none"] if len(proposed) < len(played) else []
        settings += f", proposed queries: {' or '.join(dict.fromkeys([*proposed, *plain]))}"
    return (
        f"Protocol {first['protocol']}, {first['split']} split, {first['num_episodes']} goals of "
        f"{first['num_products']} products{settings}. Intervals: 95%, bootstrap over target products. "
        f"Catalogue {first['catalog_sha256'][:12]}, goals {first['goals_sha256'][:12]}."
    )


def markdown_table(results: Mapping[str, dict[str, Any]], *, baseline: str | None = None) -> str:
    """The table with its caption below; arguments and errors as those of `result_rows`."""
    header = [column.format(baseline) for column in (HEADER if baseline is not None else HEADER[:-1])]
    rows = [header, ["---"] * len(header), *result_rows(results, baseline)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", caption(results), ""])


def print_table(results: Mapping[str, dict[str, Any]], *, baseline: str | None = None) -> None:
    """The table on the terminal; arguments and errors as those of `result_rows`."""
    header = [column.format(baseline) for column in (HEADER if baseline is not None else HEADER[:-1])]
    print_rows(header, result_rows(results, baseline), caption=caption(results))


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> None:
    """Rows of texts as a table on the terminal, or 140 characters wide where the output is none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, caption=caption, caption_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(table)


def comparison_lines(comparison: Mapping[str, Any]) -> list[str]:
    """What `recrl.evaluation.results.compare_results` found, as lines for people; differences in points of 100."""
    lines = []
    for name in ("success", "score"):
        low, high = comparison[f"{name}_difference_ci"]
        lines.append(f"paired difference in {name}: {comparison[f'{name}_difference']:+.1f} [{low:+.1f}, {high:+.1f}]")
    lines.append(
        f"exact sign test over products: {comparison['products_better']} better, {comparison['products_worse']} worse, "
        f"p = {comparison['p_value_products']:.3g}"
    )
    if comparison["p_value"] is not None:
        lines.append(f"exact McNemar test over goals, as if they were independent: p = {comparison['p_value']:.3g}")
    return lines

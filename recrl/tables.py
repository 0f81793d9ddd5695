"""Results as tables for people: Markdown for files, aligned text for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from recrl.results import compare_results

HEADER = ("policy", "success % [95% CI]", "score [95% CI]", "success % per product", "steps", "success against {}")


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
    """The protocol, the goals and the fingerprints behind a table."""
    first = next(iter(results.values()))
    return (
        f"Protocol {first['protocol']}, {first['split']} split, {first['num_episodes']} goals of "
        f"{first['num_products']} products. Intervals: bootstrap over target products. "
        f"Catalogue {first['catalog_sha256'][:12]}, goals {first['goals_sha256'][:12]}."
    )


def markdown_table(results: Mapping[str, dict[str, Any]], *, baseline: str | None = None) -> str:
    """The table with its caption below."""
    header = [column.format(baseline) for column in (HEADER if baseline is not None else HEADER[:-1])]
    rows = [header, ["---"] * len(header), *result_rows(results, baseline)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", caption(results), ""])


def print_table(results: Mapping[str, dict[str, Any]], *, baseline: str | None = None) -> None:
    """The table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    header = [column.format(baseline) for column in (HEADER if baseline is not None else HEADER[:-1])]
    table = Table(*header, caption=caption(results), caption_justify="left")
    for row in result_rows(results, baseline):
        table.add_row(*row)
    Console().print(table)

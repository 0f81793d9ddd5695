"""A comparison as text: Markdown, LaTeX or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("md", "latex", "csv", "json")
HEADER = (
    "agent", "episodes", "success % [95% CI]", "score [95% CI]", "running success %", "P(best) by run",
)  # fmt: skip


def comparison_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """A row per agent: episodes, valid estimates over all runs, the biased running mean, P(best) of each run."""
    rows = []
    for place, entry in enumerate(report["all_runs"]):
        estimates = [
            f"{entry[name]:.1f} [{entry[f'{name}_ci'][0]:.1f}, {entry[f'{name}_ci'][1]:.1f}]"
            for name in ("success", "score")
        ]
        running = entry["success_running_mean"]
        best = ", ".join(f"{run['probability_best'][place]:.2f}" for run in report["runs"])
        rows.append(
            [entry["policy"], str(entry["pulls"]), *estimates, "" if running is None else f"{running:.1f}", best]
        )
    return rows


def caption(report: Mapping[str, Any]) -> str:
    """What stands behind the table."""
    config = report["config"]
    drawn = "Thompson's rule" if config["allocation"] == "thompson" else "uniform"
    queries = f", {report['num_queries']} queries of {report['query_model']}" if "query_model" in report else ""
    return (
        f"Protocol {report['protocol']}, {config['split']} split, {report['num_goals']} goals drawn with replacement, "
        f"{config['runs']} runs of {config['num_episodes']} episodes, {drawn} allotment (objective "
        f"{config['objective']}, exploration {config['exploration']}), {config['decoding']} decoding{queries}, seed "
        f"{config['seed']}. Intervals are for episodes on these goals and valid under adaptive allotment; the running "
        "mean is not. "
        f"Catalogue {report['catalog_sha256'][:12]}, goals {report['goals_sha256'][:12]}."
    )


def paired_lines(report: Mapping[str, Any]) -> list[str]:
    """Of a uniform allotment: the paired differences as lines for people."""

    def difference(entry: Mapping[str, Any], name: str) -> str:
        low, high = entry[f"{name}_difference_ci"]
        return f"{name} {entry[f'{name}_difference']:+.1f} [{low:+.1f}, {high:+.1f}]"

    return [
        f"{entry['policy']} against {entry['baseline']}, paired: {difference(entry, 'success')}, "
        f"{difference(entry, 'score')}; "
        f"sign test over products: {entry['products_better']} better, {entry['products_worse']} worse, "
        f"p = {entry['p_value_products']:.3g}"
        for entry in report.get("paired", ())
    ]


def comparison_table(report: Mapping[str, Any], form: str) -> str:
    """The table in one of `FORMATS` but json."""
    rows = comparison_rows(report)
    if form == "csv":
        output = io.StringIO()
        csv.writer(output, lineterminator="\n").writerows([HEADER, *rows])
        return output.getvalue()
    if form == "latex":
        return _latex(rows, caption(report))
    lines = ["| " + " | ".join(row) + " |" for row in [list(HEADER), ["---"] * len(HEADER), *rows]]
    return "\n".join([*lines, "", caption(report), *paired_lines(report), ""])


def _latex(rows: Sequence[Sequence[str]], text: str) -> str:
    body = [" & ".join(map(_escaped, row)) + r" \\" for row in [HEADER, *rows]]
    return "\n".join(
        [
            r"\begin{table}", r"\centering", rf"\caption{{{_escaped(text)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(HEADER) - 1)}}}",
            r"\hline", body[0], r"\hline", *body[1:], r"\hline", r"\end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text

"""The pictures of a comparison: running means of every run as in the paper's figures, and who is the best."""

from pathlib import Path

from recrl.evaluation.report import Report
from recrl.pictures import COLORS, load_pyplot, save_picture


def draw_comparison(report: Report, folder: Path) -> list[Path]:
    """Writes ``comparison.png`` and ``comparison.svg``: a row per run; score, success, probability of being the best.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    pyplot = load_pyplot()
    runs, names = report.runs, [Path(name).name for name in report.agents]
    figure, axes = pyplot.subplots(
        len(runs), 3, figsize=(11, 0.6 + 2.3 * len(runs)), layout="constrained", squeeze=False, sharex="col"
    )
    for row, run in enumerate(runs):
        for place, measure in enumerate(("score", "success")):
            for name, running, color in zip(names, run.running, _colors(names), strict=True):
                means = getattr(running, measure)
                axes[row, place].plot(range(1, len(means) + 1), means, color=color, label=name)
            axes[row, place].set_ylim(0, 100)
        for name, chances, color in zip(
            names, zip(*run.probability_best_by_round, strict=True), _colors(names), strict=True
        ):
            axes[row, 2].plot(range(1, len(chances) + 1), chances, color=color, label=name)
        axes[row, 2].set_ylim(0, 1)
        axes[row, 0].set_ylabel(f"run {row + 1}")
        for one in axes[row]:
            one.spines[["top", "right"]].set_visible(False)
    for place, (title, unit) in enumerate(
        (("running score", "episodes of the agent"), ("running success %", "episodes of the agent"),
         ("probability of being the best", "round"))
    ):  # fmt: skip
        axes[0, place].set_title(title)
        axes[-1, place].set_xlabel(unit)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), frameon=False)
    allocation = report.config["allocation"]
    figure.suptitle(
        f"{report.protocol}, {allocation} allotment; running means of adaptive runs are biased", fontsize=10
    )
    written = [folder / f"comparison.{kind}" for kind in ("png", "svg")]
    save_picture(figure, *written)
    return written


def _colors(names: list[str]) -> list[str]:
    return [COLORS[place % len(COLORS)] for place in range(len(names))]

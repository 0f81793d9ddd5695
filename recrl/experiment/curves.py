"""The learning curve of PPO: success on dev goals over updates and over minutes, as a table and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from recrl.pictures import COLORS, load_pyplot, save_picture
from recrl.tables import Cell, Number, Table
from recrl.training.runs import training_metrics


class Point(NamedTuple):
    """Success on dev goals, from 0 to 100, after so many updates and minutes; update 0 is the start."""

    update: int
    minutes: float
    success: float


Curve = Sequence[Point]


def read_curve(run: Path) -> Curve:
    """The curve of a complete PPO run.

    Raises:
        CheckpointError: the run is not complete.
    """
    metrics = training_metrics(run)
    start = metrics["start_on_dev"]
    points = [Point(0, 0.0, start["dev/success"])] if start else []
    return points + [
        Point(entry["update"], entry["train/minutes"], entry["dev/success"])
        for entry in metrics["log_history"]
        if "dev/success" in entry
    ]


def curve_table(curves: Mapping[int, Curve]) -> Table:
    """A row per update at which dev goals were played.

    Args:
        curves: seed -> its curve.
    """
    updates = sorted({point.update for curve in curves.values() for point in curve})
    rows = []
    for update in updates:
        points = {seed: point for seed, curve in curves.items() for point in curve if point.update == update}
        minutes = sum(point.minutes for point in points.values()) / len(points)
        mean = sum(point.success for point in points.values()) / len(points)
        by_seed: list[Cell] = [Number(points[seed].success) if seed in points else "" for seed in curves]
        rows.append([update, Number(minutes), Number(mean), *by_seed])
    header = ("update", "minutes", "dev success %", *(f"seed {seed}" for seed in curves))
    return Table(header, rows, "Dev goals, each played once; minutes and the third column are means over seeds.")


def draw_curves(curves: Mapping[int, Curve], path: Path, *, title: str) -> None:
    """Writes the picture: a line per seed, over updates and over minutes.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
    for (seed, curve), color in zip(curves.items(), COLORS * len(curves), strict=False):
        success = [point.success for point in curve]
        axes[0].plot([point.update for point in curve], success, color=color, label=f"seed {seed}")
        axes[1].plot([point.minutes for point in curve], success, color=color)
    for panel, unit in zip(axes, ("updates", "minutes"), strict=True):
        panel.set_xlabel(unit)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("success % on dev goals")
    figure.legend(loc="outside lower center", ncols=len(curves), frameon=False)
    figure.suptitle(f"PPO, {title}", fontsize=10)
    save_picture(figure, path)

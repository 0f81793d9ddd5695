"""Curves of what training runs logged, one line per run and a panel per number.

    python benchmarks/curves.py runs/ppo_seed0 runs/ppo_seed1 runs/ppo_seed2 --keys dev/success episode/success \
        policy/kl_reference --output_dir docs/results --name ppo_webshop_1k

A run is a folder of one of the recipes; its log is ``log_history`` in ``training_metrics.json``, for self-improvement
``rounds``. Writes NAME.png and NAME.svg.
"""

import argparse
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError
from recrl.training.recipe import run_recipe
from recrl.training.runs import training_metrics

STEPS = ("update", "step", "round")  # what the horizontal axis counts: the first of them that the log has


def read_log(run: Path) -> list[dict[str, Any]]:
    """The log of a complete run.

    Raises:
        CheckpointError: the run is not complete.
    """
    metrics = training_metrics(run)
    return metrics.get("log_history") or metrics["rounds"]


def series(log: list[dict[str, Any]], key: str) -> tuple[str, list[float], list[float]]:
    """What the axis counts, its values, and those of ``key``.

    Raises:
        ConfigError: no entry has the key.
    """
    entries = [entry for entry in log if entry.get(key) is not None]
    if not entries:
        known = sorted({name for entry in log for name in entry})
        raise ConfigError(f"no entry of the log has {key!r}; it has {', '.join(known)}")
    axis = next(name for name in STEPS if name in entries[0])
    return axis, [entry[axis] for entry in entries], [float(entry[key]) for entry in entries]


def draw(runs: list[Path], keys: list[str], target: Path) -> None:
    """Writes the picture as PNG and SVG."""
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("the picture needs matplotlib; install it with `pip install matplotlib`") from error
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "recrl"
    from matplotlib import pyplot

    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3.7 * columns, 0.5 + 2.3 * rows), layout="constrained", squeeze=False
    )
    logs = [read_log(run) for run in runs]
    for place, key in enumerate(keys):
        panel = axes[place // columns, place % columns]
        for run, log in zip(runs, logs, strict=True):
            axis, places, values = series(log, key)
            panel.plot(places, values, label=run.name, linewidth=1.3)
        panel.set_title(key, fontsize=10)
        panel.set_xlabel(axis)
        panel.spines[["top", "right"]].set_visible(False)
    for place in range(len(keys), rows * columns):
        axes[place // columns, place % columns].set_axis_off()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs), frameon=False)
    for kind in ("png", "svg"):
        figure.savefig(
            target.with_name(f"{target.name}.{kind}"), metadata={"Date": None} if kind == "svg" else {}, dpi=130
        )
    pyplot.close(figure)


def main() -> None:
    """Parses and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of complete runs")
    parser.add_argument("--keys", nargs="+", required=True, help="numbers of the log")
    parser.add_argument("--output_dir", type=Path, default=Path("docs/results"), help="where the pictures go")
    parser.add_argument("--name", required=True, help="their name, without ending")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    draw(arguments.runs, arguments.keys, arguments.output_dir / arguments.name)


if __name__ == "__main__":
    run_recipe(main)

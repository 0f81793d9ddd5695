"""What a training run reports, without what depends on the clock."""

from pathlib import Path
from typing import Any

from recrl.training.runs import training_metrics

OF_THE_CLOCK = (
    "train_runtime", "train_samples_per_second", "train_steps_per_second", "step_time", "train/minutes",
    "train/steps_per_second", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "versions",
)  # fmt: skip


def reported(folder: Path) -> Any:
    """The metrics of a complete run, its log included."""
    return _without(training_metrics(folder))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if name not in OF_THE_CLOCK}
    return [_without(inner) for inner in value] if isinstance(value, list) else value

"""What is said while something trains: one line for each log step, and on a terminal a bar of the steps.

A line has the step, the loss, the figures that matter for the method, and the time that is left; everything else that
is logged goes to the tracker (``report_to``) and into the run's metrics.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from recrl.progress import Bar, duration

logger = logging.getLogger(__name__)

_PAIRS = (
    ("loss", "loss", "{:.3f}"),
    ("rewards/accuracies", "pairs in order", "{:.1%}"),
    ("rewards/margins", "margin", "{:.3f}"),
)
# Method -> what its line shows: the log's name, the word for it, and how it is written.
FIGURES = {
    "imitation": (("loss", "loss", "{:.3f}"), ("accuracy", "right actions", "{:.1%}")),
    "dpo": _PAIRS,
    "sft": (("loss", "loss", "{:.3f}"), ("mean_token_accuracy", "right tokens", "{:.1%}")),
    "dpo-language": _PAIRS,
    "grpo": (
        ("loss", "loss", "{:.3f}"),
        ("reward", "reward", "{:.3f}"),
        ("tools/call_frequency", "calls an episode", "{:.1f}"),
    ),
    "judgement": (("loss", "loss", "{:.3f}"), ("learning_rate", "learning rate", "{:.1e}")),
    "search": (("loss", "loss", "{:.3f}"), ("learning_rate", "learning rate", "{:.1e}")),
    "ppo": (
        ("episode/success", "sampled success", "{:.1f}%"),
        ("policy/kl_reference", "KL to the start", "{:.3f}"),
        ("dev/score", "dev score", "{:.1f}"),
    ),
}


def log_line(what: str, done: int, total: int, seconds: float, logs: Mapping[str, Any], method: str) -> str:
    """A line of the log.

    Args:
        what: is counted: "step"; done, total: how many; seconds: since the first of them, in this process.
        logs: name -> number; those of `FIGURES` that it has are shown.
    """
    shown = [f"{word} {form.format(logs[name])}" for name, word, form in FIGURES[method] if logs.get(name) is not None]
    return "  ".join([f"{what} {done}/{total}", *shown, f"{duration(seconds)} left"])


class _LogLines(TrainerCallback):
    """Says what a transformers trainer logs, in the main process."""

    def __init__(self, method: str, bar: Bar) -> None:
        self.method, self.bar = method, bar
        self.first, self.started = 0, time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first, self.started = state.global_step, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.bar.update(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        done, total = state.global_step, state.max_steps
        a_step = (time.monotonic() - self.started) / max(1, done - self.first)
        self.bar.line(log_line("step", done, total, a_step * (total - done), logs, self.method))


def training_bar(method: str) -> Bar:
    """The bar of a training method, with the log's lines above it."""
    return Bar(method, logger)


@contextlib.contextmanager
def shown_progress(trainer: Any, method: str) -> Iterator[None]:
    """While active, a transformers trainer talks by `log_line` and a bar, instead of its own dictionaries and bars.

    Args:
        method: of `FIGURES`.
    """
    for one in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(one)
    with training_bar(method) as bar:
        trainer.add_callback(_LogLines(method, bar))
        yield

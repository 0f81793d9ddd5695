"""Progress of whatever takes more than some seconds: a bar on a terminal, elsewhere a line now and then.

It belongs to the log: nothing is shown unless the ``recrl`` loggers are enabled for INFO, as the commands and recipes
do. A program that uses the library decides for itself.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from recrl.terminal import plain

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
EVERY = 15.0  # seconds between two lines where there is no terminal


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Bar:
    """The progress of one stage, as a context; lines of the log stand above the bar. A stage within a stage has no bar.

    Args:
        what: is done; it stands before the numbers.
        lines: the logger of `line`.
    """

    _drawn: ClassVar[bool] = False  # whether one is on the terminal

    def __init__(self, what: str, lines: logging.Logger = logger) -> None:
        self._what, self._lines = plain(what), lines
        self._bar: Any = None
        self._task: Any = None
        self._begun = self._said = 0.0

    def __enter__(self) -> "Bar":
        self._begun = self._said = time.monotonic()
        if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO) and not Bar._drawn:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            what, note = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False)
            columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=None, note="")
            self._bar.start()
            Bar._drawn = True
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            Bar._drawn = False

    def update(self, done: int, total: int, note: str = "") -> None:
        """Moves the bar.

        Args:
            note: stands behind it.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=plain(note))
            return
        now = time.monotonic()
        if now - self._said >= EVERY:
            left = (now - self._begun) / max(1, done) * (total - done)
            behind = f", {plain(note)}" if note else ""
            self._said = now
            logger.info("    %s: %d/%d%s, %s left", self._what, done, total, behind, duration(left))

    def line(self, text: str) -> None:
        """A line of the log, above the bar."""
        if not self._lines.isEnabledFor(logging.INFO):
            return
        self._said = time.monotonic()
        if self._bar is not None:
            self._bar.console.print(plain(text), markup=False, highlight=False)
        else:
            self._lines.info("%s", text)


def tracked(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, with the progress of what is done with each."""
    with Bar(what) as bar:
        for done, item in enumerate(items):
            bar.update(done, total)
            yield item

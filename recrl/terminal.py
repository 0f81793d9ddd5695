"""Progress on the terminal. Imports nothing heavy."""

import io
import sys
import time


def print_any_text() -> None:
    """Lets output and errors show a character that the terminal's encoding lacks as an escape, ``\\xfc``, instead of
    ending in an error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class ProgressLine:
    """Progress on one line of a terminal; in a log, a line every ten seconds and the last one."""

    def __init__(self, every: float = 10.0) -> None:
        self.terminal, self.every = sys.stderr.isatty(), every
        self.started = self.last = time.monotonic()
        self.waiting = ""  # the newest text, if it was not shown

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if self.terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif now - self.last >= self.every:
            print(text, file=sys.stderr, flush=True)
            self.last, self.waiting = now, ""
        else:
            self.waiting = text

    def say(self, text: str) -> None:
        """Shows progress, which begins with a blank, on the line; anything else on a line of its own."""
        if text.startswith(" "):
            self(text)
        else:
            self.end()
            print(text, file=sys.stderr, flush=True)

    def count(self, played: int, total: int) -> None:
        """Shows episodes played and the time left."""
        left = (time.monotonic() - self.started) / played * (total - played)
        self(f"{played}/{total} episodes, {left:.0f} s left")

    def end(self) -> None:
        """Leaves the line."""
        if self.terminal:
            print(file=sys.stderr)
        elif self.waiting:
            print(self.waiting, file=sys.stderr, flush=True)
            self.waiting = ""


def quiet_libraries() -> None:
    """Leaves the terminal to our own progress."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()

"""What is shown on the terminal: text of any origin, log lines, progress. Imports nothing heavy."""

import io
import logging
import re
import sys
import time
from typing import Any

# C0 and C1 controls but tab and line feed, and what turns the direction of text: a terminal obeys them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: Any) -> str:
    """The text with control characters as escapes such as ``\\u001b``, which JSON reads as the same characters.

    Titles, names and messages come from files of others; what they hold must not clear or write to the screen.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


def show(text: Any = "", *, error: bool = False) -> None:
    """Prints a text of any origin, see `plain`, to the output or to the errors, in whole lines also where several
    processes write at once.
    """
    print(f"{plain(text)}\n", end="", file=sys.stderr if error else sys.stdout)


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def start_logging() -> None:
    """Lets log lines appear on the terminal as their text alone, see `plain`: our own progress, and of others only
    warnings.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("recrl").setLevel(logging.INFO)


def print_any_text() -> None:
    """Lets output and errors show a character that the terminal's encoding lacks as an escape, ``\\xfc``, instead of
    ending in an error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class ProgressLine:
    """Progress without a known end, on one line of a terminal; in a log, a line every ten seconds and the last one."""

    def __init__(self, every: float = 10.0) -> None:
        self.terminal, self.every = sys.stderr.isatty(), every
        self.last = time.monotonic()
        self.waiting = ""  # the newest text: on a terminal the one on the line, in a log one that was not shown

    def __call__(self, text: str) -> None:
        text = plain(text)
        now = time.monotonic()
        if self.terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self.waiting = text
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
            print(plain(text), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leaves the line."""
        if self.waiting:
            print("" if self.terminal else self.waiting, file=sys.stderr, flush=True)
            self.waiting = ""


def quiet_libraries() -> None:
    """Leaves the terminal to our own progress."""
    import warnings

    import datasets
    import transformers

    for message in (
        "'pin_memory' argument",
        ".*is deprecated and will be removed in v6",
        "Version v4.12.0 introduces a better way to train encoder-decoder models",
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("huggingface_hub.repocard").setLevel(logging.ERROR)  # peft looks for a card that we write later
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()

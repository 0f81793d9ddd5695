"""What the command line stands on: a strict argument parser, and progress on the terminal. Imports nothing heavy."""

import argparse
import difflib
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that only say that a flag was left out."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are one line and name what was probably meant."""

    def __init__(self, **settings: Any) -> None:
        shared: dict[str, Any] = {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(**(shared | settings))
        self.commands: Any = None

    def add_subparsers(self, **settings: Any) -> Any:
        self.commands = super().add_subparsers(**settings)
        return self.commands

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        """Parses; first of all, before what is missing, an unknown word is an error that names the nearest known."""
        words = sys.argv[1:] if args is None else list(args)
        if self.commands is not None:
            command = next((word for word in words if not word.startswith("-")), None)
            if command is not None and command not in self.commands.choices:
                self._unknown(str(self.commands.metavar), command, self.commands.choices)
        known = self._option_string_actions
        for word in words:
            flag = word.split("=")[0]
            if word == "--" or (self.commands is not None and not word.startswith("-")):
                break  # what follows are values, or the command's own arguments
            if flag.startswith("--") and " " not in flag and flag not in known:
                self._unknown("argument", flag, known)
        return super().parse_known_args(words, namespace)

    def _unknown(self, kind: str, word: str, known: Iterable[str]) -> NoReturn:
        nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(known)}"
        self.error(f"unknown {kind} {word!r}, {hint}")


def seed(text: str) -> int:
    """A seed from the command line: a whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 0")
    return int(text)


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

"""Ctrl-C and SIGTERM end a command with one line and exit code 130, whenever they come.

While the command works they raise KeyboardInterrupt, so that files are closed and folders cleared. Before, while it is
imported, and afterwards, while Python tears everything down, an exception could only become a traceback: then the
process ends at once. Whoever imports recrl into a program of their own keeps their own handlers.
"""

import contextlib
import itertools
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

EXIT_CODE = 130
NOTHING_WRITTEN = "interrupted; nothing was written: run the same command again from the start"
DONE = "interrupted at its end; the work is done"
_AGAIN_AFTER = 0.05  # seconds
_previous_hook: Any = None


def is_command() -> bool:
    """Whether this process was started as ``recrl`` or ``python -m recrl``."""
    words = [*sys.orig_argv[1:], ""]
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return name in ("recrl", "recrl.exe") or ("-m", "recrl") in itertools.pairwise(words)


def end_at_once(line: str = "") -> None:
    """From now on Ctrl-C and SIGTERM end the process, with a line."""

    def leave(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode() if line else b"")
        os._exit(EXIT_CODE)

    _handle(leave)


def raise_interrupts() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt, again if it was swallowed.

    One that is raised in the callback of a weak reference, or in a ``__del__``, goes to `sys.unraisablehook` alone.
    """
    global _previous_hook
    _handle(signal.default_int_handler)
    if sys.unraisablehook is not _raise_again:
        _previous_hook, sys.unraisablehook = sys.unraisablehook, _raise_again


def _raise_again(swallowed: Any) -> None:
    if not issubclass(swallowed.exc_type, KeyboardInterrupt):
        _previous_hook(swallowed)
        return
    timer = threading.Timer(_AGAIN_AFTER, _interrupt)  # the callback must have ended by then, or it comes here again
    timer.daemon = True
    timer.start()


def _interrupt() -> None:
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _handle(handler: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # no other can; it is somebody else's program then
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # who started it in the background wants it to go on
            signal.signal(number, handler)


if is_command():
    end_at_once(NOTHING_WRITTEN)

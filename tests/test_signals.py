"""Ctrl-C and SIGTERM end a command with one line and exit code 130, whenever they come."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recrl.signals import DONE, NOTHING_WRITTEN

PATIENCE = 300  # seconds, of a crowded machine
INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.{})\n"
SWALLOWED = """
import time, weakref
from recrl.signals import raise_interrupts
raise_interrupts()
class Thing: pass
def callback(reference):
    os.kill(os.getpid(), signal.{})
    for _ in range(1000): pass  # Python looks for signals here
    print("not here")
thing = Thing()
reference = weakref.ref(thing, callback)
try:
    del thing
    time.sleep(300)
    print("swallowed")
except KeyboardInterrupt:
    print("interrupted")
"""


def ended(words: list[str], place: Path | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of a Python process that takes interrupts, also where this one does not."""
    given = os.environ | {"PYTHONPATH": os.pathsep.join([*([str(place)] if place else []), *sys.path])}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=PATIENCE, env=given, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_while_it_starts(tmp_path: Path, name: str) -> None:
    first = tmp_path / "gymnasium.py"  # of what the package imports
    first.write_text(f"{INTERRUPT.format(name)}import time\ntime.sleep(300)\n")
    assert ended(["-m", "recrl", "--version"], tmp_path) == (130, "", f"{NOTHING_WRITTEN}\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_at_its_end(tmp_path: Path, name: str) -> None:
    at_exit = f"import atexit\natexit.register(lambda: os.kill(os.getpid(), signal.{name}))\n"
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal\n{at_exit}")
    done, output, errors = ended(["-m", "recrl", "recipe", "list"], tmp_path)
    assert (done, errors) == (130, f"{DONE}\n")
    assert "imitation_embedded" in output
    refused = ["-m", "recrl", "recipe", "lost"]  # says so, and nothing more
    assert ended(refused, tmp_path) == (130, "", ended(refused)[2])


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_in_the_callback_of_a_weak_reference(name: str) -> None:
    assert ended(["-c", "import os, signal\n" + SWALLOWED.format(name)]) == (0, "interrupted\n", "")


def test_a_program_that_imports_recrl_keeps_its_handlers() -> None:
    asked = "import signal, recrl; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert ended(["-c", asked])[:2] == (0, "True\n")

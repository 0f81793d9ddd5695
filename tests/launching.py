"""Launching scripts in tests: whatever hangs ends with the stacks of all its processes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest

DUMP_SECONDS = 10.0  # in which processes write their stacks


def launch(
    command: Sequence[str], *, timeout: float, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command with more environment variables; after ``timeout`` seconds the test fails with what was written,
    the stacks of the command and of every process that it has started included, and none of them is left.
    """
    settings: Mapping[str, str] = os.environ | {"PYTHONFAULTHANDLER": "1"} | environment  # an abort shows the stacks
    process = subprocess.Popen(
        command, cwd=cwd, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        out, errors = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(list(command), process.returncode, out, errors)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.suspend()  # so that none ends, or writes something else, because another one did
    for one in family:  # one after the other: their stacks go to the same pipe
        one.send_signal(signal.SIGABRT)
        one.resume()
        if psutil.wait_procs([one], timeout=DUMP_SECONDS)[1]:
            one.kill()
    psutil.wait_procs(family, timeout=DUMP_SECONDS)
    out, errors = process.communicate()
    pytest.fail(f"{' '.join(command)} had not ended after {timeout} s:\n{out[-4000:]}\n{errors[-8000:]}")

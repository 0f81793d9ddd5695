"""A kill at any touch of the disk: the same command then ends with the undisturbed result, and leaves no litter.

The slow tier draws 20 kills by seed, the exhaustive one 200:

    pytest -m slow tests/faults/test_kills.py
    pytest -m exhaustive tests/faults/test_kills.py
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from works import WORKS, content


def in_child(work: Callable[[], None], folder: Path, step: int) -> tuple[bool, int]:
    """Runs it in a child that ends, as by SIGKILL, before its step-th touch of the folder.

    Returns:
        whether it was killed, and its touches so far.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        touches = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal touches
            inside = event.startswith(("open", "os.", "shutil.")) and arguments
            if inside and str(folder) in f"{arguments[0]} {arguments[1] if len(arguments) > 1 else ''}":
                touches += 1
                if touches == step:
                    os._exit(9)

        try:
            sys.addaudithook(watch)
            work()
            os.write(writer, str(touches).encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 100)
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, int(said or 0)


def check(name: str, count: int, seed: int, tmp_path: Path) -> None:
    work = WORKS[name]
    (tmp_path / "whole").mkdir()
    _, touches = in_child(lambda: work(tmp_path / "whole"), tmp_path / "whole", 0)
    assert touches > 3
    right, rng = content(tmp_path / "whole"), random.Random(f"{name} {seed}")
    for number in range(count):
        step, folder = rng.randrange(1, touches + 1), tmp_path / f"killed_{number}"
        folder.mkdir()
        killed, _ = in_child(lambda folder=folder: work(folder), folder, step)  # type: ignore[misc]
        assert killed or step > touches - 3
        work(folder)
        found = content(folder)
        assert set(found) == set(right), f"{name} killed at {step}: {set(found) ^ set(right)}"
        assert found == right, f"{name} killed at {step}: {[one for one in right if found[one] != right[one]]}"
    print(f"{name}: {count} kills among {touches} touches")


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_a_kill_is_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 5, 0, inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WORKS)
def test_many_kills_are_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 50, 1, inputs)

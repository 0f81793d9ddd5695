"""A full disk, and one that cannot be written to: one clear error, nothing half-written, and the repeated command ends
with the undisturbed result.

A limit on the size of files (RLIMIT_FSIZE) stands for the full disk: what is over it fails as the disk does. The slow
tier draws 2 limits for each kind of work, the exhaustive one 25:

    pytest -m slow tests/faults/test_disks.py
    pytest -m exhaustive -s tests/faults/test_disks.py
"""

import os
import random
import resource
from pathlib import Path

import pytest
from works import WORKS, content

from recrl.errors import RecrlError


def outcome(name: str, folder: Path, limit: int) -> str:
    """What a child says that works with a limit on the size of its files: "done", "clear", or what is wrong."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "ended without a word"
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            WORKS[name](folder)
            said = "done"
        except RecrlError as error:
            said = "clear" if "could not write" in str(error) and "\n" not in str(error) else f"unclear: {error}"
        except BaseException as error:  # the child has no other way to say it
            said = f"traceback: {error!r:.500}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def check(name: str, count: int, seed: int, inputs: Path) -> None:
    (inputs / "whole").mkdir()
    WORKS[name](inputs / "whole")
    right, rng = content(inputs / "whole"), random.Random(f"{name} {seed}")
    sizes = sorted(path.stat().st_size for path in (inputs / "whole").rglob("*") if path.is_file())
    counts = {"done": 0, "clear": 0}
    for number in range(count):
        limit, folder = max(1, rng.choice(sizes) - rng.randrange(1, 100)), inputs / f"full_{number}"
        folder.mkdir()
        said = outcome(name, folder, limit)
        assert said in counts, f"{name} with files of at most {limit} bytes: {said}"
        counts[said] += 1
        WORKS[name](folder)
        found = content(folder)
        assert found == right, f"{name} after files of at most {limit} bytes: {set(found) ^ set(right)}"
    print(f"{name}: {counts['clear']} clear errors and {counts['done']} without one, of {count} limits")


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_a_full_disk_is_said_and_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 2, 0, inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WORKS)
def test_many_full_disks_are_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 25, 1, inputs)

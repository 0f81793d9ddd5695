"""A full disk, and one that cannot be written to: one clear error, nothing half-written, and the repeated command ends
with the undisturbed result.

A limit on the size of files (RLIMIT_FSIZE) stands for the full disk: what is over it fails as the disk does. A small
file system in memory is a full disk, where it may be mounted. The slow tier draws 2 limits and 1 size for each kind of
work, the exhaustive one 25 and 10:

    pytest -m slow tests/faults/test_disks.py
    pytest -m exhaustive -s tests/faults/test_disks.py
"""

import functools
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import heed_modes, in_child, mount_tmpfs, outcome_of, own_mounts
from works import WORKS, Work, content, convert, quickstart

from recrl.episodes.data import load_episodes
from recrl.errors import RecrlError
from recrl.evaluation.measure import evaluate
from recrl.policies.loading import load_policy
from recrl.seals import seal_folder
from recrl.webshop.catalog import load_catalog

ON_DISKS: dict[str, Work] = WORKS | {"convert": convert}
ROOM = 256 << 20  # bytes; enough for any of these works


def limited(work: Work, folder: Path, limit: int) -> str | None:
    """Works with a limit on the size of files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    work(folder)
    return None


def undisturbed(work: Work, inputs: Path) -> Path:
    folder = inputs / "whole"
    folder.mkdir()
    work(folder)
    return folder


def check(name: str, work: Work, count: int, seed: int, inputs: Path) -> None:
    whole = undisturbed(work, inputs)
    right, rng = content(whole), random.Random(f"{name} {seed}")
    sizes = sorted(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    counts = {"done": 0, "clear": 0}
    for number in range(count):
        limit, folder = max(1, rng.choice(sizes) - rng.randrange(1, 100)), inputs / f"full_{number}"
        folder.mkdir()
        said = in_child(functools.partial(limited, work, folder, limit))
        assert said in counts, f"{name} with files of at most {limit} bytes: {said}"
        counts[said] += 1
        if said == "clear":
            work(folder)
        found = content(folder)
        assert found == right, f"{name} after files of at most {limit} bytes: {set(found) ^ set(right)}"
    print(f"{name}: {counts['clear']} clear errors and {counts['done']} without one, of {count} limits")


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DISKS)
def test_a_full_disk_is_said_and_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, ON_DISKS[name], 2, 0, inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ON_DISKS)
def test_many_full_disks_are_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, ON_DISKS[name], 25, 1, inputs)


@pytest.mark.exhaustive
def test_full_disks_in_every_stage_of_quickstart_are_made_good_by_the_same_command(inputs: Path) -> None:
    check("quickstart", quickstart, 10, 1, inputs)


def in_memory(work: Work, folder: Path, size: int) -> str:
    """Works in a small file system, and again when that is larger."""
    if not (own_mounts() and mount_tmpfs(folder, size)):
        return "not permitted"
    said = "done"
    try:
        work(folder)
    except RecrlError as error:
        said = outcome_of(error)
        mount_tmpfs(folder, ROOM, again=True)
        work(folder)
    right = content(folder.parent / "whole")
    found = content(folder)
    return (
        said
        if found == right
        else f"another result: {[name for name in right | found if right.get(name) != found.get(name)]}"
    )


def check_sizes(name: str, work: Work, count: int, seed: int, inputs: Path) -> None:
    whole = undisturbed(work, inputs)
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    rng, counts = random.Random(f"{name} {seed}"), {"done": 0, "clear": 0}
    for number in range(count):
        size, folder = rng.randrange(1, max(needed, 8 << 12)), inputs / f"full_{number}"
        folder.mkdir()
        said = in_child(functools.partial(in_memory, work, folder, size))
        if said == "not permitted":
            pytest.skip("a file system in memory may not be mounted here")
        assert said in counts, f"{name} on a disk of {size} bytes: {said}"
        counts[said] += 1
    print(f"{name}: {counts['clear']} clear errors and {counts['done']} without one, on {count} small disks")


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DISKS)
def test_a_small_disk_is_said_and_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check_sizes(name, ON_DISKS[name], 1, 0, inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ON_DISKS)
def test_many_small_disks_are_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check_sizes(name, ON_DISKS[name], 10, 1, inputs)


def read_only(work: Work, folder: Path) -> str | None:
    if not heed_modes():
        return "not permitted"
    work(folder)
    return None


@pytest.fixture
def closed() -> Iterator[list[Path]]:
    """Folders that are made read-only; they are opened again, so that they can be removed."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        change_modes(folder, 0o755, 0o644)


def change_modes(folder: Path, of_folders: int, of_files: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(of_folders if path.is_dir() else of_files)


def outcome_when_closed(work: Work, folder: Path) -> str:
    change_modes(folder, 0o555, 0o444)
    said = in_child(functools.partial(read_only, work, folder))
    if said == "not permitted":
        pytest.skip("root cannot give up its privileges here")
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DISKS)
def test_a_read_only_folder_is_said_and_left_as_it_is(inputs: Path, closed: list[Path], name: str) -> None:
    work, empty = ON_DISKS[name], inputs / "empty"
    empty.mkdir()
    closed += [empty, inputs / "whole"]
    assert outcome_when_closed(work, empty) == "clear"
    assert not list(empty.iterdir())
    change_modes(empty, 0o755, 0o644)
    work(empty)
    whole = undisturbed(work, inputs)
    right = content(whole)
    assert content(empty) == right
    said = outcome_when_closed(work, whole)
    assert said in ("done", "clear") or (name == "convert" and "exists; choose another --output_dir" in said)
    assert content(whole) == right


@pytest.mark.slow
def test_a_read_only_cache(inputs: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was built before is used; what would have to be built is said. Reading needs no cache."""

    def play(folder: Path) -> None:
        load_episodes(folder.parent / "shown")
        evaluate(load_policy("rule"), load_catalog(), num_episodes=2)

    seal_folder(inputs / "shown", "trajectory dataset")
    for name, expected in (("empty", "clear"), ("built", "done")):
        cache = inputs / name
        cache.mkdir()
        monkeypatch.setenv("RECRL_CACHE", str(cache))
        if name == "built":
            load_catalog()
        closed.append(cache)
        assert outcome_when_closed(play, cache) == expected

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
from reported import OF_THE_CLOCK

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.seals import MANIFEST, check_folder, read_sealed_json
from recrl.webshop.building import build_catalog
from small_catalog import plain_nouns, write_catalog

Work = Callable[[Path], None]


def collect(folder: Path) -> None:
    generate_trajectories(
        TrajectoryConfig(
            policy="random", output_dir=str(folder / "out"), num_trajectories=4, min_reward=0.0, max_episodes=4
        )
    )


def play_off(folder: Path) -> None:
    compare(ComparisonConfig(policies=("rule", "random"), output_dir=str(folder / "out"), num_episodes=8, round_size=4))


def build(folder: Path) -> None:
    build_catalog(folder.parent / "raw", folder / "out", nouns=plain_nouns, tagger={"name": "plain"})


def train(folder: Path) -> None:
    from recrl.publishing.push import push_run
    from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
    from recrl.training.tuning import TuningArguments

    config = ImitationConfig(
        output_dir=str(folder / "out"), max_steps=4, save_steps=1, logging_steps=3, use_cpu=True, disable_tqdm=True
    )
    given = ImitationArguments(
        [str(folder.parent / "shown")], model_name_or_path=str(folder.parent / "encoder"), max_state_tokens=96
    )
    train_imitation(given, TuningArguments(), config)
    push_run(config)


WORKS: dict[str, Work] = {"collect": collect, "compare": play_off, "build": build, "train": train}


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


def content(folder: Path) -> dict[str, Any]:
    """What a folder holds, but for times, versions and the machine's paths; every seal in it is checked."""
    for manifest in folder.rglob(MANIFEST):
        if "format_version" in manifest.read_text() and "kind" in manifest.read_text():
            check_folder(manifest.parent, AssertionError, "")  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name in (MANIFEST, "training_args.bin", "journal.jsonl"):
            found[name] = None
        elif path.name == "README.md":
            found[name] = path.read_text().replace(str(folder), "FOLDER")
        elif path.suffix == ".json" and path.parent == folder / "out":
            found[name] = _without(read_sealed_json(path), ("output_dir", *OF_THE_CLOCK))
        else:
            found[name] = path.read_bytes()
    return found


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """Objects without fields that hold a time or a place."""
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value


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


@pytest.fixture
def inputs(tmp_path: Path, tiny_encoder: Path) -> Path:
    write_catalog(tmp_path / "raw")
    episodes_to_dataset([colour_episode(number) for number in range(8)]).save_to_disk(str(tmp_path / "shown"))
    (tmp_path / "encoder").symlink_to(tiny_encoder)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_a_kill_is_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 5, 0, inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WORKS)
def test_many_kills_are_made_good_by_the_same_command(inputs: Path, name: str) -> None:
    check(name, 50, 1, inputs)

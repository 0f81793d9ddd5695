"""A process that does a part of the work is killed: the run ends by itself with one clear line, and the same command
then ends with the undisturbed result.

How long the ends take is printed, with ``pytest -s -m slow tests/faults/test_workers.py``.
"""

import functools
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import pytest
import torch
from launching import launch
from works import content, train

import recrl.webshop.building as building
from recrl.errors import WorkerError
from recrl.scoring.collator import ChoiceCollator
from small_catalog import ATTRIBUTES, item, plain_nouns, write_catalog

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds; a machine may be crowded


@contextmanager
def timed(what: str, killed: Path) -> Iterator[None]:
    """Prints the seconds since the file was written, just before the kill."""
    yield
    print(f"{what}: ended {time.time() - killed.stat().st_mtime:.1f} s after the kill")


def killed_once(mark: Path, titles: list[str]) -> list[tuple[str, ...]]:
    """Nouns of titles; the first process that is asked for those of number 30 is killed."""
    if any("number 30" in title for title in titles) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain_nouns(titles)


def test_of_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item(f"B{number:09d}", f"Thing number {number}") for number in range(60)]
    raw = write_catalog(tmp_path / "raw", items, {one["asin"]: ATTRIBUTES["B000000002"] for one in items}, {})
    monkeypatch.setattr(building, "ROWS_PER_BATCH", 7)

    def build(name: str) -> dict[str, Any]:
        (tmp_path / name).mkdir(exist_ok=True)
        nouns, tagger = functools.partial(killed_once, tmp_path / "mark"), {"name": "plain"}
        building.build_catalog(raw, tmp_path / name / "out", nouns=nouns, tagger=tagger, num_workers=2)
        return content(tmp_path / name)

    with timed("build", tmp_path / "mark"), pytest.raises(WorkerError, match="a process of the build was killed"):
        build("killed")
    assert not (tmp_path / "killed" / "out").exists()
    assert build("killed") == build("undisturbed")


def test_of_what_loads_data(inputs: Path) -> None:
    labelled = ChoiceCollator.labelled

    def killed(collator: ChoiceCollator, rows: Any) -> Any:
        if torch.utils.data.get_worker_info() is not None:
            (inputs / "mark").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return labelled(collator, rows)

    (inputs / "killed").mkdir()
    with (
        patch.object(ChoiceCollator, "labelled", killed),
        timed("loading of data", inputs / "mark"),
        pytest.raises(WorkerError, match="a process that loads data was killed"),
    ):
        train(inputs / "killed", dataloader_num_workers=1)
    (inputs / "whole").mkdir()
    for folder in (inputs / "killed", inputs / "whole"):
        train(folder, dataloader_num_workers=1)
    assert content(inputs / "killed") == content(inputs / "whole")


KILLED_AT_A_CHECKPOINT = """
import os, pathlib, signal, sys

def watch(event, arguments):
    if event == "open" and "tally-1" in str(arguments[0]):
        pathlib.Path({mark!r}).touch()
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("RANK") == "1":
    sys.addaudithook(watch)
"""


def test_of_several_that_train(inputs: Path) -> None:
    alone = (ROOT / "accelerate_configs" / "cpu.yaml").read_text(encoding="utf-8")
    (inputs / "two.yaml").write_text(alone.replace('distributed_type: "NO"', "distributed_type: MULTI_GPU"))
    command = [
        sys.executable, "-m", "recrl", "train", "imitation", "--demonstrations", str(inputs / "shown"),
        "--model_name_or_path", str(inputs / "encoder"), "--output_dir", str(inputs / "run"), "--max_steps", "4",
        "--save_steps", "1", "--use_cpu", "true", "--logging_steps", "3",
        "--accelerate_config", str(inputs / "two.yaml"), "--num_processes", "2",
    ]  # fmt: skip
    (inputs / "site").mkdir()
    (inputs / "site" / "sitecustomize.py").write_text(KILLED_AT_A_CHECKPOINT.format(mark=str(inputs / "mark")))
    path = os.pathsep.join([str(inputs / "site"), *filter(None, sys.path)])
    with timed("training in two processes", inputs / "mark"):
        done = launch(command, timeout=PATIENCE, ACCELERATE_USE_CPU="true", PYTHONPATH=path)
    assert done.returncode == 2, done.stderr
    said = [line.partition(",")[0] for line in done.stderr.splitlines() if line.startswith("error")]
    assert said[-1] == "error: a process was killed (SIGKILL)"
    assert all(line.startswith("error: another process of this run has ended before its time") for line in said[:-1])
    assert "Traceback" not in done.stderr
    done = launch(command, timeout=PATIENCE, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr


def test_of_several_environments() -> None:
    """Gymnasium's own: its error says that the process is gone."""
    envs = gymnasium.make_vec("recrl/WebShop-v0", num_envs=2, vectorization_mode="async")
    envs.reset(seed=0)
    envs.processes[1].kill()
    envs.processes[1].join()
    with pytest.raises((EOFError, ConnectionError)):
        envs.step(("search[hat]", "search[hat]"))
    envs.close(terminate=True)

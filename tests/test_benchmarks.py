"""The scripts that make the tables and pictures of docs/results: from runs to files, and what they refuse."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recrl.policies.loading import RULES
from recrl.quickstart import START, TEACHER

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_run(folder: Path, log: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "training_metrics.json").write_text(json.dumps(log))
    return folder


@pytest.mark.slow
def test_curves_are_drawn_from_logs_and_from_rounds(tmp_path: Path) -> None:
    log = [{"update": 1, "loss": 2.0}, {"update": 2, "loss": 1.0, "dev/success": 40.0}]
    first = write_run(tmp_path / "lr0.5", {"log_history": log})
    rounds = write_run(tmp_path / "rounds", {"rounds": [{"round": 0, "dev_score": 50.0}, {"round": 1}]})
    done = run("curves.py", first, "--keys", "loss", "dev/success", "--output_dir", tmp_path, "--name", "lr0.5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lr0.5.png").exists()
    assert "lr0.5" in (tmp_path / "lr0.5.svg").read_text()
    done = run("curves.py", rounds, "--keys", "dev_score", "--output_dir", tmp_path, "--name", "rounds")
    assert done.returncode == 0, done.stderr
    done = run("curves.py", first, "--keys", "lossy", "--output_dir", tmp_path, "--name", "none")
    assert done.returncode == 2
    assert "no entry of the log has 'lossy'; it has dev/success, loss, update" in done.stderr
    done = run("curves.py", tmp_path / "nowhere", "--keys", "loss", "--name", "none")
    assert done.returncode == 2
    assert "holds no complete run" in done.stderr


@pytest.mark.slow
def test_a_table_takes_every_policy_that_was_measured_beside_the_runs(tmp_path: Path) -> None:
    runs = [tmp_path / f"seed{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(runs):
        command = [sys.executable, "-m", "recrl", "quickstart", "--tiny", "--seed", str(seed), "--output_dir", folder]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        result = json.loads((folder / "evaluation" / "DPO.json").read_text())
        (folder / "evaluation" / "PPO.json").write_text(json.dumps(result))
    done = run("results_table.py", *runs, "--output_dir", tmp_path, "--name", "table")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "table.md").read_text()
    names = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert names[2:] == [*RULES, TEACHER, START, "DPO", "PPO", "page-1 ceiling", "50-hit ceiling"]


@pytest.mark.slow
def test_agents_are_measured_beside_the_reference(tiny_encoder: Path, tmp_path: Path) -> None:
    done = run(
        "policy.py", "--model_name_or_path", tiny_encoder, "--num_goals", 3, "--num_reference", 4, "--num_plain", 8,
        "--output_json", tmp_path / "policy.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "policy.json").read_text())
    assert found["seed"] == 0
    rows = found["measurements"]
    assert list(rows) == ["reference", "plain", "reading, first run", "reading, later run"]
    assert rows["reference"]["times_the_reference"] == 1
    assert rows["reference"]["decisions"] == 4
    assert rows["reading, first run"]["decisions"] == rows["reading, later run"]["decisions"] > 8

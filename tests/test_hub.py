"""The real Hub client against a local server: push, load back byte-equal, and fail without loss."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_data import colour_episode
from hub_server import HubServer
from recrl.cards import model_card
from recrl.episodes import episodes_to_dataset
from recrl.errors import CheckpointError


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture
def run_folder(tiny_scorer: Path, tmp_path: Path) -> Path:
    """A finished training run."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_scorer, folder)
    (folder / "checkpoint-9").mkdir()
    (folder / "checkpoint-9" / "optimizer.pt").write_bytes(b"not to be pushed")
    metrics = {
        "method": "dpo", "num_pairs": 321, "protocol": "embedded", "catalog_sha256": "c" * 64,
        "goals_sha256": "g" * 64, "global_step": 40, "num_processes": 1,
    }  # fmt: skip
    (folder / "training_metrics.json").write_text(json.dumps(metrics))
    (folder / "config_resolved.json").write_text(json.dumps({"trainer": {"beta": 0.1, "learning_rate": 1e-5}}))
    return folder


def python(code: str, endpoint: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, with the Hub's client pointed at the server and a cache of its own."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


PUSH = """
import sys
from types import SimpleNamespace
from recrl.errors import HubError
from recrl.hub import push_run
config = SimpleNamespace(output_dir=sys.argv[1], push_to_hub=True, hub_model_id="user/agent", hub_token=None,
                         hub_private_repo=None, should_save=True)
try:
    print(push_run(config))
except HubError as error:
    print("HubError:", error)
"""


def test_a_model_is_pushed_and_loaded_back_byte_equal(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    pushed = python(PUSH, server.endpoint, tmp_path, str(run_folder))
    assert pushed.stdout.strip() == f"{server.endpoint}/user/agent", pushed.stderr
    files = server.repos["models/user/agent"]
    assert not [path for path in files if "checkpoint" in path]
    for path in ("config.json", "model.safetensors", "tokenizer.json", "README.md", "training_metrics.json"):
        assert files[path] == (run_folder / path).read_bytes(), path
    assert any("/lfs/" in request for request in server.requests)  # the weights went as a large file
    code = """
import torch
from recrl.scoring import load_scorer
from recrl.policies import load_policy
model, tokenizer = load_scorer("user/agent")
print(load_policy("user/agent").name, sum(float(p.detach().double().sum()) for p in model.parameters()), len(tokenizer))
"""
    loaded = python(code, server.endpoint, tmp_path)
    from recrl.scoring import load_scorer

    model, tokenizer = load_scorer(run_folder)
    total = sum(float(parameter.detach().double().sum()) for parameter in model.parameters())
    assert loaded.stdout.strip() == f"user/agent {total} {len(tokenizer)}", loaded.stderr


def test_pushing_again_replaces(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        (run_folder / "training_metrics.json").write_text(
            (run_folder / "training_metrics.json").read_text().replace('"global_step": 4', f'"global_step": {step}4')
        )
        assert "HubError" not in python(PUSH, server.endpoint, tmp_path, str(run_folder)).stdout
    content = (run_folder / "training_metrics.json").read_bytes()
    assert server.repos["models/user/agent"]["training_metrics.json"] == content


@pytest.mark.parametrize(
    ("part", "status"), [("/api/repos/create", 401), ("/api/repos/create", 403), ("/commit/", 500), ("/lfs/", 507)]
)
def test_a_failed_push_loses_nothing(
    server: HubServer, run_folder: Path, tmp_path: Path, part: str, status: int
) -> None:
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    server.failures[part] = status
    failed = python(PUSH, server.endpoint, tmp_path, str(run_folder))
    assert failed.stdout.startswith(f"HubError: the push of {run_folder} to 'user/agent' failed"), failed.stderr
    assert f"Nothing is lost. Push it later with: hf upload user/agent {run_folder}" in failed.stdout
    assert {path: path.read_bytes() for path in before} == before
    server.failures.clear()
    assert "HubError" not in python(PUSH, server.endpoint, tmp_path, str(run_folder)).stdout


def test_an_unreachable_hub_is_said(run_folder: Path, tmp_path: Path) -> None:
    failed = python(PUSH, "http://127.0.0.1:9", tmp_path, str(run_folder))
    assert "HubError: the push of" in failed.stdout, failed.stderr
    assert "hf upload user/agent" in failed.stdout


@pytest.mark.slow  # the client tries again for half a minute
def test_loading_from_an_unreachable_hub_is_said(tmp_path: Path) -> None:
    code = """
from recrl.errors import RecrlError
from recrl.policies import load_policy
try:
    load_policy("user/nowhere")
except RecrlError as error:
    print(error)
"""
    assert "expected a folder or Hub id" in python(code, "http://127.0.0.1:9", tmp_path).stdout


def test_trajectories_are_pushed_and_loaded_back(server: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    episodes_to_dataset([colour_episode(number) for number in range(3)]).save_to_disk(str(folder))
    summary = {
        "config": {"min_reward": 1.0, "split": "train", "split_by": "goal", "seed": 0, "temperature": 1.0,
                   "prune": True},
        "protocol": "embedded", "policy": "by hand", "num_episodes": 9, "num_trajectories": 3, "success_rate": 33.3,
        "score": 50.0, "catalog_sha256": "c" * 64, "goals_sha256": "g" * 64,
    }  # fmt: skip
    (folder / "trajectories.json").write_text(json.dumps(summary))
    code = "import sys\nfrom recrl.hub import push_dataset\nprint(push_dataset(sys.argv[1], 'user/data'))"
    pushed = python(code, server.endpoint, tmp_path, str(folder))
    assert pushed.stdout.strip() == f"{server.endpoint}/datasets/user/data", pushed.stderr
    code = "from recrl.episodes import load_episodes\nprint([e.goal_index for e in load_episodes('user/data')])"
    loaded = python(code, server.endpoint, tmp_path)
    assert loaded.stdout.strip().endswith("[0, 1, 2]"), loaded.stderr


def test_the_card_is_true(run_folder: Path) -> None:
    result = {
        "protocol": "webshop-1k", "num_episodes": 500, "num_products": 146, "decoding": "greedy", "success_rate": 61.2,
        "success_ci": [55.0, 67.0], "score": 83.2, "score_ci": [80.0, 86.0],
    }  # fmt: skip
    card = model_card(run_folder, repo_id="user/agent", results=[result])
    for said in (
        "pairs: 321",
        "beta: 0.1",
        "| webshop-1k | 500 (146) | greedy | 61.2 [55.0, 67.0]",
        "base model: tiny",
    ):
        assert said in card
    assert "model-index" in card
    assert "Not evaluated" in model_card(run_folder, repo_id="user/agent")
    (run_folder / "training_metrics.json").unlink()
    with pytest.raises(CheckpointError, match="no complete run"):
        model_card(run_folder, repo_id="user/agent")

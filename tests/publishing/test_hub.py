"""The real Hub client against a local server: push, load back byte-equal, and fail without loss."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import DatasetCard, ModelCard

from decision_data import colour_episode
from hub_server import TOKEN, HubServer, hub_environment
from recrl.episodes.data import episodes_to_dataset
from recrl.errors import CheckpointError, DatasetError, HubError
from recrl.evaluation.result_types import EpisodeRecord, Result
from recrl.hub import later_command, pull, push_folder
from recrl.preferences.data import Move, Preference, load_preferences, preferences_to_dataset
from recrl.publishing.cards import dataset_card, model_card
from recrl.publishing.push import push_dataset, push_run
from recrl.seals import MANIFEST, check_folder, seal_folder

PAIRS = [
    Preference(
        goal_index=number, catalog_sha256="c" * 64, goals_sha256="g" * 64, protocol="custom", instruction="i want it",
        chosen_moves=(Move([*colour_episode(number).decisions()][1], 5, -0.5),),
        rejected_moves=(Move([*colour_episode(number).decisions()][1], 0, -2.0),),
        chosen_outcome=1.0, rejected_outcome=None, origin="steps",
    )
    for number in range(3)
]  # fmt: skip

RESULT = Result(
    protocol="embedded", split="test", split_by="goal", max_steps=15, catalog_sha256="c" * 64, goals_sha256="g" * 64,
    versions={}, policy="dpo", decoding="greedy", seed=0, num_episodes=500, num_products=146, score=83.2,
    success_rate=61.2, score_ci=(80.0, 86.0), success_ci=(55.0, 67.0), success_per_product=61.0, score_per_product=83.0,
    mean_steps=5.0, truncated_rate=0.0, reward_parts={}, trained_on_this_catalog=True,
    episodes=tuple(
        EpisodeRecord(
            goal_index=place, target_asin=f"B{place % 146:09}", reward=1.0 if place < 306 else 110 / 194,
            success=place < 306, num_steps=5, truncated=False,
        )
        for place in range(500)
    ),
)  # fmt: skip


@pytest.fixture
def run_folder(tiny_scorer: Path, tmp_path: Path) -> Path:
    """A finished training run, with what is not to be published; its name has a blank."""
    folder = tmp_path / "my run"
    shutil.copytree(tiny_scorer, folder)
    (folder / "checkpoint-9").mkdir()
    (folder / "checkpoint-9" / "optimizer.pt").write_bytes(b"not to be pushed")
    (folder / "training_args.bin").write_bytes(f"a pickle with {TOKEN}".encode())
    metrics = {
        "method": "dpo", "num_pairs": 321, "protocol": "embedded", "catalog_sha256": "c" * 64,
        "goals_sha256": "g" * 64, "global_step": 40, "num_processes": 1,
    }  # fmt: skip
    settings = {
        "arguments": {"model_name_or_path": "/home/someone/runs/start", "pairs": ["steps"]},
        "tuning": {"use_peft": False, "lora_r": 16},
        "trainer": {"beta": 0.1, "learning_rate": 1e-5},
    }
    (folder / "training_metrics.json").write_text(json.dumps(metrics))
    (folder / "config_resolved.json").write_text(json.dumps(settings))
    preferences_to_dataset(PAIRS).save_to_disk(str(folder / "preferences"))
    return folder


def python(
    code: str, endpoint: str, tmp_path: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, in which the client does not wait between its attempts."""
    return subprocess.run(
        [sys.executable, "-c", f"import time\ntime.sleep = lambda seconds: None\n{code}", *arguments],
        env=hub_environment(endpoint, tmp_path) | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the client in this process reach the server, without xet and without waiting between attempts."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def push(folder: Path, endpoint: str, *, repo_id: str = "user/agent", private: bool | None = None, **more: Any) -> str:
    """What a recipe does at its end with ``--push_to_hub``."""
    settings = {"hub_model_id": repo_id, "hub_private_repo": private, "hub_token": None} | more
    config = SimpleNamespace(output_dir=str(folder), push_to_hub=True, should_save=True, **settings)
    address = push_run(config, endpoint=endpoint)
    assert address is not None
    return address


def failed_push(*arguments: Any, **settings: Any) -> str:
    """The message of a push that fails."""
    with pytest.raises(HubError) as caught:
        push(*arguments, **settings)
    return str(caught.value)


def test_a_model_is_pushed_and_loaded_back_byte_equal(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    assert push(run_folder, server.endpoint) == f"{server.endpoint}/user/agent"
    local = contents(run_folder)
    not_pushed = [path for path in local if path.startswith(("checkpoint-9/", "preferences/", "training_args"))]
    assert len(not_pushed) == 5
    assert server.repos["models/user/agent"] == {path: local[path] for path in local if path not in not_pushed}
    assert server.verified  # the weights went as a large file
    assert not [path for path, content in server.repos["models/user/agent"].items() if TOKEN.encode() in content]
    code = """
import sys
from pathlib import Path
from recrl.hub import pull
from recrl.scoring.checkpoints import load_scorer
model, tokenizer = load_scorer("user/agent")
print(sum(float(tensor.detach().double().sum()) for tensor in model.parameters()), len(tokenizer))
print(pull("user/agent"))
"""
    loaded = python(code, server.endpoint, tmp_path)
    from recrl.scoring.checkpoints import load_scorer

    model, tokenizer = load_scorer(run_folder)
    total = sum(float(tensor.detach().double().sum()) for tensor in model.parameters())
    assert loaded.stdout.splitlines()[0] == f"{total} {len(tokenizer)}", loaded.stderr
    assert contents(Path(loaded.stdout.splitlines()[1])) == server.repos["models/user/agent"]


@pytest.mark.slow
def test_the_lines_of_the_card_run(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    push(run_folder, server.endpoint)
    card = server.repos["models/user/agent"]["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert [block.count("\n") for block in blocks] == [4, 2]
    done = python("\n".join(blocks) + "\nprint(type(model).__name__)", server.endpoint, tmp_path)
    score, name = done.stdout.split()
    assert 0 <= float(score) <= 100, done.stderr
    assert name == "BertForChoiceScoring"


def test_a_name_without_an_owner_gets_the_user(server: HubServer, run_folder: Path) -> None:
    assert push(run_folder, server.endpoint, repo_id="agent") == f"{server.endpoint}/user/agent"
    assert b'load_policy("user/agent")' in server.repos["models/user/agent"]["README.md"]


def test_a_private_repository_stays_private(server: HubServer, run_folder: Path) -> None:
    push(run_folder, server.endpoint, private=True)
    assert server.private == {"models/user/agent"}
    said = f"'user/agent' is no local folder, and as a model of {server.endpoint} it could not be downloaded: 404"
    with pytest.raises(HubError, match=re.escape(said)):
        pull("user/agent", endpoint=server.endpoint, token="hf_other")


def test_pushing_again_replaces(server: HubServer, run_folder: Path) -> None:
    metrics = run_folder / "training_metrics.json"
    for steps in (140, 240):
        metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"global_step": steps}))
        push(run_folder, server.endpoint)
    assert b"240" in server.repos["models/user/agent"]["training_metrics.json"]


@pytest.mark.parametrize(
    ("part", "status", "message", "hint"),
    [
        ("/api/repos/create", 401, "Invalid username or password.", "Log in with `hf auth login`"),
        ("/api/repos/create", 403, "You don't have the rights to create a model", "The token may not write there"),
        ("/preupload/", 503, "The Hub is being repaired", ""),
        ("/lfs/", 507, "Not enough space", "storage is full"),
        ("/commit/", 403, "Private repository storage limit reached", "storage is full"),
        ("/commit/", 500, "Internal Error - We're working hard to fix this", ""),
    ],
)
def test_a_failed_push_loses_nothing(
    server: HubServer, run_folder: Path, part: str, status: int, message: str, hint: str
) -> None:
    before = contents(run_folder)
    server.failures[part] = (status, message)
    said = failed_push(run_folder, server.endpoint)
    assert said.startswith(f"the push of {run_folder} to 'user/agent' failed: ")
    assert str(status) in said
    assert message in said
    assert hint in said
    after = contents(run_folder)
    assert {path: after[path] for path in before} == before
    assert server.repos.get("models/user/agent", {}) == {}  # nothing half-pushed
    assert "Nothing is lost. Push it later with: hf upload user/agent '" in said
    server.failures.clear()
    push(run_folder, server.endpoint)
    assert server.repos["models/user/agent"]["model.safetensors"] == before["model.safetensors"]


def test_the_command_of_the_error_pushes_later(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    server.failures["/commit/"] = (500, "Internal Error")
    said = failed_push(run_folder, server.endpoint, private=True)
    server.failures.clear()
    server.repos.clear()
    server.private.clear()
    command = said.partition("Nothing is lost. Push it later with: ")[2]
    subprocess.run(command, shell=True, env=hub_environment(server.endpoint, tmp_path), capture_output=True, check=True)
    assert server.private == {"models/user/agent"}
    left_out = ("checkpoint-9/", "preferences/", "training_args")
    local = contents(run_folder)
    assert server.repos["models/user/agent"] == {
        path: content for path, content in local.items() if not path.startswith(left_out)
    }


def test_a_wrong_token_is_said(server: HubServer, run_folder: Path) -> None:
    said = failed_push(run_folder, server.endpoint, hub_token="hf_wrong")
    assert "401" in said
    assert "hf auth login" in said
    assert "hf_wrong" not in said


def test_an_unreachable_hub_is_said(run_folder: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    said = failed_push(run_folder, nowhere)
    assert re.search(r"failed: .*Connection refused.* Nothing is lost. Push it later with: hf upload user/agent ", said)
    with pytest.raises(HubError, match=f"is no local folder, and as a model of {nowhere} it could not be downloaded"):
        pull("user/nowhere", endpoint=nowhere)  # loading from such a one: tests/test_robustness.py


def test_offline_mode_is_said(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "offline mode" in failed_push(run_folder, "http://127.0.0.1:9").lower()


def test_a_failing_xet_upload_is_said_too(server: HubServer, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    said = failed_push(run_folder, server.endpoint)  # the server speaks no xet
    assert said.startswith("the push of")
    assert "Push it later with: hf upload user/agent" in said


@pytest.fixture
def trajectory_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    episodes_to_dataset([colour_episode(number) for number in range(3)]).save_to_disk(str(folder))
    summary = {
        "config": {"min_reward": 1.0, "split": "train", "split_by": "goal", "seed": 0, "temperature": 1.0,
                   "prune": True, "max_steps": 15},
        "protocol": "custom", "policy": "by hand", "num_episodes": 9, "num_trajectories": 3, "success_rate": 33.3,
        "score": 50.0, "catalog_sha256": "c" * 64, "goals_sha256": "g" * 64,
    }  # fmt: skip
    (folder / "trajectories.json").write_text(json.dumps(summary))
    return folder


def card_lines(card: str) -> str:
    found = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert found is not None
    return found[1]


def test_trajectories_are_pushed_and_loaded_back(server: HubServer, trajectory_folder: Path, tmp_path: Path) -> None:
    address = push_dataset(trajectory_folder, "user/data", endpoint=server.endpoint)
    assert address == f"{server.endpoint}/datasets/user/data"
    assert server.repos["datasets/user/data"] == contents(trajectory_folder)
    lines = card_lines(server.repos["datasets/user/data"]["README.md"].decode())
    loaded = python(f"{lines}\nprint([e.goal_index for e in episodes])", server.endpoint, tmp_path)
    assert loaded.stdout.strip().endswith("[0, 1, 2]"), loaded.stderr


def test_preferences_are_pushed_and_loaded_back(server: HubServer, run_folder: Path, tmp_path: Path) -> None:
    folder = run_folder / "preferences"
    address = push_dataset(folder, "pairs", endpoint=server.endpoint)
    assert address == f"{server.endpoint}/datasets/user/pairs"
    assert server.repos["datasets/user/pairs"] == contents(folder)
    card = server.repos["datasets/user/pairs"]["README.md"].decode()
    lines = f"{card_lines(card)}\nfrom recrl.hub import pull\nprint(pairs['goal_index'][:])"
    loaded = python(f"{lines}\nprint(pull('user/pairs', repo_type='dataset'))", server.endpoint, tmp_path)
    values, pulled = loaded.stdout.splitlines()[-2:]
    assert values == "[0, 1, 2]", loaded.stderr
    assert load_preferences(pulled).to_list() == load_preferences(folder).to_list()


def sealed_run(folder: Path) -> Path:
    """The run as a recipe leaves it, its pairs a part with a seal of its own."""
    seal_folder(folder / "preferences", "preference dataset")
    seal_folder(folder, "training run")
    return folder


@pytest.mark.parametrize("kind", ["model", "trajectories", "pairs"])
def test_a_push_holds_what_the_manifest_names_and_nothing_else(
    server: HubServer, run_folder: Path, trajectory_folder: Path, tmp_path: Path, kind: str
) -> None:
    seal_folder(trajectory_folder, "trajectory dataset")
    sealed_run(run_folder)
    folder = {"model": run_folder, "trajectories": trajectory_folder, "pairs": run_folder / "preferences"}[kind]
    for name in ("notes.txt", "results/mine.json", ".env", "copy of data.arrow"):  # someone's, beside what was made
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    repo, prefix = f"{'models' if kind == 'model' else 'datasets'}/user/x", "" if kind == "model" else "datasets/"
    address = push(folder, server.endpoint, repo_id="user/x") if kind == "model" else push_dataset(
        folder, "user/x", endpoint=server.endpoint
    )  # fmt: skip
    assert address == f"{server.endpoint}/{prefix}user/x"
    named = json.loads((folder / MANIFEST).read_text())["files"]
    assert len(named) > 2
    pushed = server.repos[repo]
    assert set(pushed) == {*named, MANIFEST, "README.md"}
    assert {name: hashlib.sha256(pushed[name]).hexdigest() for name in named} == named
    copy = tmp_path / "pulled"
    for name, content in pushed.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    assert check_folder(copy, DatasetError, "") is not None  # whole, as it was sealed

    server.repos.clear()
    command = later_command(folder, "user/x", "model" if kind == "model" else "dataset")
    subprocess.run(command, shell=True, env=hub_environment(server.endpoint, tmp_path), capture_output=True, check=True)
    assert server.repos[repo] == pushed


def test_what_was_altered_since_is_not_pushed(server: HubServer, trajectory_folder: Path) -> None:
    seal_folder(trajectory_folder, "trajectory dataset")
    (trajectory_folder / "trajectories.json").write_text("{}")
    with pytest.raises(HubError, match=r"was altered: trajectories\.json has another SHA-256.*nothing was pushed"):
        push_folder(trajectory_folder, "user/data", repo_type="dataset", endpoint=server.endpoint)
    assert not server.repos


def test_a_local_folder_is_not_pulled(tmp_path: Path) -> None:
    assert pull(tmp_path) == tmp_path


def test_the_later_command_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    words = shlex.split(later_command(tmp_path / "a b", "user/x", "dataset", private=True))
    assert words == ["hf", "upload", "user/x", str(tmp_path / "a b"), "--repo-type", "dataset", "--private"]


def test_the_model_card_is_true(run_folder: Path) -> None:
    card = model_card(run_folder, repo_id="user/agent", results=[RESULT])
    for said in (
        "- pairs: 321",
        "goals with pairs: 3; pairs by origin: 3 steps",
        "mean probability of the chosen side under the reference: 0.61",  # exp(-0.5)
        "- beta: 0.1",
        "- start: the scorer `start`",
        "- base model: tiny",
        "- catalogue (sha256): " + "c" * 64,
        "| embedded, test | 500 (146) | greedy, 15 | 61.2 [55.0, 67.0] | 83.2 [80.0, 86.0] |",
    ):
        assert said in card
    assert "lora_r" not in card  # LoRA was not used
    assert "/home/" not in card
    data = ModelCard(card).data
    assert data.library_name == "recrl"
    assert data.license is None  # nothing is known about the encoder's
    assert [(r.dataset_name, r.dataset_split, r.metric_type, r.metric_value) for r in data.eval_results] == [
        ("embedded", "test", "success_rate", 61.2),
        ("embedded", "test", "score", 83.2),
    ]
    unevaluated = model_card(run_folder, repo_id="user/agent")
    assert "Not evaluated" in unevaluated
    assert "model-index" not in unevaluated
    (run_folder / "training_metrics.json").unlink()
    with pytest.raises(CheckpointError, match="no complete run"):
        model_card(run_folder, repo_id="user/agent")


@pytest.mark.parametrize(
    ("changed", "targets"),
    [
        ({}, "other goals than in training, products may be the same"),
        ({"split": "train"}, "may have been in training, which used this split"),
        ({"protocol": "embedded-unseen", "split_by": "product"}, "may have been in training, which used another"),
        ({"catalog_sha256": "d" * 64}, "of another catalogue than in training"),
    ],
)
def test_the_card_tells_seen_from_unseen(run_folder: Path, changed: dict[str, Any], targets: str) -> None:
    assert targets in model_card(run_folder, repo_id="user/agent", results=[replace(RESULT, **changed)])


def test_a_known_encoder_gives_base_model_and_licence(run_folder: Path) -> None:
    path = run_folder / "config.json"
    name = "sentence-transformers/all-MiniLM-L6-v2"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model": name}))
    data = ModelCard(model_card(run_folder, repo_id="user/agent")).data
    assert (data.base_model, data.license) == (name, "apache-2.0")


def test_dataset_cards_are_true(trajectory_folder: Path, run_folder: Path, tmp_path: Path) -> None:
    card = dataset_card(trajectory_folder, repo_id="user/data")
    assert "3 trajectories of the policy `by hand`" in card
    assert "kept out of 9 episodes because their reward was at least 1.0" in card
    data = DatasetCard(card).data
    assert (data.license, data.size_categories) == (None, "n<1K")  # the products are not ours
    summary = trajectory_folder / "trajectories.json"
    summary.write_text(summary.read_text().replace('"custom"', '"embedded"'))
    assert DatasetCard(dataset_card(trajectory_folder, repo_id="user/data")).data.license == "apache-2.0"
    summary.write_text("{")
    with pytest.raises(DatasetError, match=r"trajectories\.json is corrupt"):
        dataset_card(trajectory_folder, repo_id="user/data")
    pairs = dataset_card(run_folder / "preferences", repo_id="user/pairs")
    assert "3 preference pairs on 3 goals" in pairs
    assert "| origin steps | 3 | 0.61 | 0.14 | not tried | 1.0 |" in pairs  # exp(-0.5), exp(-2)
    with pytest.raises(DatasetError, match="expected a preference dataset"):
        dataset_card(tmp_path / "nowhere", repo_id="user/none")

"""The recipes with --push_to_hub, as they are launched, against the local server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from decision_data import colour_episode
from hub_server import TOKEN, HubServer, hub_environment
from recrl.episodes.data import episodes_to_dataset

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def recipe_arguments(recipe: str, tiny_encoder: Path, tiny_scorer: Path, tmp_path: Path) -> list[str]:
    """A short training run of a recipe with --push_to_hub and checkpoints on the way."""
    data = tmp_path / "trajectories"
    episodes_to_dataset([colour_episode(number) for number in range(12)]).save_to_disk(str(data))
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps({f"i want shirt {number}": [f"shirt {number}"] for number in range(40)}))
    flags: dict[str, Any] = {
        "imitation": {"demonstrations": data, "model_name_or_path": tiny_encoder},
        "dpo": {"trajectories": data, "model_name_or_path": tiny_scorer},
        "search": {"pairs": pairs, "model_name_or_path": tiny_encoder},
        "self_improvement": {
            "model_name_or_path": tiny_scorer,
            "num_rounds": 1,
            "num_episodes": 4,
            "rollouts_per_goal": 2,
            "pairs": "steps",
            "min_reward": 0,
            "max_episode_steps": 4,
            "num_dev_episodes": 2,
        },
    }[recipe]
    flags |= {"output_dir": tmp_path / "run", "push_to_hub": "true", "hub_model_id": "user/agent", "hub_token": TOKEN,
              "num_train_epochs": 1, "save_steps": 1, "use_cpu": "true"}  # fmt: skip
    return [f"recipes/{recipe}.py", *(str(word) for name, value in flags.items() for word in (f"--{name}", value))]


@pytest.mark.parametrize("recipe", ["imitation", "dpo", "search", "self_improvement"])
def test_a_recipe_pushes_once_and_without_the_token(
    server: HubServer, recipe_arguments: list[str], tmp_path: Path
) -> None:
    environment = hub_environment(server.endpoint, tmp_path) | {"OMP_NUM_THREADS": "1"}
    del environment["HF_TOKEN"]
    command = [sys.executable, *recipe_arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len([request for request in server.requests if "/commit/" in request]) == 1
    pushed = server.repos["models/user/agent"]
    assert not [path for path, content in pushed.items() if TOKEN.encode() in content]
    assert {path: (tmp_path / "run" / path).read_bytes() for path in pushed} == pushed
    assert {"model.safetensors", "tokenizer.json", "README.md", "training_metrics.json"} <= set(pushed)
    assert not [path for path in pushed if path.startswith(("round_", "preferences"))]
    resolved = [path for path in pushed if str(tmp_path).encode() in pushed[path] and path != "config_resolved.json"]
    assert not resolved  # no file but the configuration names a machine's folder


@pytest.mark.parametrize("recipe", ["imitation", "dpo", "search"])
def test_a_hub_that_is_down_stops_no_training(recipe_arguments: list[str], tmp_path: Path) -> None:
    environment = hub_environment("http://127.0.0.1:9", tmp_path) | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *recipe_arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Nothing is lost. Push it later with: hf upload user/agent " in done.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "training_metrics.json").exists()  # the run is complete

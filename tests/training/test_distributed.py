"""Recipes under several processes over gloo: as many as asked for, and the weights of one process.

Slow: each launch imports torch and TRL in every process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import launch

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.preferences.data import load_preferences
from recrl.scoring.checkpoints import load_scorer
from recrl.training.runs import training_metrics

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TWO_PROCESSES = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories") / "dataset"
    episodes_to_dataset([colour_episode(number) for number in range(16)]).save_to_disk(str(folder))
    return folder


def run(recipe: str, *flags: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs a recipe on the CPU, by itself or through a launcher."""
    environment = {
        "ACCELERATE_USE_CPU": "true",  # without it, accelerate starts ONE process on a machine without GPUs
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, *launcher, str(ROOT / "recipes" / recipe), *flags]
    return launch(command, timeout=300, **environment)


def train(recipe: str, output_dir: Path, *flags: str, batch_size: int, launcher: tuple[str, ...] = ()) -> None:
    common = {
        "output_dir": str(output_dir),
        "num_train_epochs": "2",
        "per_device_train_batch_size": str(batch_size),
        "learning_rate": "1e-4",
        "head_learning_rate": "1e-3",
        "adam_epsilon": "1e-4",  # a smaller one turns the rounding noise in a gradient of 0 into a full step
        "logging_steps": "2",
        "save_steps": "3",
        "use_cpu": "true",
    }
    pairs = [text for name, value in common.items() for text in (f"--{name}", value)]
    result = run(recipe, *pairs, *flags, launcher=launcher)
    assert result.returncode == 0, result.stderr[-4000:]


def assert_equal_weights(one: Path, other: Path) -> None:
    expected = load_scorer(one)[0].state_dict()
    for name, tensor in load_scorer(other)[0].state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=0, msg=name)


def logged(output_dir: Path, name: str) -> list[Any]:
    return [entry[name] for entry in training_metrics(output_dir)["log_history"] if name in entry]


@pytest.mark.parametrize(
    "flags",
    [(), ("--use_peft",), ("--precompute_ref_log_probs", "true"), ("--gradient_accumulation_steps", "2")],
    ids=["full", "lora", "precomputed", "accumulated"],
)
def test_two_processes_of_dpo_equal_one_with_twice_the_batch(
    flags: tuple[str, ...], trajectories: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    data = ("--model_name_or_path", str(tiny_scorer), "--trajectories", str(trajectories), *flags)
    train("dpo.py", tmp_path / "one", *data, batch_size=8)
    if "--precompute_ref_log_probs" in flags:  # from a ready dataset, so that TRL itself precomputes in two processes
        ready = str(tmp_path / "one" / "preferences")
        data = ("--model_name_or_path", str(tiny_scorer), "--preferences", ready, *flags)
    train("dpo.py", tmp_path / "two", *data, batch_size=4, launcher=TWO_PROCESSES)
    assert training_metrics(tmp_path / "one")["num_processes"] == 1
    assert training_metrics(tmp_path / "two")["num_processes"] == 2
    assert_equal_weights(tmp_path / "one", tmp_path / "two")
    assert len(logged(tmp_path / "one", "loss")) >= 2
    assert logged(tmp_path / "one", "rewards/margins") == pytest.approx(
        logged(tmp_path / "two", "rewards/margins"), abs=1e-4
    )


def test_torchrun_starts_two_processes_too(trajectories: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    data = ("--model_name_or_path", str(tiny_scorer), "--trajectories", str(trajectories))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    train("dpo.py", tmp_path / "two", *data, batch_size=4, launcher=launcher)
    assert training_metrics(tmp_path / "two")["num_processes"] == 2


def test_two_processes_of_imitation_equal_one_with_twice_the_batch(
    trajectories: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    data = ("--model_name_or_path", str(tiny_encoder), "--demonstrations", str(trajectories))
    train("imitation.py", tmp_path / "one", *data, batch_size=8)
    train("imitation.py", tmp_path / "two", *data, batch_size=4, launcher=TWO_PROCESSES)
    assert training_metrics(tmp_path / "one")["num_processes"] == 1
    assert training_metrics(tmp_path / "two")["num_processes"] == 2
    assert_equal_weights(tmp_path / "one", tmp_path / "two")


def test_two_processes_of_ppo_equal_one_with_all_their_environments(
    trajectories: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    def run_ppo(name: str, num_envs: int, demonstrations: int, launcher: tuple[str, ...] = ()) -> Path:
        settings = {
            "model_name_or_path": tiny_scorer, "demonstrations": trajectories, "output_dir": tmp_path / name,
            "num_envs": num_envs, "demonstration_batch_size": demonstrations, "num_updates": 3, "num_steps": 6,
            "num_minibatches": 2, "value_warmup": 1, "imitation_coef": 0.3, "kl_coef": 0.1, "entropy_coef": 0.01,
            "learning_rate": 1e-4, "head_learning_rate": 1e-3, "adam_epsilon": 1e-4, "num_dev_episodes": 4,
            "eval_every": 3, "max_episode_steps": 5, "use_cpu": "true",
        }  # fmt: skip
        flags = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
        result = run("ppo.py", *flags, launcher=launcher)
        assert result.returncode == 0, result.stderr[-4000:]
        return tmp_path / name

    one, two = run_ppo("one", 4, 4), run_ppo("two", 2, 2, TWO_PROCESSES)
    assert training_metrics(one)["num_processes"] == 1
    assert training_metrics(two)["num_processes"] == 2
    assert training_metrics(one)["num_environment_steps"] == training_metrics(two)["num_environment_steps"] == 72
    for name in ("loss/value", "loss/policy", "policy/kl_reference", "loss/imitation", "value/explained_variance"):
        assert logged(one, name) == pytest.approx(logged(two, name), abs=2e-4), name
    assert logged(one, "dev/score") == pytest.approx(logged(two, "dev/score"))
    assert training_metrics(one)["best_update"] == training_metrics(two)["best_update"]
    assert_equal_weights(one, two)


def test_two_processes_of_self_improvement_play_once_and_train_as_one(tiny_scorer: Path, tmp_path: Path) -> None:
    data = [
        "--model_name_or_path", str(tiny_scorer), "--num_rounds", "2", "--num_episodes", "12", "--rollouts_per_goal",
        "3", "--pairs", "steps", "--min_reward", "0", "--max_episode_steps", "4", "--num_dev_episodes", "3",
        "--precompute_ref_log_probs", "true", "--max_steps", "1",  # a whole batch for certain
    ]  # fmt: skip
    train("self_improvement.py", tmp_path / "one", *data, batch_size=8)
    train("self_improvement.py", tmp_path / "two", *data, batch_size=4, launcher=TWO_PROCESSES)
    metrics = [training_metrics(tmp_path / name) for name in ("one", "two")]
    assert [entry["num_processes"] for entry in metrics] == [1, 2]
    assert [entry["num_episodes"] for entry in metrics] == [12, 12]
    runs = [tmp_path / name / "round_1" / "dpo" for name in ("one", "two")]
    assert load_preferences(runs[0] / "preferences").to_list() == load_preferences(runs[1] / "preferences").to_list()
    assert_equal_weights(*runs)


def test_a_process_waits_for_the_main_one_no_longer_than_it_is_told_to(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from transformers import TrainingArguments\n"
        "from recrl.training.recipe import run_recipe\n"
        "from recrl.training.runs import made_by_main_process, training_run\n"
        "def main():\n"
        "    config = TrainingArguments(output_dir=sys.argv[1], use_cpu=True, ddp_timeout=5)\n"
        "    with training_run('imitation', config, {}):\n"
        "        made_by_main_process(config, Path(sys.argv[1]) / 'never', lambda: time.sleep(600))\n"
        "run_recipe(main)\n"
    )
    result = launch(
        [sys.executable, *TWO_PROCESSES, str(script), str(tmp_path / "run")], timeout=120, ACCELERATE_USE_CPU="true"
    )
    assert result.returncode == 1
    assert "in made_by_main_process" in result.stderr
    assert "did not answer within ddp_timeout seconds" in result.stderr


def test_a_recipe_ends_with_one_line_and_two_on_bad_input(
    trajectories: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    recipe = (ROOT / "recipes" / "dpo_embedded.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(recipe.replace("beta:", "betta:"), encoding="utf-8")
    result = run("dpo.py", "--config", str(tmp_path / "recipe.yaml"))
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1] == (
        "error: unknown key 'betta'; did you mean 'beta'? (--help_all lists all keys)"
    )
    data = ("--model_name_or_path", str(tmp_path / "nothing"), "--trajectories", str(trajectories))
    result = run("dpo.py", *data, "--output_dir", str(tmp_path / "run"), "--use_cpu", "true")
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: expected a folder or Hub id that holds")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_recipe_goes_on(trajectories: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    data = ("--model_name_or_path", str(tiny_scorer), "--trajectories", str(trajectories))
    train("dpo.py", tmp_path / "whole", *data, batch_size=8)
    script = (
        "import os, runpy, sys\n"
        "import transformers\n"
        "write = transformers.Trainer._save_checkpoint\n"
        "def save_then_die(self, *args, **kwargs):\n"
        "    write(self, *args, **kwargs)\n"
        "    if self.state.global_step == 6: os.kill(os.getpid(), 9)\n"
        "transformers.Trainer._save_checkpoint = save_then_die\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    with pytest.raises(AssertionError):
        train("dpo.py", tmp_path / "cut", *data, batch_size=8, launcher=("-c", script))
    there = sorted(path.name for path in (tmp_path / "cut").glob("checkpoint-*"))
    assert there == ["checkpoint-3", "checkpoint-6"]  # the second has no seal yet, so the first is gone on from
    assert json.loads((tmp_path / "cut" / "config_resolved.json").read_text())["trainer"]["save_steps"] == 3
    train("dpo.py", tmp_path / "cut", *data, batch_size=8)
    assert_equal_weights(tmp_path / "whole", tmp_path / "cut")

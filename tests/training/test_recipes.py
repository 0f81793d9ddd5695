"""Recipes: every YAML file parses strictly, and the scripts run as they are launched."""

import subprocess
import sys
from pathlib import Path

import pytest
from launching import launch

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.training.recipe import parse_recipe

ROOT = Path(__file__).parents[2]
YAMLS = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_yaml_parses_strictly(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    named = [script.stem for script in (ROOT / "recipes").glob("*.py") if path.stem.startswith(f"{script.stem}_")]
    module = __import__(max(named, key=len))
    parser = module.make_parser()
    on_cpu = ["--use_cpu", "true"] if "use_cpu" in parser.format_usage() else []
    configs = parse_recipe(parser, ["--config", str(path), *on_cpu])
    assert configs[-1].output_dir.startswith("runs/")


def launch_recipe(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", *arguments]
    settings = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | environment
    return launch(command, cwd=ROOT, timeout=600, **settings)


def test_an_unknown_key_ends_with_two_and_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("demonstrations: nowhere\nlerning_rate: 1\n")
    command = [sys.executable, "recipes/imitation.py", "--config", str(recipe)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: unknown key 'lerning_rate'; did you mean 'learning_rate'?")


@pytest.mark.slow
def test_imitation_and_dpo_run_as_launched(tiny_encoder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    episodes_to_dataset([colour_episode(number) for number in range(16)]).save_to_disk(str(data))
    config = ("--config_file", "accelerate_configs/cpu.yaml")
    start = launch_recipe(
        *config, "recipes/imitation.py", "--config", "recipes/imitation_embedded.yaml", "--demonstrations", str(data),
        "--model_name_or_path", str(tiny_encoder), "--output_dir", str(tmp_path / "start"), "--num_frozen_layers", "1",
    )  # fmt: skip
    assert start.returncode == 0, start.stderr
    assert "Imitation of demonstrations" in (tmp_path / "start" / "README.md").read_text()
    for recipe in ("dpo_embedded", "dpo_embedded_lora"):
        done = launch_recipe(
            *config, "recipes/dpo.py", "--config", f"recipes/{recipe}.yaml", "--trajectories", str(data),
            "--model_name_or_path", str(tmp_path / "start"), "--output_dir", str(tmp_path / recipe),
            "--num_frozen_layers", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Direct preference optimisation" in (tmp_path / recipe / "README.md").read_text()

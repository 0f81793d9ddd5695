"""Recipes: every YAML file parses strictly, and the scripts run as they are launched."""

import inspect
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from launching import launch
from trl import TrlParser

from decision_data import colour_episode
from recrl.cli import main
from recrl.episodes.data import episodes_to_dataset
from recrl.experiment.config import PaperConfig
from recrl.recipes import RECIPES, Recipe, format_help_all, make_parser, recipe_of
from recrl.shipped import shipped_files
from recrl.training.recipe import parse_recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in shipped_files("recipes") if recipe_of(name)])
def test_every_yaml_parses_strictly(name: str) -> None:
    recipe = recipe_of(name)
    assert recipe is not None
    configs = parse_recipe(make_parser(recipe), ["--config", name, "--use_cpu", "true"])
    assert configs[-1].output_dir.startswith("runs/")


def test_the_settings_of_an_experiment_parse_too() -> None:
    for name in shipped_files("recipes"):
        if recipe_of(name) is None:
            assert name.startswith("paper_")
            [config] = parse_recipe(TrlParser((PaperConfig,)), ["--config", name])
            assert config.output_dir.startswith("runs/")


def test_every_recipe_has_a_script_with_its_requirements() -> None:
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "recipes").glob("*.py")}
    assert set(scripts) == {recipe.script for recipe in RECIPES.values()} | {"paper"}
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, text in scripts.items():
        found = re.match(r"# /// script\n((?:#(?: .*)?\n)+)# ///\n\"\"\"", text)  # as PEP 723 reads it
        assert found is not None
        header = tomllib.loads("".join(line.removeprefix("#").removeprefix(" ") for line in found[1].splitlines(True)))
        assert header == {"requires-python": about["requires-python"], "dependencies": [about["name"]]}
        assert name == "paper" or f'main("{name.replace("_", "-")}")' in text


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_help_shows_the_recipes_own_options_at_once(recipe: Recipe) -> None:
    code = (
        f"import sys\nfrom recrl.cli import main\nmain(['train', {recipe.name!r}, '--help'])\n"
        "heavy = [name for name in ('torch', 'datasets', 'transformers', 'trl', 'pyarrow') if name in sys.modules]\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = set(re.findall(r"--(\w+)", done.stdout))
    every = {action.dest for action in make_parser(recipe)._actions}
    assert {"output_dir", "seed", "bf16", "report_to", "learning_rate"} < shown
    assert shown - every - {"config", "key", "help", "help_all", "accelerate_config", "num_processes"} == {
        name for name in shown if name.startswith("no_")
    }
    assert len(shown) < 0.6 * len(every)
    assert "--torch_compile_backend" in format_help_all(recipe)


def test_every_setting_that_help_shows_is_one_of_the_recipe() -> None:
    for recipe in RECIPES.values():
        *arguments, config = make_parser(recipe).dataclass_types
        shown = import_module(f"recrl.training.{recipe.settings.partition(':')[0]}")
        assert issubclass(config, getattr(shown, recipe.settings.partition(":")[2]))
        for one in (*arguments, *(parent for parent in config.__mro__ if parent.__module__.startswith("recrl."))):
            for name in inspect.get_annotations(one):
                assert fields_by_name(one)[name].metadata["help"].endswith("."), f"{one.__name__}.{name}"


def fields_by_name(config: type) -> dict[str, Any]:
    return {one.name: one for one in fields(config)}


def test_bf16_needs_no_other_flag_on_a_machine_without_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    for recipe in RECIPES.values():
        config = make_parser(recipe).dataclass_types[-1]
        assert config(bf16=True).use_cpu
        assert not config().use_cpu


def test_recipes_are_listed_and_copied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["recipe", "list"])
    listed = capsys.readouterr().out
    assert "ppo_embedded\n    PPO on the embedded catalogue, from the imitation start\n    recrl train ppo" in listed
    main(["recipe", "copy", "ppo_embedded", "--output_dir", str(tmp_path)])
    assert (tmp_path / "ppo_embedded.yaml").read_text() == (ROOT / "recipes" / "ppo_embedded.yaml").read_text()
    with pytest.raises(SystemExit):
        main(["recipe", "copy", "ppo_embedded", "--output_dir", str(tmp_path)])
    assert "is there already" in capsys.readouterr().err
    main(["recipe", "copy", "all", "--output_dir", str(tmp_path / "all")])
    for folder in ("recipes", "accelerate_configs"):
        there = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".yaml")}
        assert {path.name for path in (tmp_path / "all" / folder).iterdir()} == there


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *words])
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_what_is_wrong_with_a_recipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown action 'dop', did you mean 'dpo'?" in refused(capsys, "dop")
    assert "unknown key 'bta'; did you mean 'beta'?" in refused(capsys, "dpo", "--config", "dpo_embedded", "--bta", "3")
    assert "--config nowhere: No such file" in refused(capsys, "dpo", "--config", "nowhere")
    assert "--num_processes goes with --accelerate_config" in refused(capsys, "dpo", "--num_processes", "2")
    said = refused(capsys, "dpo", "--accelerate_config=multi_gup")
    assert "no such file; expected one, or cpu, deepspeed_zero2" in said


@pytest.mark.parametrize(("flags", "lines"), [((), 1), (("--num_processes", "2"), 2)])
@pytest.mark.slow
def test_errors_of_launched_processes_are_one_line_each(tmp_path: Path, flags: tuple[str, ...], lines: int) -> None:
    config = tmp_path / "cpu.yaml"
    text = (ROOT / "accelerate_configs" / "cpu.yaml").read_text(encoding="utf-8")
    config.write_text(text.replace('distributed_type: "NO"', "distributed_type: MULTI_GPU") if flags else text)
    done = launch(
        [sys.executable, "-m", "recrl", "train", "dpo", "--accelerate_config", str(config), *flags, "--bta", "3"],
        timeout=120, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert [line for line in done.stderr.splitlines() if "error" in line.lower()] == [
        "error: unknown key 'bta'; did you mean 'beta'? (--help_all lists all keys)"
    ] * lines, done.stderr
    assert "Traceback" not in done.stderr


def launch_recipe(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", *arguments]
    settings = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | environment
    return launch(command, cwd=ROOT, timeout=600, **settings)


@pytest.mark.slow
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

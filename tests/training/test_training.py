"""What the recipes share: strict parsing, resuming from complete checkpoints only."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import TrainingArguments
from trl import TrlParser

from recrl.errors import ConfigError
from recrl.seals import seal_folder
from recrl.training.recipe import parse_recipe
from recrl.training.runs import last_checkpoint, remove_cut_off_checkpoints, training_run
from recrl.training.tuning import TuningArguments


@dataclass
class Arguments:
    learning_rate: float = 1.0
    name: str = "a"


@pytest.fixture
def parser() -> TrlParser:
    return TrlParser((Arguments, TuningArguments))


def write(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_flags_win_over_the_file(parser: TrlParser, tmp_path: Path) -> None:
    config = write(tmp_path, "learning_rate: 0.5\nname: b\nuse_peft: true\n")
    arguments, tuning = parse_recipe(parser, ["--config", config, "--name", "c"])
    assert arguments == Arguments(0.5, "c")
    assert tuning.use_peft


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("learning_rat: 1\n", [], r"unknown key 'learning_rat'; did you mean 'learning_rate'\?"),
        ("name: b\n", ["--nam3", "x"], r"unknown key 'nam3'; did you mean 'name'\?"),
        ("- a list\n", [], "expected a YAML mapping"),
        ("name: [unclosed\n", [], "it is no YAML file"),
        ("num_frozen_layers: -1\n", [], "num_frozen_layers=-1, expected 0 or more"),
        ("name: b\n", ["--lora_r", "many"], r"argument --lora_r.*'many', expected a whole number"),
    ],
)
def test_what_is_wrong_is_named(parser: TrlParser, tmp_path: Path, text: str, flags: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe(parser, ["--config", write(tmp_path, text), *flags])


def test_a_missing_file_is_named(parser: TrlParser) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file or directory; expected a YAML file"):
        parse_recipe(parser, ["--config", "nowhere.yaml"])


def test_a_foreign_folder_is_refused_before_anything_in_it_is_touched(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()  # without the file that marks it as whole
    (tmp_path / "checkpoint-3" / "optimizer.pt").write_bytes(b"somebody's")
    config = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    with (
        pytest.raises(ConfigError, match="is not empty and holds no training run; choose another --output_dir"),
        training_run("imitation", config, {"arguments": Arguments()}),
    ):
        raise AssertionError
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "checkpoint-3",
        "checkpoint-3/optimizer.pt",
    ]


def test_a_training_run_says_what_it_is_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    config = TrainingArguments(output_dir=str(tmp_path / "run"), use_cpu=True, hub_token="secret")
    with training_run("imitation", config, {"arguments": Arguments()}, files={"adapter": "LoRA"}) as run:
        assert run.checkpoint is None
        (tmp_path / "run" / "checkpoint-5").mkdir()
        (tmp_path / "run" / "checkpoint-5" / "trainer_state.json").write_text("{}")
        seal_folder(tmp_path / "run" / "checkpoint-5", "checkpoint")
        (tmp_path / "run" / "checkpoint-6").mkdir()
    text = (tmp_path / "run" / "README.md").read_text()
    assert "run `recrl train imitation` again with the settings below" in text
    assert "- arguments:\n  - learning_rate: 1.0\n  - name: a\n- trainer:\n  - seed: 42\n" in text
    assert "- `adapter`: LoRA\n" in text
    assert "secret" not in text + (tmp_path / "run" / "config_resolved.json").read_text()
    with training_run("imitation", config, {"arguments": Arguments()}) as run:
        assert run.checkpoint == tmp_path / "run" / "checkpoint-5"
        assert not (tmp_path / "run" / "checkpoint-6").exists()
        run.complete({"method": "imitation", "global_step": 7})
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "README.md",
        "config_resolved.json",
        "manifest.json",
        "training_metrics.json",
    }
    assert "- global_step: 7\n" in (tmp_path / "run" / "README.md").read_text()
    with training_run("imitation", config, {"arguments": Arguments()}) as run:
        assert run.is_complete


def test_a_checkpoint_that_was_cut_off_is_passed_over_and_removed(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (2, 9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for step in (2, 9):
        seal_folder(tmp_path / f"checkpoint-{step}", "checkpoint")
    (tmp_path / "checkpoint-11").mkdir()
    (tmp_path / "checkpoint-notes").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    remove_cut_off_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-9", "checkpoint-notes"]

"""What the recipes share: strict parsing, resuming from complete checkpoints only."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from trl import TrlParser

from recrl.errors import ConfigError
from recrl.training.recipe import parse_recipe
from recrl.training.runs import last_complete_checkpoint
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
        ("- a list\n", [], "must contain a YAML mapping"),
        ("name: [unclosed\n", [], "cannot be read"),
        ("num_frozen_layers: -1\n", [], "num_frozen_layers=-1, expected 0 or more"),
        ("name: b\n", ["--lora_r", "many"], r"argument --lora_r.*invalid int value: 'many'"),
    ],
)
def test_what_is_wrong_is_named(parser: TrlParser, tmp_path: Path, text: str, flags: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe(parser, ["--config", write(tmp_path, text), *flags])


def test_a_missing_file_is_named(parser: TrlParser) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        parse_recipe(parser, ["--config", "nowhere.yaml"])


def test_a_checkpoint_that_was_cut_off_is_passed_over_and_removed(tmp_path: Path) -> None:
    assert last_complete_checkpoint(tmp_path) is None
    for step, state in ((2, json.dumps({"global_step": 2})), (10, '{"global_'), (9, json.dumps({"global_step": 9}))):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-11").mkdir()
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-9"]

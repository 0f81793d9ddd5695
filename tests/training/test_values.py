"""What values of YAML files and flags become in recipes: one rule for both, by the annotations of the dataclasses."""

from pathlib import Path
from typing import Any

import pytest
from trl import TrlParser

from recrl.errors import ConfigError
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
from recrl.training.ppo.config import PPOConfig
from recrl.training.recipe import parse_recipe
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments

PARSERS = {
    "dpo": ((DPOArguments, TuningArguments, ChoiceDPOConfig), "model_name_or_path: m\ntrajectories: t\n"),
    "ppo": ((PPOArguments, TuningArguments, PPOConfig), "model_name_or_path: m\n"),
}


def value_of(recipe: str, tmp_path: Path, key: str, text: str, *flags: str) -> Any:
    classes, required = PARSERS[recipe]
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{required}use_cpu: true\n{text}\n")
    configs = parse_recipe(TrlParser(classes), ["--config", str(path), *flags])
    return next(getattr(config, key) for config in configs if hasattr(config, key))


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("learning_rate", "learning_rate: 1e-5", 1e-5),
        ("learning_rate", "learning_rate: '0.5'", 0.5),
        ("loss_weights", "loss_type: [sigmoid, sft]\nloss_weights: [1.0, 1e-1]", [1.0, 0.1]),
        ("loss_type", "loss_type: ipo", ["ipo"]),
        ("pairs", "pairs: contrasts", ["contrasts"]),
        ("lora_target_modules", "lora_target_modules: query", ["query"]),
        ("lora_r", "lora_r: '8'", 8),
        ("use_peft", "use_peft: 'true'", True),
        ("save_total_limit", "save_total_limit: null", None),
        ("save_strategy", "save_strategy: no", "no"),
        ("gradient_checkpointing_kwargs", "gradient_checkpointing_kwargs: {use_reentrant: false}",
         {"use_reentrant": False}),
        ("output_dir", "output_dir: 7", "7"),
    ],
)  # fmt: skip
def test_a_value_becomes_what_its_annotation_says(tmp_path: Path, key: str, text: str, value: Any) -> None:
    assert value_of("dpo", tmp_path, key, text) == value
    flags = [word for line in text.splitlines() for word in as_flag(line)]
    if not isinstance(value, dict):
        assert value_of("dpo", tmp_path, key, "", *flags) == value


def as_flag(line: str) -> list[str]:
    """The flag that says the same as a line of YAML."""
    key, _, words = line.partition(": ")
    return [f"--{key}", *words.strip("[]'").split(", ")]


def test_null_switches_off_in_a_flag_too(tmp_path: Path) -> None:
    assert value_of("ppo", tmp_path, "target_kl", "") == 0.05
    assert value_of("ppo", tmp_path, "target_kl", "target_kl: null") is None
    assert value_of("ppo", tmp_path, "target_kl", "target_kl: 0.5", "--target_kl", "null") is None
    assert value_of("dpo", tmp_path, "loss_weights", "", "--loss_weights", "null") is None


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("learning_rate: much", [], "learning_rate='much', expected a number"),
        ("learning_rate: .nan", [], "learning_rate=nan, expected a number"),
        ("num_train_epochs: [1]", [], r"num_train_epochs=\[1\], expected a number"),
        ("loss_weights: [1.0, much]", [], "loss_weights='much', expected a number"),
        ("save_total_limit: 1.5", [], "save_total_limit=1.5, expected"),
        ("save_strategy: daily", [], "save_strategy='daily', expected one of no, steps, epoch"),
        ("use_peft: maybe", [], "use_peft='maybe', expected true or false"),
        ("", ["--learning_rate", "null"], "--learning_rate.*'null', expected a number"),
        ("", ["--lora_r", "1.5"], "--lora_r.*'1.5', expected a whole number"),
        ("env: [1]", [], r"env=\[1\], expected a mapping"),
    ],
)
def test_what_fits_no_annotation_is_refused_by_name(tmp_path: Path, text: str, flags: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        value_of("dpo", tmp_path, "seed", text, *flags)

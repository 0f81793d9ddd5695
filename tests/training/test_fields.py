"""Every field of every trainer's configuration is honoured, or refused with its reason before there is a run folder."""

import ast
import functools
import os
import runpy
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import transformers
from packaging.version import Version
from transformers import TrainingArguments
from trl import DPOConfig, TrlParser

from recrl.errors import ConfigError
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
from recrl.training.dpo_language import LanguageDPOConfig
from recrl.training.environment import EnvironmentArguments
from recrl.training.fields import RULES, TITLES, Use
from recrl.training.grpo import LanguageGRPOConfig
from recrl.training.imitation import ImitationArguments, ImitationConfig
from recrl.training.judgement import JudgementArguments, JudgementConfig
from recrl.training.ppo.config import PPOConfig
from recrl.training.recipe import parse_recipe
from recrl.training.search import QueryArguments, QueryConfig
from recrl.training.self_improvement import SelfImprovementArguments, SelfImprovementConfig
from recrl.training.settings.language import AdapterArguments
from recrl.training.settings.ppo import PPOArguments
from recrl.training.settings.sft import SFTArguments
from recrl.training.sft import LanguageSFTConfig
from recrl.training.tuning import TuningArguments

ROOT = Path(__file__).parents[2]
CONFIGS: dict[str, Any] = {
    "imitation": ImitationConfig, "dpo": ChoiceDPOConfig, "self_improvement": SelfImprovementConfig, "ppo": PPOConfig,
    "search": QueryConfig, "judgement": JudgementConfig, "sft": LanguageSFTConfig, "dpo_language": LanguageDPOConfig,
    "grpo": LanguageGRPOConfig,
}  # fmt: skip
NEWEST = "5.24"  # version of transformers whose fields are told apart
REFUSED = [
    (recipe, field.name, field.default if field.default_factory is MISSING else field.default_factory())
    for recipe in TITLES
    for field in fields(CONFIGS[recipe])
    if RULES[recipe][field.name].use is Use.REFUSED
]
# What transformers' TrainingArguments itself acts on, in whatever loop it is.
ACTED_ON = {"use_cpu", "tf32", "ddp_backend", "ddp_timeout", "local_rank", "disable_tqdm"}


def other_than(value: Any) -> Any:
    """Another value than a field's default, of the same type where it has one."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, (int, float)) else ["x"] if isinstance(value, list) else "epoch"


@pytest.mark.parametrize("recipe", CONFIGS)
def test_every_field_has_a_rule(recipe: str) -> None:
    there = {field.name for field in fields(CONFIGS[recipe])}
    assert there <= set(RULES[recipe])
    if Version(transformers.__version__) >= Version(NEWEST):
        assert there == set(RULES[recipe])  # an earlier version of the series has fewer fields
    for name, rule in RULES[recipe].items():
        assert bool(rule.reason) == (rule.use is Use.REFUSED or bool(rule.never)), name


def test_the_configurations_have_the_fields_of_those_from_which_they_come() -> None:
    for config in CONFIGS.values():
        assert {field.name for field in fields(TrainingArguments)} <= {field.name for field in fields(config)}
    assert {field.name for field in fields(DPOConfig)} <= {field.name for field in fields(ChoiceDPOConfig)}


@pytest.mark.parametrize(("recipe", "name", "default"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_refused_field_says_why(tmp_path: Path, recipe: str, name: str, default: Any) -> None:
    value = "x" if name == "do_train" else other_than(default)
    with pytest.raises(ConfigError) as refused:
        CONFIGS[recipe](output_dir=str(tmp_path / "run"), **{"use_cpu": True, name: value})
    assert str(refused.value).startswith(f"{name}=")
    assert str(refused.value).endswith(f"has no meaning for {TITLES[recipe]}; {RULES[recipe][name].reason}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", TITLES)
def test_a_refused_field_may_have_its_default(tmp_path: Path, recipe: str) -> None:
    given = {name: default for one, name, default in REFUSED if one == recipe}
    CONFIGS[recipe](output_dir=str(tmp_path), use_cpu=True, **given)
    CONFIGS[recipe](output_dir=str(tmp_path), use_cpu=True, do_train=True)


@functools.cache
def names_read_in(*sources: str) -> frozenset[str]:
    """The attributes that some modules read."""
    paths = [path for source in sources for path in (ROOT / "recrl").glob(source)]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    return frozenset(node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def test_what_ppo_honours_is_read_by_its_loop() -> None:
    read = names_read_in("training/ppo/*.py", "training/tuning.py", "publishing/push.py") | ACTED_ON
    honoured = {name for name, rule in RULES["ppo"].items() if rule.use is not Use.REFUSED}
    assert honoured - read == set()


@pytest.mark.parametrize(
    "arguments",
    [
        AdapterArguments, DPOArguments, EnvironmentArguments, ImitationArguments, JudgementArguments, PPOArguments,
        QueryArguments, SFTArguments, SelfImprovementArguments, TuningArguments,
    ],
)  # fmt: skip
def test_every_field_of_our_arguments_is_read(arguments: Any) -> None:
    read = names_read_in("training/**/*.py", "rollouts/config.py")
    assert {field.name for field in fields(arguments)} - read == set()


@pytest.mark.parametrize("recipe", TITLES)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": float("inf")}, "learning_rate=inf, expected a finite number"),
        ({"weight_decay": float("nan")}, "weight_decay=nan, expected a finite number"),
        ({"fp16": True}, "fp16 needs a GPU, and this run is on the CPU"),
        ({"report_to": "nowhere"}, "report_to='nowhere' is unknown here; choose among"),
        ({"report_to": ["nowhere,else"]}, "'nowhere,else' is unknown here; several are given as `--report_to tensor"),
        ({"report_to": ["none", "nowhere"]}, "report_to='none' is unknown here; .* or none, which stands alone"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "it needs an evaluation in every epoch"),
        ({"lr_scheduler_kwargs": {"unknown": 1}}, "cannot be used"),
    ],
)
def test_what_cannot_work_is_refused_when_the_configuration_is_made(
    tmp_path: Path, recipe: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CONFIGS[recipe](output_dir=str(tmp_path), **({"use_cpu": True} | changed))


@pytest.mark.parametrize("recipe", ["imitation", "dpo", "search", "judgement"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optim": "adamw_8bit"}, "optim='adamw_8bit' cannot be used"),
        ({"dataloader_persistent_workers": True}, "set it to 1 or more"),
        ({"save_strategy": "best"}, "save_strategy=best has no meaning"),
        ({"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy=group_by_length has no meaning"),
    ],
)
def test_what_transformers_trainer_cannot_do_here(
    tmp_path: Path, recipe: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CONFIGS[recipe](output_dir=str(tmp_path), use_cpu=True, **changed)


def test_a_tracker_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.integrations.get_available_reporting_integrations", list)
    for recipe in TITLES:
        with pytest.raises(ConfigError, match="'tensorboard', which is not installed; `pip install tensorboard`, or"):
            CONFIGS[recipe](output_dir=str(tmp_path), use_cpu=True, report_to="tensorboard")


def test_several_trackers_are_given_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trackers = ["tensorboard", "trackio"]
    monkeypatch.setattr("transformers.integrations.get_available_reporting_integrations", lambda: trackers)
    path = tmp_path / "recipe.yaml"
    for recipe in TITLES:
        for written, given in (
            ("none", ["--report_to", *trackers]),
            ("[tensorboard, trackio]", []),
            ("tensorboard", ["--report_to=none"]),
        ):
            path.write_text(f"report_to: {written}\noutput_dir: {tmp_path / 'run'}\nuse_cpu: true\n", encoding="utf-8")
            [config] = parse_recipe(TrlParser((CONFIGS[recipe],)), ["--config", str(path), *given])
            assert config.report_to == ([] if given == ["--report_to=none"] else trackers)


def test_mixed_precision_of_the_launcher_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    for recipe in TITLES:
        with pytest.raises(ConfigError, match="fp16 needs a GPU"):
            CONFIGS[recipe](output_dir=str(tmp_path), use_cpu=True)


def test_no_recipe_takes_a_number_that_is_not_finite() -> None:
    with pytest.raises(ConfigError, match=r"lora_dropout.*'nan', expected a number"):
        parse_recipe(TrlParser((TuningArguments,)), ["--lora_dropout", "nan"])
    with pytest.raises(ConfigError, match="loss_weights=inf, expected a finite number"):
        ChoiceDPOConfig(use_cpu=True, loss_type=["sigmoid", "sft"], loss_weights=[1.0, float("inf")])


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--eval_strategy", "steps"), ("--load_best_model_at_end", "true")])
def test_a_refused_command_ends_with_two_and_one_line_and_no_folder(tmp_path: Path, flags: tuple[str, str]) -> None:
    command = [
        sys.executable, "recipes/ppo.py", "--model_name_or_path", "nowhere", "--use_cpu", "true", "--output_dir",
        str(tmp_path / "run"), *flags,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {flags[0].removeprefix('--')}=")
    assert not (tmp_path / "run").exists()


def test_the_list_in_the_documentation_is_that_of_the_code() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "fields.py"))
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert script["page_with_fields"](page) == page

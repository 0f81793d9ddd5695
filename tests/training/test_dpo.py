"""DPO of the choice scorer: TRL's numbers against closed forms, learning, resuming, and bad input."""

import inspect
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from dpo_settings import arguments, plain_loss, settings, trainer_away_from_its_start
from reported import reported
from transformers import TrainerCallback
from trl import DPOTrainer

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.errors import CheckpointError, ConfigError, DatasetError
from recrl.preferences.data import SIDES, load_preferences
from recrl.recipes import RECIPES as KNOWN_RECIPES
from recrl.recipes import make_parser
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.training.dpo import DPOArguments, train_dpo
from recrl.training.recipe import parse_recipe
from recrl.training.runs import training_metrics
from recrl.training.trl_adapter import LOSS_TYPES, ChoiceDPOTrainer, PairCollator, check_trl, fused_output
from recrl.training.tuning import TuningArguments


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories") / "dataset"
    episodes_to_dataset([colour_episode(number) for number in range(24)]).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="module")
def preferences(trajectories: Path, tiny_scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs that a run made."""
    run = tmp_path_factory.mktemp("preferences") / "run"
    train_dpo(arguments(tiny_scorer, trajectories=str(trajectories)), TuningArguments(), settings(run, max_steps=1))
    return run / "preferences"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_scorer(folder)[0].state_dict()


def test_the_installed_trl_is_the_one_written_for() -> None:
    check_trl()
    # TRL names its losses only in this message.
    source = inspect.getsource(DPOTrainer)
    known = source[source.index("Unknown loss type") :].split("[", 1)[1].split("]", 1)[0]
    assert sorted(name.strip(" '\"\n") for name in known.replace('"', "").split(",")) == sorted(LOSS_TYPES)


def test_it_fails_loudly_when_trl_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("trl.trainer.dpo_trainer.add_fused_lm_head")
    with pytest.raises(RuntimeError, match="no longer has add_fused_lm_head"):
        check_trl()


def test_the_head_gives_what_a_plain_loop_gives() -> None:
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 3 + [False] * 2])
    log_probs = scores.masked_fill(~valid, -torch.inf).log_softmax(-1)
    labels = torch.tensor([[-100, 4, -100], [-100, 1, 0]])
    decision = torch.tensor([[0, 0, 0], [1, 1, 2]])
    output = fused_output(log_probs, valid, labels, decision)
    for row, column in ((0, 1), (1, 1), (1, 2)):
        page = log_probs[decision[row, column]][valid[decision[row, column]]].double()
        slot = int(labels[row, column])
        expected = {
            "log_probs": page[slot],
            "entropy": -(page.exp() * page).sum(),
            "log_sum_sq_probs": page.exp().square().sum().log(),
            "mean_logits": page.mean(),
            "is_top1": page.argmax() == slot,
        }
        for name, value in expected.items():
            assert float(output[name][row, column - 1]) == pytest.approx(float(value), abs=1e-6), name
    assert output.log_probs[0, 1] == output.entropy[0, 1] == 0
    assert not output.label_mask[0, 1]


def test_decisions_are_scored_once(preferences: Path, tiny_scorer: Path) -> None:
    rows = load_preferences(preferences).to_list()[:4]
    model, tokenizer = load_scorer(tiny_scorer)
    batch = PairCollator(ChoiceCollator(tokenizer, model.config))([*rows, rows[0]])
    assert batch["valid_mask"].shape[0] == 4
    assert batch["decision_index"][:, 1].tolist() == [0, 1, 2, 3, 0] * 2
    assert batch["input_ids"][:, 1].tolist() == [
        move["action_index"] for side in SIDES for row in [*rows, rows[0]] for move in row[f"{side}_moves"]
    ]


def test_the_loss_is_the_papers(preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    """-log sigmoid(beta * (log ratio of chosen - log ratio of rejected)), arXiv:2305.18290, Eq. 7, pair by pair."""
    trainer = trainer_away_from_its_start(load_preferences(preferences), tiny_scorer, tmp_path / "run", beta=0.3)
    rows = load_preferences(preferences).to_list()[:6]
    loss = float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)).detach())
    assert loss == pytest.approx(plain_loss(trainer, rows, beta=0.3), abs=1e-5)
    assert abs(loss - math.log(2)) > 1e-3


def take_step(preferences: Path, scorer: Path, tmp_path: Path, **fields: Any) -> tuple[Any, dict[str, float]]:
    """Trains for a step without warm-up: the model and the step's log entry."""
    config = settings(tmp_path / "run", max_steps=1, logging_steps=1, warmup_steps=0, save_strategy="no", **fields)
    model, tokenizer = load_scorer(scorer)
    model.value_head.requires_grad_(False)
    dataset = load_preferences(preferences)
    trainer = ChoiceDPOTrainer(model, tokenizer, ref_model=load_scorer(scorer)[0], args=config, train_dataset=dataset)
    trainer.train()
    return model, trainer.state.log_history[0]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_every_loss_of_trl_takes_a_step(loss_type: str, preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    model, log = take_step(preferences, tiny_scorer, tmp_path, loss_type=[loss_type], label_smoothing=0.1)
    assert math.isfinite(log["loss"])
    assert log["grad_norm"] > 0
    before = weights(tiny_scorer)
    assert not torch.equal(before["linear_2.weight"], model.linear_2.weight)
    assert torch.equal(before["value_head.0.weight"], model.value_head[0].weight)


@pytest.mark.parametrize(
    "fields",
    [
        {"f_divergence_type": "forward_kl"},
        {"f_divergence_type": "js_divergence"},
        {"f_divergence_type": "alpha_divergence"},
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.1]},
        {"use_weighting": True},
        {"sync_ref_model": True, "ref_model_sync_steps": 1},
        {"gradient_checkpointing": True},
        {"ld_alpha": 0.5},
        {"bf16": True},
    ],
    ids=lambda fields: "-".join(map(str, fields)),
)
def test_trls_other_settings_work(fields: dict[str, Any], preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    _, log = take_step(preferences, tiny_scorer, tmp_path, **fields)
    assert math.isfinite(log["loss"])
    assert log["grad_norm"] > 0


@pytest.mark.parametrize("use_peft", [False, True])
def test_it_learns(use_peft: bool, trajectories: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "run", num_train_epochs=8)
    train_dpo(arguments(tiny_scorer, trajectories=str(trajectories)), TuningArguments(use_peft=use_peft), config)
    metrics = training_metrics(tmp_path / "run")
    assert metrics["num_pairs"] == 48  # the search pages offer one action and are left out
    assert metrics["last_accuracy"] >= 0.95, metrics["log_history"]
    assert metrics["last_margin"] > 0.1
    architecture = json.loads((tmp_path / "run" / "config.json").read_text())
    assert architecture["architectures"] == ["BertForChoiceScoring"]
    assert not (tmp_path / "run" / "generation_config.json").exists()
    assert load_scorer(tmp_path / "run")[0].config.catalog_sha256 == "c" * 64
    summary = json.loads((tmp_path / "run" / "preferences" / "preferences_summary.json").read_text())
    assert summary["by_action"]["option"]["num_pairs"] == summary["by_action"]["buy"]["num_pairs"] == 24
    before, after = weights(tiny_scorer), weights(tmp_path / "run")
    assert not torch.equal(before["linear_1.weight"], after["linear_1.weight"])
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[name], after[name])


def test_precomputed_references_give_the_same_weights(
    trajectories: Path, preferences: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    """Live, precomputed by TRL, and taken over from the making of the pairs."""
    for name, precompute, source in (
        ("live", False, {"preferences": str(preferences)}),
        ("by trl", True, {"preferences": str(preferences)}),
        ("by the pairs", True, {"trajectories": str(trajectories)}),
    ):
        config = settings(tmp_path / name, num_train_epochs=1, precompute_ref_log_probs=precompute)
        train_dpo(arguments(tiny_scorer, **source), TuningArguments(), config)
    live = weights(tmp_path / "live")
    for run in ("by trl", "by the pairs"):
        for name, tensor in weights(tmp_path / run).items():
            torch.testing.assert_close(tensor, live[name], atol=1e-5, rtol=0, msg=f"{run}: {name}")


class InterruptAt(TrainerCallback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "fields", [{}, {"use_peft": True}, {"precompute_ref_log_probs": True}], ids=["full", "lora", "precomputed"]
)
def test_resume_equals_uninterrupted(
    fields: dict[str, Any], preferences: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    fields = dict(fields)
    tuning = TuningArguments(use_peft=fields.pop("use_peft", False))
    start = arguments(tiny_scorer, preferences=str(preferences))
    train_dpo(start, tuning, settings(tmp_path / "whole", num_train_epochs=2, **fields))
    config = settings(tmp_path / "cut", num_train_epochs=2, **fields)
    with pytest.raises(KeyboardInterrupt):
        train_dpo(start, tuning, config, callbacks=[InterruptAt(6)])
    with pytest.raises(ConfigError, match=r"interrupted training run with beta=0\.1, not 0\.5"):
        train_dpo(start, tuning, settings(tmp_path / "cut", num_train_epochs=2, beta=0.5, **fields))
    train_dpo(start, tuning, settings(tmp_path / "cut", num_train_epochs=2, **fields))
    whole = weights(tmp_path / "whole")
    for name, tensor in weights(tmp_path / "cut").items():
        torch.testing.assert_close(tensor, whole[name], atol=1e-6, rtol=0, msg=name)
    assert reported(tmp_path / "cut") == reported(tmp_path / "whole")


def test_a_moving_reference_cannot_be_resumed(preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    start, fields = arguments(tiny_scorer, preferences=str(preferences)), {"sync_ref_model": True}
    with pytest.raises(KeyboardInterrupt):
        train_dpo(start, TuningArguments(), settings(tmp_path / "run", **fields), callbacks=[InterruptAt(5)])
    with pytest.raises(ConfigError, match="sync_ref_model"):
        train_dpo(start, TuningArguments(), settings(tmp_path / "run", **fields))


def test_bad_input_is_refused_before_anything_is_written(
    trajectories: Path, preferences: Path, tiny_scorer: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    good = str(preferences)
    for broken, error, message in (
        ({"trajectories": str(tmp_path / "none")}, DatasetError, "none"),
        ({"trajectories": str(trajectories), "num_trajectories": 100}, DatasetError, r"=100, but .* holds 24"),
        ({"trajectories": str(trajectories), "min_reward": 1.5}, ConfigError, r"min_reward=1\.5, expected a num"),
        ({"trajectories": str(trajectories), "pairs": ["contrasts"]}, DatasetError, "no preference pair is left"),
        ({"trajectories": str(trajectories), "pairs": ["step"]}, ConfigError, "expected one or more of steps"),
        ({"preferences": str(trajectories)}, DatasetError, "expected a preference dataset"),
    ):
        with pytest.raises(error, match=message):
            train_dpo(arguments(tiny_scorer, **broken), TuningArguments(), settings(run))
    with pytest.raises(CheckpointError):
        train_dpo(arguments(tmp_path / "no scorer", preferences=good), TuningArguments(), settings(run))
    assert not run.exists()


def test_weights_are_not_silently_ignored(preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    """A pair of weight 24 among 48 takes a third of the places: 24 of its weight and the others' 47."""
    dataset = load_preferences(preferences)
    weighted = dataset.remove_columns("weight").add_column("weight", [24.0] + [1.0] * (len(dataset) - 1))
    weighted.save_to_disk(str(tmp_path / "weighted"))
    run = tmp_path / "run"
    train_dpo(
        arguments(tiny_scorer, preferences=str(tmp_path / "weighted")), TuningArguments(), settings(run, max_steps=1)
    )
    assert load_preferences(run / "preferences")["weight"] == list(weighted["weight"])
    trained_on = load_preferences(run / "preferences_resampled")
    assert len(trained_on) == 48
    assert set(trained_on["weight"]) == {1.0}
    heavy = [dataset[0][name] for name in ("goal_index", "chosen", "rejected")]
    rows = zip(*(trained_on[name] for name in ("goal_index", "chosen", "rejected")), strict=True)
    assert sum(list(row) == heavy for row in rows) in (16, 17)  # 48 * 24 / 71 = 16.2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss_type": ["sigmod"]}, r"loss_type='sigmod' is unknown; choose among sigmoid"),
        ({"f_divergence_type": "kl"}, "f_divergence_type='kl' is unknown"),
        ({"beta": 0.0}, r"beta=0\.0, expected a positive number"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **fields)


def test_trls_own_refusals_are_passed_on(preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "run", loss_type=["exo_pair"])
    with pytest.raises(ConfigError, match="Label smoothing must be greater than"):
        train_dpo(arguments(tiny_scorer, preferences=str(preferences)), TuningArguments(), config)
    assert not (tmp_path / "run").exists()  # the corrected command finds no run with other settings


def test_one_source_of_pairs_is_needed() -> None:
    with pytest.raises(ConfigError, match="either trajectories or preferences, got none"):
        DPOArguments("scorer")
    with pytest.raises(ConfigError, match="either trajectories or preferences, got both"):
        DPOArguments("scorer", trajectories="a", preferences="b")


def test_a_corrupt_checkpoint_is_named(preferences: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_scorer, tmp_path / "broken")
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="broken"):
        train_dpo(arguments(broken, preferences=str(preferences)), TuningArguments(), settings(tmp_path / "run"))


RECIPES = Path(__file__).parents[2] / "recipes"


def recipe_parser() -> Any:
    return make_parser(KNOWN_RECIPES["dpo"])


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("dpo_*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_parses(recipe: Path) -> None:
    arguments, tuning, config = parse_recipe(recipe_parser(), ["--config", str(recipe)])
    assert arguments.trajectories
    assert tuning.use_peft == ("lora" in recipe.stem)
    assert config.loss_type[0] == "sigmoid"
    assert not config.bf16
    assert not config.gradient_checkpointing


def test_an_unknown_key_fails_and_the_nearest_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_name_or_path: m\ntrajectories: t\nbetta: 0.1\n")
    with pytest.raises(ConfigError, match=r"unknown key 'betta'; did you mean 'beta'\?"):
        parse_recipe(recipe_parser(), ["--config", str(recipe)])
    with pytest.raises(ConfigError, match=r"loss_type='sigmod' is unknown"):
        parse_recipe(
            recipe_parser(), ["--model_name_or_path", "m", "--trajectories", "t", "--loss_type", "sigmod", "sft"]
        )


def test_flags_of_lists_and_help_work() -> None:
    parser = recipe_parser()
    flags = ["--loss_type", "sigmoid", "sft", "--loss_weights", "1.0", "0.1", "--pairs", "steps", "contrasts"]
    arguments, _, config = parse_recipe(parser, ["--model_name_or_path", "m", "--trajectories", "t", *flags])
    assert config.loss_type == ["sigmoid", "sft"]
    assert config.loss_weights == [1.0, 0.1]
    assert arguments.pairs == ["steps", "contrasts"]
    assert "--freeze_embeddings" in parser.format_help()

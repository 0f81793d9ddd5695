"""Imitation learns, with all weights and with LoRA, and an interrupted run ends like an uninterrupted one."""

import json
import math
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from reported import reported
from transformers import TrainerCallback

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.episodes.decisions import LabelledDecision
from recrl.errors import CheckpointError, ConfigError, DatasetError
from recrl.publishing.push import push_run
from recrl.runs import README_MARK, RunFolder
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.inputs import PLAIN_FEATURES
from recrl.scoring.judgement import FIT_FEATURES
from recrl.scoring.model import BertForChoiceScoring
from recrl.training.imitation import (
    ImitationArguments,
    ImitationConfig,
    ImitationTrainer,
    chooses,
    decisions_of,
    fit_feature_weights,
    train_imitation,
)
from recrl.training.runs import training_metrics
from recrl.training.tuning import TuningArguments


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations") / "dataset"
    episodes_to_dataset([colour_episode(number) for number in range(24)]).save_to_disk(str(folder))
    return folder


def settings(output_dir: Path, **changed: object) -> ImitationConfig:
    fields = {
        "output_dir": str(output_dir),
        "num_train_epochs": 5,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
        "save_steps": 4,
        "logging_steps": 6,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return ImitationConfig(**(fields | changed))


def arguments(demonstrations: Path, encoder: Path, **changed: object) -> ImitationArguments:
    fields = {"demonstrations": str(demonstrations), "model_name_or_path": str(encoder), "max_state_tokens": 96}
    return ImitationArguments(**(fields | changed))


@pytest.mark.parametrize("use_peft", [False, True])
def test_it_learns(demonstrations: Path, tiny_encoder: Path, tmp_path: Path, use_peft: bool) -> None:
    tuning = TuningArguments(use_peft=use_peft)
    train_imitation(arguments(demonstrations, tiny_encoder), tuning, settings(tmp_path / "run", num_train_epochs=8))
    metrics = training_metrics(tmp_path / "run")
    assert metrics["num_decisions"] == 48  # the search pages offer one action and are left out
    assert metrics["last_accuracy"] >= 0.95, metrics["log_history"]
    model, _ = load_scorer(tmp_path / "run")
    assert model.config.catalog_sha256 == "c" * 64
    if use_peft:
        start = load_encoder_weights(tiny_encoder)
        adapters = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
        assert "linear_1" in adapters["modules_to_save"]
        assert torch.equal(
            model.bert.embeddings.position_embeddings.weight, start["embeddings.position_embeddings.weight"]
        )
        merged = model.bert.encoder.layer[0].attention.self.query.weight
        assert not torch.equal(merged, start["encoder.layer.0.attention.self.query.weight"])


def test_a_new_scorer_with_a_judgement_prefers_what_it_judges_to_fit_and_has_not_learned_to_choose(
    tiny_encoder: Path,
) -> None:
    plain, _ = BertForChoiceScoring.from_encoder(tiny_encoder, similarity=False)
    model, _ = BertForChoiceScoring.from_encoder(tiny_encoder, match_features=["title_words"])
    assert model.feature_score is not None
    weights = model.feature_score.weight.detach()[0]
    assert weights.nonzero().flatten().tolist() == [
        len(PLAIN_FEATURES) + list(FIT_FEATURES).index("fit_logit"), len(weights) - 1
    ]  # fmt: skip
    assert not chooses(model)
    with torch.no_grad():
        model.feature_score.weight[0, 0] = 0.1
    assert chooses(model)
    assert chooses(plain)  # without a judgement nothing was trained before


def learned(labels: list[LabelledDecision], scorer: Path) -> tuple[float, torch.Tensor]:
    """The loss of the linear probe, and the weights that it found."""
    model, tokenizer = load_scorer(scorer)
    loss = fit_feature_weights(model, labels, ChoiceCollator(tokenizer, model.config))
    assert model.feature_score is not None
    return loss, model.feature_score.weight.detach()[0]


def test_the_linear_probe_learns_any_right_action(tiny_scorer: Path) -> None:
    """Where all are right there is nothing to learn; where two are, half as sure a choice is as good."""
    rows = decisions_of([colour_episode(number) for number in range(12)])
    everything = [replace(row, right_actions=tuple(range(len(row.decision.valid_actions)))) for row in rows]
    loss, weights = learned(everything, tiny_scorer)
    assert loss == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(weights, torch.zeros_like(weights), atol=1e-4, rtol=0)
    one, _ = learned(rows, tiny_scorer)
    two, _ = learned([replace(row, right_actions=tuple(sorted({0, *row.right_actions}))) for row in rows], tiny_scorer)
    assert 0 < two < one < math.log(12)  # each page has twelve actions


def test_it_learns_either_of_two_right_actions(tiny_encoder: Path, tmp_path: Path) -> None:
    """On item pages the named colour and the first colour of the page are right: together they get the probability."""
    episodes = []
    for number in range(24):
        episode = colour_episode(number)
        first, last = episode.steps[1:]
        right = tuple(sorted({6, first.action_index}))  # behind six buttons
        steps = (episode.steps[0], replace(first, right_actions=right), last)
        episodes.append(replace(episode, steps=steps))
    episodes_to_dataset(episodes).save_to_disk(str(tmp_path / "data"))
    run = settings(tmp_path / "run", num_train_epochs=8)
    train_imitation(arguments(tmp_path / "data", tiny_encoder), TuningArguments(), run)
    assert training_metrics(tmp_path / "run")["last_accuracy"] >= 0.95
    model, tokenizer = load_scorer(tmp_path / "run")
    rows = decisions_of(episodes)
    with torch.no_grad():
        output = model(**ChoiceCollator(tokenizer, model.config).labelled(rows).tensors())
    assert output.loss.item() < 0.3


def load_encoder_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / "model.safetensors").items()}


class InterruptAt(TrainerCallback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_resume_equals_uninterrupted(
    demonstrations: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = TuningArguments()
    train_imitation(arguments(demonstrations, tiny_encoder), tuning, settings(tmp_path / "whole"))

    with monkeypatch.context() as patch:
        start = ImitationTrainer.__init__
        patch.setattr(
            ImitationTrainer,
            "__init__",
            lambda self, **kwargs: start(self, callbacks=[InterruptAt(10)], **kwargs),
        )
        with pytest.raises(KeyboardInterrupt):
            train_imitation(arguments(demonstrations, tiny_encoder), tuning, settings(tmp_path / "cut"))
    (tmp_path / "cut" / "checkpoint-12").mkdir()  # as if killed while the next checkpoint was written
    with pytest.raises(ConfigError, match=r"interrupted training run with learning_rate=0\.001, not 0\.5"):
        train_imitation(arguments(demonstrations, tiny_encoder), tuning, settings(tmp_path / "cut", learning_rate=0.5))
    train_imitation(arguments(demonstrations, tiny_encoder), tuning, settings(tmp_path / "cut"))

    whole, _ = load_scorer(tmp_path / "whole")
    cut, _ = load_scorer(tmp_path / "cut")
    for (name, one), two in zip(whole.state_dict().items(), cut.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0, msg=name)
    assert reported(tmp_path / "cut") == reported(tmp_path / "whole")


@pytest.mark.parametrize(
    "fields",
    [{"max_steps": 7, "save_steps": 7}, {"num_train_epochs": 2, "save_steps": 5}],
    ids=["in an epoch", "epochs"],
)
def test_a_run_that_was_cut_off_after_its_last_step_reports_what_a_whole_one_does(
    demonstrations: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, int]
) -> None:
    given = arguments(demonstrations, tiny_encoder)
    train_imitation(given, TuningArguments(), settings(tmp_path / "whole", **fields))
    monkeypatch.setattr(RunFolder, "complete", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_imitation(given, TuningArguments(), settings(tmp_path / "cut", **fields))
    monkeypatch.undo()
    train_imitation(given, TuningArguments(), settings(tmp_path / "cut", **fields))
    assert reported(tmp_path / "cut") == reported(tmp_path / "whole")
    one, other = (load_scorer(tmp_path / name)[0].state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_a_run_left_that_was_killed_after_its_result_is_made_good_by_the_same_command(
    demonstrations: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = settings(tmp_path / "run", max_steps=2)
    given = arguments(demonstrations, tiny_encoder)
    train_imitation(given, TuningArguments(), config)
    push_run(config)
    card, names = (tmp_path / "run" / "README.md").read_text(), {path.name for path in (tmp_path / "run").iterdir()}
    for name in ("checkpoint-2", ".checkpoint-4", ".README.md.old-abcdefgh"):
        (tmp_path / "run" / name).mkdir()
    for name in (".README.md.tmp-abcdefgh", ".recrl.lock"):
        (tmp_path / "run" / name).write_text("half")
    (tmp_path / "run" / "README.md").write_text(f"{README_MARK}\n# Training run")
    train_imitation(given, TuningArguments(), config)
    push_run(config)
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    assert (tmp_path / "run" / "README.md").read_text() == card
    (tmp_path / "run" / "README.md").write_text("mine")
    push_run(config)
    assert (tmp_path / "run" / "README.md").read_text() == "mine"


def test_bad_input_is_refused_before_anything_is_written(
    demonstrations: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"num_demonstrations=100, but .* holds 24"):
        train_imitation(
            arguments(demonstrations, tiny_encoder, num_demonstrations=100), TuningArguments(), settings(tmp_path / "a")
        )
    with pytest.raises(DatasetError):
        train_imitation(arguments(tmp_path / "none", tiny_encoder), TuningArguments(), settings(tmp_path / "a"))
    with pytest.raises(CheckpointError, match="no encoder could be loaded"):
        train_imitation(arguments(demonstrations, tmp_path / "none"), TuningArguments(), settings(tmp_path / "a"))
    assert not (tmp_path / "a").exists()

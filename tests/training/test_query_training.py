"""Training a query model: it learns a rule, an interrupted run ends as if it had not been, held-out texts stay out."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from reported import reported
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    Seq2SeqTrainer,
    TrainerCallback,
)

from recrl.errors import ConfigError, DatasetError
from recrl.files import sha256_of
from recrl.publishing.cards import model_card
from recrl.queries.pairs import load_pairs, split_pairs
from recrl.queries.proposing import QueryModel, words_of
from recrl.queries.seq2seq import load_seq2seq
from recrl.training.runs import is_complete, training_metrics
from recrl.training.search import QueryArguments, QueryConfig, in_order, train_queries

COLOURS = ("black", "blue", "green", "red", "white", "yellow", "brown")
THINGS = ("shirt", "bottle", "case", "shampoo", "shoes", "camera")
SIZES = ("small", "medium", "large")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rule: size, colour, thing, whatever the instruction's order."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.json"
    content = {
        f"i want a {colour} {thing} in {size}": [f"{size} {colour} {thing}"]
        for colour, thing, size in product(COLOURS, THINGS, SIZES)
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def arguments(pairs: Path, encoder: Path, **changed: object) -> QueryArguments:
    fields = {
        "pairs": str(pairs), "model_name_or_path": str(encoder), "num_copy_epochs": 1, "freeze_embeddings": False,
        "freeze_encoder": False,
    }  # fmt: skip
    return QueryArguments(**(fields | changed))


def settings(output_dir: Path, **changed: object) -> QueryConfig:
    fields = {
        "output_dir": str(output_dir), "per_device_train_batch_size": 16, "learning_rate": 3e-3, "num_train_epochs": 1,
        "save_steps": 4, "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    return QueryConfig(**(fields | changed))


@pytest.mark.slow
def test_it_learns(pairs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    train_queries(arguments(pairs, tiny_encoder), settings(tmp_path / "run", num_train_epochs=60, save_steps=1000))
    _, held_out = split_pairs(load_pairs(str(pairs)))
    model = QueryModel.from_pretrained(tmp_path / "run", num_queries=1)
    right = [words_of(model(pair.instruction)[0]) == words_of(pair.queries[0]) for pair in held_out]
    assert np.mean(right) >= 0.9, training_metrics(tmp_path / "run")["log_history"]


class InterruptAt(TrainerCallback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_resume_equals_uninterrupted(
    pairs: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_queries(arguments(pairs, tiny_encoder), settings(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        start = Seq2SeqTrainer.__init__
        patch.setattr(
            Seq2SeqTrainer,
            "__init__",
            lambda self, **others: start(self, **others, callbacks=[InterruptAt(9)]),
        )
        with pytest.raises(KeyboardInterrupt):
            train_queries(arguments(pairs, tiny_encoder), settings(tmp_path / "cut"))
    assert not is_complete(tmp_path / "cut")
    with pytest.raises(ConfigError, match=r"interrupted training run with num_copy_epochs=1, not 2"):
        train_queries(arguments(pairs, tiny_encoder, num_copy_epochs=2), settings(tmp_path / "cut"))
    train_queries(arguments(pairs, tiny_encoder), settings(tmp_path / "cut"))
    whole, cut = load_seq2seq(tmp_path / "whole")[0], load_seq2seq(tmp_path / "cut")[0]
    for (name, one), two in zip(whole.state_dict().items(), cut.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0, msg=name)
    metrics = training_metrics(tmp_path / "cut")
    assert reported(tmp_path / "cut") == reported(tmp_path / "whole")
    assert metrics["sources_sha256"][pairs.name] == sha256_of(pairs)
    assert metrics["num_instructions"] + metrics["num_held_out_instructions"] == 126
    assert metrics["num_copied_instructions"] == metrics["num_query_pairs"] == metrics["num_instructions"]
    card = model_card(tmp_path / "cut", repo_id="user/queries")
    assert "after a phase of copying content words" in card
    assert f"{metrics['held_out_loss']:.3f} nats" in card
    assert str(tmp_path) not in card


def test_what_is_frozen_stays(pairs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    fields = {"freeze_encoder": True, "freeze_embeddings": True, "num_copy_epochs": 0, "num_decoder_layers": 1}
    train_queries(arguments(pairs, tiny_encoder, **fields), settings(tmp_path / "run"))
    model, _ = load_seq2seq(tmp_path / "run")
    from recrl.scoring.encoders import load_encoder

    start, _ = load_encoder(str(tiny_encoder))
    trained = model.get_encoder().state_dict()
    for name, tensor in start.state_dict().items():
        assert torch.equal(trained[name], tensor), name
    assert torch.equal(model.decoder.get_input_embeddings().weight, start.get_input_embeddings().weight)
    assert len(model.decoder.base_model.encoder.layer) == 1


def test_more_instructions_leave_the_held_out_ones_out(pairs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    texts = [pair.instruction for pair in load_pairs(str(pairs))] + ["i want a green gift"]
    (tmp_path / "more.json").write_text(json.dumps(texts), encoding="utf-8")
    more = arguments(pairs, tiny_encoder, instructions=str(tmp_path / "more.json"))
    train_queries(more, settings(tmp_path / "run", num_train_epochs=0))
    metrics = training_metrics(tmp_path / "run")
    assert metrics["num_copied_instructions"] == metrics["num_instructions"] + 1


def test_a_sequence_to_sequence_model_is_trained_as_it_is(pairs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=80,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.sep_token_id, forced_eos_token_id=tokenizer.sep_token_id,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path / "bart")
    tokenizer.save_pretrained(tmp_path / "bart")
    train_queries(arguments(pairs, tmp_path / "bart"), settings(tmp_path / "run", num_train_epochs=8, save_steps=1000))
    model = QueryModel.from_pretrained(tmp_path / "run", num_queries=3)
    assert model.model.config.model_type == "bart"
    assert model.model.config.dropout == 0.0
    assert len(model("i want a blue shirt in medium")) == 3


def test_passes_hold_every_example_once_in_batches_of_like_length() -> None:
    examples = [("word " * length, str(length)) for length in range(1, 65)]
    ordered = in_order(examples, 2, 4, np.random.default_rng(0))
    assert sorted(ordered[:64]) == sorted(ordered[64:]) == sorted(examples)
    assert ordered[:64] != ordered[64:]
    spreads = [
        max(int(number) for _, number in ordered[place : place + 4])
        - min(int(number) for _, number in ordered[place : place + 4])
        for place in range(0, 64, 4)
    ]
    assert max(spreads) == 3


def test_bad_settings_are_refused_before_anything_is_written(pairs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"num_train_epochs=0\.5, expected a whole number"):
        settings(tmp_path / "run", num_train_epochs=0.5)
    with pytest.raises(ConfigError, match="the phases need 'sequential'"):
        settings(tmp_path / "run", train_sampling_strategy="random")
    with pytest.raises(ConfigError, match="num_copy_epochs=-1, expected 0 or more"):
        arguments(pairs, tiny_encoder, num_copy_epochs=-1)
    with pytest.raises(ConfigError, match="nothing to do"):
        train_queries(arguments(pairs, tiny_encoder, num_copy_epochs=0), settings(tmp_path / "run", num_train_epochs=0))
    (tmp_path / "few.json").write_text('{"a hat": ["hat"]}', encoding="utf-8")
    with pytest.raises(DatasetError, match="1 instructions to train on and 0 held out"):
        train_queries(arguments(tmp_path / "few.json", tiny_encoder), settings(tmp_path / "run"))
    assert not (tmp_path / "run").exists()

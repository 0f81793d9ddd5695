"""Encodings on the disk: equal to the last bit, shared, bounded, never those of other weights."""

import copy
import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from decision_data import colour_episode
from recrl.errors import ConfigError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.encoding_store import SIZE_VARIABLE, EncodingStore, default_store, encoder_key
from recrl.scoring.evidence import MATCH_FEATURES
from recrl.scoring.freezing import freeze_encoder
from recrl.scoring.model import BertForChoiceScoring

Text = tuple[int, ...]
TEXTS: list[Text] = [(2, 5, 6, 3), (2, 7, 3), (2, 8, 9, 10, 3)]


def rows(text: Text, hidden: int = 4) -> np.ndarray:
    return np.random.default_rng(text).normal(size=(len(text), hidden)).astype(np.float32)


def reading_scorer(encoder: Path) -> tuple[BertForChoiceScoring, object]:
    return BertForChoiceScoring.from_encoder(
        encoder, state_form="instruction", pool_actions=True, match_features=list(MATCH_FEATURES)
    )


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], EncodingStore | None]:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    return default_store


def test_what_was_written_is_read_under_its_key_only(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path / "e.sqlite3", 10**6)
    store.write("a", {text: rows(text) for text in TEXTS[:2]})
    for reader in (store, store):  # what waits, then what is on the disk
        found = reader.read("a", TEXTS)
        assert set(found) == set(TEXTS[:2])
        assert all(np.array_equal(found[text], rows(text)) for text in found)
        assert not reader.read("b", TEXTS)
        store.flush()
    assert set(EncodingStore(tmp_path / "e.sqlite3", 10**6).read("a", TEXTS)) == set(TEXTS[:2])
    with pytest.raises(TypeError, match="float16, expected float32"):
        store.write("a", {TEXTS[0]: rows(TEXTS[0]).astype(np.float16)})


def test_beyond_its_size_the_oldest_go(tmp_path: Path) -> None:
    size = 400_000
    store = EncodingStore(tmp_path / "e.sqlite3", size)
    texts = [(2, number, 3) for number in range(1000)]
    for start in range(0, len(texts), 20):
        store.write("a", {text: rows(text, hidden=100) for text in texts[start : start + 20]})
        store.flush()
    assert (tmp_path / "e.sqlite3").stat().st_size < 1.2 * size
    known = set(store.read("a", texts))
    assert known == set(texts[-len(known) :])
    assert len(known) > 150


def _write(path: Path, number: int) -> None:
    store = EncodingStore(path, 10**7)
    for start in range(40):
        store.write("a", {(number % 2, start, 3): rows((number % 2, start, 3))})
        store.flush()


def test_processes_share_it(tmp_path: Path) -> None:
    path, context = tmp_path / "e.sqlite3", multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    texts = [(number, start, 3) for number in range(2) for start in range(40)]
    found = EncodingStore(path, 10**7).read("a", texts)
    assert all(np.array_equal(found[text], rows(text)) for text in texts)


def test_a_file_that_cannot_be_used_is_named_and_texts_are_encoded_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "e.sqlite3").write_text("no data base " * 100)
    store = EncodingStore(tmp_path / "e.sqlite3", 10**6)
    assert store.read("a", TEXTS) == {}
    store.write("a", {TEXTS[0]: rows(TEXTS[0])})
    store.flush()
    assert len(caplog.records) == 1
    assert f"{tmp_path / 'e.sqlite3'} cannot be used (file is not a database)" in caplog.text
    assert f"set {SIZE_VARIABLE}=0" in caplog.text


def test_its_size_comes_from_the_environment(
    own_store: Callable[[], EncodingStore | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "3")
    store = own_store()
    assert store is own_store()
    assert store is not None
    assert store.max_bytes == 3_000_000
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    assert own_store() is None
    monkeypatch.setenv(SIZE_VARIABLE, "-1")
    with pytest.raises(ConfigError, match="RECRL_ENCODINGS_MB='-1', expected a whole number"):
        own_store()


def test_a_later_policy_reads_what_an_earlier_one_encoded_and_says_the_same(
    tiny_encoder: Path, own_store: Callable[[], EncodingStore | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = [decision for number in range(4) for decision in colour_episode(number).decisions()]
    model, tokenizer = reading_scorer(tiny_encoder)
    without = ScorerPolicy(model, tokenizer).outputs(decisions)
    store = own_store()
    assert store is not None
    assert not store.path.exists()  # asked for by none
    first = ScorerPolicy(model, tokenizer, keep_on_disk=True).outputs(decisions)
    store.flush()

    def never(*_: object) -> None:
        raise AssertionError("a text was encoded again")

    with monkeypatch.context() as patched:
        patched.setattr(BertForChoiceScoring, "encode_texts", never)
        later = ScorerPolicy(model, tokenizer, keep_on_disk=True).outputs(decisions)
    for found in (first, later):
        for (expected, value), (log_probs, other_value) in zip(without, found, strict=True):
            assert np.array_equal(expected, log_probs)
            assert value == other_value


def test_other_weights_find_nothing_of_the_old_ones(
    tiny_encoder: Path, own_store: Callable[[], EncodingStore | None]
) -> None:
    decisions = list(colour_episode(0).decisions())
    model, tokenizer = reading_scorer(tiny_encoder)
    policy = ScorerPolicy(model, tokenizer, keep_on_disk=True)
    before, key = policy.log_probs(decisions), encoder_key(model.bert)
    with torch.no_grad():
        for parameter in model.bert.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    policy.forget()
    assert encoder_key(model.bert) != key
    after, fresh = policy.log_probs(decisions), ScorerPolicy(model, tokenizer).log_probs(decisions)
    assert all(np.array_equal(one, other) for one, other in zip(after, fresh, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(after, before, strict=True))


def test_training_the_heads_alone_reads_it_too_and_copies_share_it(
    tiny_encoder: Path, own_store: Callable[[], EncodingStore | None]
) -> None:
    decisions = list(colour_episode(0).decisions())
    model, tokenizer = reading_scorer(tiny_encoder)
    plain = ScorerPolicy(model, tokenizer).log_probs(decisions)
    freeze_encoder(model, num_layers=2)
    copied = copy.deepcopy(model)
    for one in (model, copied):
        found = ScorerPolicy(one, tokenizer).log_probs(decisions)
        assert all(np.array_equal(log_probs, other) for log_probs, other in zip(found, plain, strict=True))
    store = own_store()
    assert store is not None
    store.flush()
    size = store.path.stat().st_size
    for other_type in (torch.float64, torch.bfloat16):  # kept in memory alone
        ScorerPolicy(copied.to(other_type), tokenizer)._kept.actions([(2, 5, 6, 3)])
    store.flush()
    assert store.path.stat().st_size == size


@pytest.mark.parametrize("fields", [{}, {"pad_attention": "original"}])
def test_only_reading_scorers_write(
    tiny_encoder: Path, own_store: Callable[[], EncodingStore | None], fields: dict[str, str]
) -> None:
    model, tokenizer = BertForChoiceScoring.from_encoder(tiny_encoder, **fields)
    ScorerPolicy(model, tokenizer, keep_on_disk=True).outputs(list(colour_episode(0).decisions()))
    store = own_store()
    assert store is not None
    store.flush()
    assert not store.path.exists()


def test_it_is_one_file_of_sqlite(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path / "deep" / "e.sqlite3", 10**6)
    store.write("a", {TEXTS[0]: rows(TEXTS[0])})
    store.flush()
    assert sqlite3.connect(store.path).execute("SELECT hidden FROM encodings").fetchall() == [(4,)]

"""The choice scorer: equal to a plain-loop twin, equivariant, independent of the batch, saved and loaded whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from recrl.errors import CheckpointError, ConfigError
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.freezing import freeze_encoder
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.ragged import softmax_by_slot, sum_by_slot

FEATURES = ["reciprocal_rank", "price_fits"]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path) -> BertForChoiceScoring:
    scorer, _ = BertForChoiceScoring.from_encoder(tiny_encoder, action_features=FEATURES)
    with torch.no_grad():  # heads as after training: nothing is symmetric or zero
        generator = torch.Generator().manual_seed(1)
        for name, parameter in scorer.named_parameters():
            if "bert." not in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return scorer


def random_batch(seed: int, decisions: int = 5, texts: int = 9, states: int = 3, most_actions: int = 7) -> dict:
    rng = np.random.default_rng(seed)

    def padded(rows: int, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor(rng.integers(2, longest + 1, rows))
        ids = torch.tensor(rng.integers(5, 100, (rows, int(lengths.max()))))
        return ids, torch.arange(ids.shape[1])[None] < lengths[:, None]

    state_ids, state_mask = padded(states, 40)
    action_ids, action_mask = padded(texts, 20)
    counts = torch.tensor(rng.integers(1, most_actions + 1, decisions))
    width = int(counts.max())
    valid_mask = torch.arange(width)[None] < counts[:, None]
    right_mask = valid_mask & torch.tensor(rng.random((decisions, width)) < 0.3)
    right_mask[torch.arange(decisions), torch.tensor(rng.integers(0, counts))] = True
    return {
        "state_ids": state_ids,
        "state_mask": state_mask,
        "action_ids": action_ids,
        "action_mask": action_mask,
        "state_index": torch.tensor(rng.integers(0, states, decisions)),
        "action_index": torch.tensor(rng.integers(0, texts, (decisions, width))),
        "valid_mask": valid_mask,
        "action_features": torch.tensor(rng.normal(size=(decisions, width, len(FEATURES))), dtype=torch.float32),
        "right_mask": right_mask,
    }


def plain_log_probs(model: BertForChoiceScoring, batch: dict, decision: int) -> torch.Tensor:
    """The model written as loops over actions, from its description: one text at a time, no padding anywhere."""
    row = batch["state_index"][decision]
    state = model.bert(batch["state_ids"][row][batch["state_mask"][row]][None]).last_hidden_state[0]
    scores = []
    for slot in batch["valid_mask"][decision].nonzero()[:, 0]:
        row = batch["action_index"][decision, slot]
        action = model.bert(batch["action_ids"][row][batch["action_mask"][row]][None]).last_hidden_state[0]
        attention = torch.stack(
            [
                torch.stack(
                    [
                        model.input_linear.weight[0] @ a + model.memory_linear.weight[0] @ s + (a * model.dot_scale) @ s
                        for s in state
                    ]
                )
                for a in action
            ]
        )
        one = attention.softmax(-1) @ state
        two = attention.max(-1).values.softmax(-1) @ action
        hidden = model.linear_1(torch.cat([action, one, action * one, two * one], dim=-1))
        cosine = torch.nn.functional.cosine_similarity(action.mean(0), state.mean(0), dim=0)
        features = torch.cat([batch["action_features"][decision, slot], cosine[None]])
        pooled = (hidden + model.feature_hidden(features)).relu().mean(0)
        scores.append(model.linear_2(pooled)[0] + model.feature_score(features)[0])
    return torch.stack(scores).log_softmax(-1)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_loops_in_value_and_gradient(model: BertForChoiceScoring, seed: int) -> None:
    batch = random_batch(seed)
    output = model(**batch)
    plain = [plain_log_probs(model, batch, decision) for decision in range(len(batch["right_mask"]))]
    for decision, log_probs in enumerate(plain):
        torch.testing.assert_close(output.log_probs[decision, : len(log_probs)], log_probs, atol=1e-5, rtol=0)
    summed = [row.exp()[right[: len(row)]].sum() for row, right in zip(plain, batch["right_mask"], strict=True)]
    plain_loss = -torch.stack(summed).log().mean()
    torch.testing.assert_close(output.loss, plain_loss, atol=1e-5, rtol=0)
    ours = torch.autograd.grad(output.loss, list(model.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(plain_loss, list(model.parameters()), allow_unused=True)
    for (name, _), one, two in zip(model.named_parameters(), ours, theirs, strict=True):
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_the_actions_permutes_their_log_probs(model: BertForChoiceScoring, seed: int) -> None:
    batch = random_batch(seed)
    order = torch.tensor(np.random.default_rng(seed).permutation(batch["action_index"].shape[1]))
    permuted = dict(batch, right_mask=None)
    for name in ("action_index", "valid_mask", "action_features"):
        permuted[name] = batch[name][:, order]
    with torch.no_grad():
        expected, got = model(**batch).log_probs[:, order], model(**permuted).log_probs
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_padding_gets_no_probability_and_the_rest_sums_to_one(model: BertForChoiceScoring, seed: int) -> None:
    batch = random_batch(seed)
    with torch.no_grad():
        probabilities = model(**batch).log_probs.exp()
    assert (probabilities[~batch["valid_mask"]] == 0).all()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(probabilities)), atol=1e-5, rtol=0)


def test_a_batch_of_64_equals_64_batches_of_one(model: BertForChoiceScoring) -> None:
    batch = random_batch(7, decisions=64, texts=40, states=20, most_actions=30)
    with torch.no_grad():
        together = model(**batch)
        for decision in range(64):
            count = int(batch["valid_mask"][decision].sum())
            row, rows = batch["state_index"][decision], batch["action_index"][decision, :count]
            alone = model(
                state_ids=batch["state_ids"][row][None],
                state_mask=batch["state_mask"][row][None],
                action_ids=batch["action_ids"][rows],
                action_mask=batch["action_mask"][rows],
                state_index=torch.zeros(1, dtype=torch.long),
                action_index=torch.arange(count)[None],
                valid_mask=torch.ones(1, count, dtype=torch.bool),
                action_features=batch["action_features"][decision, None, :count],
            )
            torch.testing.assert_close(alone.log_probs[0], together.log_probs[decision, :count], atol=1e-5, rtol=0)
            torch.testing.assert_close(alone.state_values[0], together.state_values[decision], atol=1e-5, rtol=0)


def test_the_papers_model_has_no_features(tiny_encoder: Path) -> None:
    scorer, _ = BertForChoiceScoring.from_encoder(tiny_encoder, action_features=[], similarity=False)
    batch = random_batch(0)
    del batch["action_features"]
    assert scorer.feature_hidden is None
    assert scorer(**batch).loss.isfinite()


def test_segment_softmax_equals_softmax_of_each_segment() -> None:
    logits = torch.tensor([[5.0, -2.0, 300.0, 299.0, 7.0, 0.0]])
    slot, real = torch.tensor([[0, 0, 1, 1, 2, 0]]), torch.tensor([[True, True, True, True, True, False]])
    weights = softmax_by_slot(logits, slot, real, 4)
    expected = torch.cat([logits[0, :2].softmax(0), logits[0, 2:4].softmax(0), torch.ones(1), torch.zeros(1)])
    torch.testing.assert_close(weights[0], expected)
    sums = sum_by_slot(weights.unsqueeze(-1), slot, 4)[0, :, 0]
    torch.testing.assert_close(sums, torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_saves_loads_and_answers_to_the_auto_classes(
    model: BertForChoiceScoring, tiny_encoder: Path, tmp_path: Path
) -> None:
    _, tokenizer = BertForChoiceScoring.from_encoder(tiny_encoder)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, _ = load_scorer(tmp_path)
    for (name, one), two in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    assert isinstance(AutoConfig.from_pretrained(tmp_path), ChoiceScoringConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), BertForChoiceScoring)


def test_the_four_markers_are_four_tokens(tiny_encoder: Path) -> None:
    scorer, tokenizer = BertForChoiceScoring.from_encoder(tiny_encoder)
    pieces = tokenizer.tokenize("[button] red [button_] [clicked button] blue [clicked button_]")
    assert pieces == ["[button]", "red", "[button_]", "[clicked button]", "blue", "[clicked button_]"]
    assert scorer.config.vocab_size == len(tokenizer) == scorer.get_input_embeddings().num_embeddings


def test_freezing_leaves_what_it_says(tiny_encoder: Path) -> None:
    scorer, _ = BertForChoiceScoring.from_encoder(tiny_encoder)
    freeze_encoder(scorer, embeddings=True, num_layers=1)
    frozen = {name for name, parameter in scorer.named_parameters() if not parameter.requires_grad}
    assert all(name.startswith(("bert.embeddings.", "bert.encoder.layer.0.")) for name in frozen)
    assert len(frozen) == 5 + 16
    with pytest.raises(ConfigError, match="2 layers"):
        freeze_encoder(scorer, num_layers=3)


def _corrupt(path: Path, how: str) -> None:
    weights = path / "model.safetensors"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "missing":
        weights.unlink()
    elif how == "other":
        (path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        del tensors["linear_2.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "expected a folder or Hub id"),
        ("missing", "model.safetensors"),
        ("other", "'bert' model"),
        ("tensor", "1 tensors are missing or do not fit, first 'linear_2.weight'"),
    ],
)
def test_a_corrupt_checkpoint_is_refused(tiny_scorer: Path, tmp_path: Path, how: str, message: str) -> None:
    folder = tmp_path / "scorer"
    shutil.copytree(tiny_scorer, folder)
    _corrupt(folder, how)
    with pytest.raises(CheckpointError, match=message):
        load_scorer(folder)


def test_an_encoder_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"pip install 'recrl\[offline\]'"):
        BertForChoiceScoring.from_encoder(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="unknown action_features"):
        ChoiceScoringConfig(action_features=["colour"])


def test_a_checkpoint_from_before_the_match_head_loads_as_it_was(tiny_scorer: Path, tmp_path: Path) -> None:
    """Its configuration names neither what the judgement reads nor the widths that came with it."""
    folder = tmp_path / "scorer"
    shutil.copytree(tiny_scorer, folder)
    config = json.loads((folder / "config.json").read_text())
    for name in ("match_features", "match_hidden_size", "feature_hidden_size", "pool_actions"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    (old, _), (new, _) = load_scorer(folder), load_scorer(tiny_scorer)
    assert old.match_head is None
    assert old.state_dict().keys() == new.state_dict().keys()
    assert all(torch.equal(tensor, new.state_dict()[name]) for name, tensor in old.state_dict().items())

"""Encoders of the BERT family other than BERT: they train, freeze, take adapters, and read long texts."""

import string
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    BertTokenizer,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from decision_data import colour_episode, text_decision
from recrl.errors import CheckpointError, ConfigError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.tiny import WORDS
from recrl.training.imitation import decisions_of
from recrl.training.tuning import TuningArguments, prepare_for_training

SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 0,
    "max_position_embeddings": 64,
}  # fmt: skip
ENDS: dict[str, Any] = {"bos_token_id": 2, "eos_token_id": 3}
FAMILIES: dict[str, PreTrainedConfig] = {
    "albert": AlbertConfig(embedding_size=16, **SMALL),
    "deberta-v2": DebertaV2Config(
        relative_attention=True, pos_att_type=["c2p", "p2c"], position_biased_input=False, position_buckets=16, **SMALL
    ),
    "distilbert": DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64),
    "electra": ElectraConfig(embedding_size=16, **SMALL),
    "modernbert": ModernBertConfig(cls_token_id=2, sep_token_id=3, **SMALL, **ENDS),
    "mpnet": MPNetConfig(**(SMALL | ENDS | {"max_position_embeddings": 66})),
    "roberta": RobertaConfig(**(SMALL | ENDS | {"pad_token_id": 1, "max_position_embeddings": 66})),
    "xlm-roberta": XLMRobertaConfig(**(SMALL | ENDS | {"pad_token_id": 1, "max_position_embeddings": 66})),
}


def write_tokenizer(folder: Path, config: PreTrainedConfig) -> None:
    """A WordPiece tokenizer whose padding has the index that the encoder expects."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if config.pad_token_id == 1:
        special[:2] = special[1::-1]
    pieces = ["##" + character for character in string.ascii_lowercase + string.digits]
    words = list(dict.fromkeys([*special, *WORDS, *string.ascii_lowercase, *string.digits, *pieces]))
    config.vocab_size = len(words)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config, folder = FAMILIES[request.param], tmp_path_factory.mktemp("family") / request.param
    write_tokenizer(folder, config)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "tuning", [{}, {"num_frozen_layers": 2}, {"use_peft": True}], ids=["embeddings frozen", "all frozen", "LoRA"]
)
def test_it_trains_and_comes_back(encoder: Path, tuning: dict[str, Any], tmp_path: Path) -> None:
    model, tokenizer = BertForChoiceScoring.from_encoder(encoder, max_state_tokens=48, max_action_tokens=16)
    collator = ChoiceCollator(tokenizer, model.config)
    model.value_head.requires_grad_(False)
    trained = prepare_for_training(model, TuningArguments(**tuning))
    trained.train()
    optimizer = torch.optim.SGD([one for one in trained.parameters() if one.requires_grad], lr=0.1)
    batch = collator.labelled(decisions_of([colour_episode(number) for number in range(4)]))
    losses = []
    for _ in range(4):
        loss = trained(**batch.tensors()).loss
        loss.backward()
        assert all(one.grad is not None for one in trained.parameters() if one.requires_grad)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    save_scorer(trained, tokenizer, tmp_path)
    again, _ = load_scorer(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            again(**batch.tensors()).log_probs, trained.eval()(**batch.tensors()).log_probs, atol=1e-5, rtol=0
        )


def test_texts_longer_than_the_encoder_are_cut_to_it(encoder: Path) -> None:
    model, tokenizer = BertForChoiceScoring.from_encoder(encoder, max_state_tokens=10_000, max_action_tokens=10_000)
    assert model.config.max_positions == 64
    words = "find me a red shirt " * 200
    page = (
        f"Instruction:\n{words}\n[button] Back to Search [button_]\nPage 1 (Total results: 1)\n"
        f"[button] Next > [button_]\n\n[button] B000000001 [button_]\n{'large blue shirt ' * 300}\n$10.0\n"
    )
    decision = text_decision(page, ("click[next >]", "click[b000000001]"))
    [log_probs] = ScorerPolicy(model, tokenizer).log_probs([decision])
    assert torch.isfinite(torch.tensor(log_probs)).all()


def test_adapters_on_layers_that_are_not_there_are_refused(encoder: Path) -> None:
    model, _ = BertForChoiceScoring.from_encoder(encoder)
    with pytest.raises(ConfigError, match=r"no linear layer 'gate'; it has \w+, .*all-linear stands for all"):
        prepare_for_training(model, TuningArguments(use_peft=True, lora_target_modules=["gate"]))


def test_layers_that_share_weights_are_frozen_together(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "albert", FAMILIES["albert"])
    AutoModel.from_config(FAMILIES["albert"]).save_pretrained(tmp_path / "albert")
    model, _ = BertForChoiceScoring.from_encoder(tmp_path / "albert")
    with pytest.raises(ConfigError, match="share weights; use 0 or 2"):
        prepare_for_training(model, TuningArguments(num_frozen_layers=1))


def test_a_causal_model_is_no_encoder(tmp_path: Path) -> None:
    config = GPT2Config(n_embd=32, n_layer=1, n_head=2, architectures=["GPT2LMHeadModel"], pad_token_id=0)
    write_tokenizer(tmp_path / "gpt2", config)
    AutoModel.from_config(config).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(CheckpointError, match=r"is a causal language model \(gpt2\); expected an encoder"):
        BertForChoiceScoring.from_encoder(tmp_path / "gpt2")

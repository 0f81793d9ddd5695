"""Encodings that are kept: of what, how many, and that training on them is training."""

from pathlib import Path

import pytest
import torch

from decision_data import colour_episode
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.encodings import EncodingCache
from recrl.scoring.freezing import freeze_encoder
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.ragged import pack_actions
from recrl.training.imitation import decisions_of


def test_it_encodes_what_it_does_not_know_and_forgets_the_longest_unused() -> None:
    asked: list[list[tuple[int, ...]]] = []

    def encode(texts: list[tuple[int, ...]]) -> list[torch.Tensor]:
        asked.append(list(texts))
        return [torch.tensor(text)[:, None].float() for text in texts]

    keep = EncodingCache(encode, max_tokens=5)
    one, two, three = (1, 1), (2, 2), (3, 3)
    assert [hidden[0, 0].item() for hidden in keep([one, two, one])] == [1, 2, 1]
    keep([one])
    keep([three])  # 6 tokens: one must go, and ``two`` was asked for before ``one``
    keep([one, three])
    keep([two])
    assert asked == [[one, two], [three], [two]]
    assert len(keep([one, two, three, (4, 4)])) == 4  # more than the size, but all of one call
    keep.clear()
    keep([one])
    assert asked[-1] == [one]


@pytest.mark.parametrize("num_frozen_layers", [1, 2])
def test_kept_encodings_change_neither_the_loss_nor_the_gradients(tiny_scorer: Path, num_frozen_layers: int) -> None:
    rows = decisions_of([colour_episode(number) for number in range(6)])
    plain, tokenizer = load_scorer(tiny_scorer)
    keeping, _ = load_scorer(tiny_scorer)
    plain.bert.requires_grad_(False)
    freeze_encoder(keeping, num_layers=num_frozen_layers)
    assert (keeping.kept_encodings is not None) == (num_frozen_layers == 2)  # of two layers
    batch = ChoiceCollator(tokenizer, plain.config).labelled(rows).tensors()
    for _ in range(2):  # the second time from what is kept
        losses = [model(**batch).loss for model in (plain, keeping)]
        torch.testing.assert_close(losses[0], losses[1], atol=1e-6, rtol=0)
        for model, loss in zip((plain, keeping), losses, strict=True):
            model.zero_grad()
            loss.backward()
        gradients = dict(keeping.named_parameters())
        for name, parameter in plain.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4)


def test_what_is_kept_does_not_outlive_the_encoder_that_said_it(tiny_scorer: Path) -> None:
    model, _ = load_scorer(tiny_scorer)
    freeze_encoder(model, num_layers=2)
    ids, mask = torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.bool)
    before = model.encode(ids, mask)
    other = {name: tensor + 0.1 for name, tensor in model.state_dict().items()}
    model.load_state_dict(other)
    assert not torch.equal(model.encode(ids, mask), before)
    assert model.to(torch.float64).encode(ids, mask).dtype == torch.float64
    freeze_encoder(model, num_layers=1)
    assert model.encode(ids, mask).requires_grad


@pytest.mark.parametrize("inference_mode", [False, True])
def test_encoded_texts_hold_no_graph_and_can_be_trained_on(tiny_scorer: Path, inference_mode: bool) -> None:
    model, _ = load_scorer(tiny_scorer)
    with torch.inference_mode(inference_mode):
        [hidden] = model.encode_texts([(2, 5, 6, 3)])
    assert hidden.shape == (4, model.config.hidden_size)
    assert not hidden.requires_grad
    assert not hidden.is_inference()
    alone = model.encode(torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(hidden, alone.detach(), atol=1e-6, rtol=0)


def test_action_texts_are_kept_as_the_mean_where_the_scorer_pools_them(tiny_encoder: Path) -> None:
    rows = decisions_of([colour_episode(number) for number in range(6)])
    pooling, tokenizer = BertForChoiceScoring.from_encoder(tiny_encoder, pool_actions=True)
    keeping, _ = BertForChoiceScoring.from_encoder(tiny_encoder, pool_actions=True)
    pooling.bert.requires_grad_(False)
    freeze_encoder(keeping, num_layers=2)
    batch = ChoiceCollator(tokenizer, pooling.config).labelled(rows).tensors()
    torch.testing.assert_close(keeping(**batch).log_probs, pooling(**batch).log_probs, atol=1e-6, rtol=0)
    texts = [(2, 5, 6, 3), (2, 7, 3)]
    assert keeping.kept_encodings is not None
    for text, mean in zip(texts, keeping.kept_encodings.actions(texts), strict=True):
        [hidden] = keeping.encode_texts([text])
        torch.testing.assert_close(mean, hidden.mean(0, keepdim=True))
        assert not mean.requires_grad


def test_pooled_actions_are_scored_as_single_tokens_are() -> None:
    """Where every action is one token, packing them side by side and leaving them in their slots is the same."""
    lengths, index = torch.ones(5, dtype=torch.long), torch.tensor([[0, 3, 4], [2, 1, 0]])
    valid = torch.tensor([[True, True, True], [True, True, False]])
    general, single = (pack_actions(lengths, index, valid, single=single) for single in (False, True))
    values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)) * valid.unsqueeze(-1)
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(general.real, single.real)
    assert torch.equal(general.token[valid], single.token[valid])
    assert torch.equal(general.sums(values), single.sums(values))
    assert torch.equal(general.spread(values)[valid], single.spread(values)[valid])
    assert torch.equal(general.softmax(logits), single.softmax(logits))

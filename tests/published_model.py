"""A plain twin of WebShop's choice model, made from its description, with random weights."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

from recrl.scoring.inputs import PAGE_MARKERS

HIDDEN = 64


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_linear, self.memory_linear = (nn.Linear(HIDDEN, 1, bias=False) for _ in range(2))
        self.dot_scale = nn.Parameter(torch.randn(HIDDEN) / 8)


class Original(nn.Module):
    """One page at a time: the state, and its actions padded to the longest of them."""

    def __init__(self, vocabulary: int, values: bool) -> None:
        super().__init__()
        self.bert = BertModel(
            BertConfig(
                vocab_size=vocabulary, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=1,
                intermediate_size=96, max_position_embeddings=256,
            )
        )  # fmt: skip
        self.attn = Attention()
        self.linear_1, self.linear_2 = nn.Linear(4 * HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)
        self.image_linear = nn.Linear(512, HIDDEN)
        if values:
            self.linear_3 = nn.Sequential(nn.Linear(HIDDEN, 128), nn.LeakyReLU(), nn.Linear(128, 1))

    def forward(self, state_ids: torch.Tensor, action_ids: torch.Tensor, action_mask: torch.Tensor) -> torch.Tensor:
        state = self.bert(state_ids[None]).last_hidden_state[0]
        actions = self.bert(action_ids, attention_mask=action_mask.long()).last_hidden_state
        scores = []
        for action, mask in zip(actions, action_mask, strict=True):
            attention = (
                self.attn.input_linear(action)
                + self.attn.memory_linear(state).T
                + (action * self.attn.dot_scale) @ state.T
            )
            one = attention.softmax(-1) @ state
            two = attention.max(-1).values.softmax(-1) @ action  # the padding's share included
            hidden = self.linear_1(torch.cat([action, one, action * one, two * one], -1)).relu()
            scores.append(self.linear_2(hidden[mask].mean(0))[0])
        return torch.stack(scores).log_softmax(-1)


def original(tokenizer_folder: Path, path: Path, *, values: bool = False) -> Original:
    """A model with random weights, saved as published."""
    torch.manual_seed(3)
    model = Original(len(AutoTokenizer.from_pretrained(tokenizer_folder)) + len(PAGE_MARKERS), values).eval()
    torch.save(model.state_dict(), path)
    return model

"""Decisions -> the tensors that the scorer reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from recrl.scoring.inputs import ChoiceInput, read_decision


class ChoiceCollator:
    """Turns decisions into the tensors of `recrl.scoring.model.BertForChoiceScoring`.

    Equal states and equal action texts of a batch become one row each. Token ids of texts are remembered, so that
    epochs after the first tokenise nothing.

    Args:
        tokenizer: the encoder's, with the four page markers added.
        config: a `recrl.scoring.config.ChoiceScoringConfig`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
        self.tokenizer, self.config = tokenizer, config
        self._max_positions = config.max_positions
        self._state_tokens: dict[tuple[str, str], tuple[int, ...]] = {}
        self._action_tokens: dict[str, tuple[int, ...]] = {}

    def read(self, decision: Mapping[str, Any]) -> ChoiceInput:
        """The texts and numbers of one decision (keys ``observation``, ``valid_actions``, ``previous_actions``)."""
        return read_decision(
            decision["observation"],
            decision["valid_actions"],
            decision["previous_actions"],
            state_form=self.config.state_form,
            action_features=self.config.action_features,
        )

    def state_tokens(self, instruction: str, state: str) -> tuple[int, ...]:
        """``[CLS] instruction [SEP] state [SEP]``: at most ``max_state_tokens``, more only if the instruction needs it.

        The instruction is cut at the encoder's number of positions only.
        """
        key = (instruction, state)
        if key not in self._state_tokens:
            tokenizer, limit = self.tokenizer, min(self.config.max_state_tokens, self._max_positions)
            head = tokenizer.encode(instruction, add_special_tokens=False)[: self._max_positions - 2]
            rest = tokenizer.encode(state, add_special_tokens=False)[: max(0, limit - len(head) - 3)]
            tail = [*rest, tokenizer.sep_token_id] if rest else []
            self._state_tokens[key] = (tokenizer.cls_token_id, *head, tokenizer.sep_token_id, *tail)
        return self._state_tokens[key]

    def action_tokens(self, text: str) -> tuple[int, ...]:
        """``[CLS] text [SEP]``, at most ``max_action_tokens``."""
        if text not in self._action_tokens:
            tokenizer, limit = self.tokenizer, min(self.config.max_action_tokens, self._max_positions)
            body = tokenizer.encode(text, add_special_tokens=False)[: limit - 2]
            self._action_tokens[text] = (tokenizer.cls_token_id, *body, tokenizer.sep_token_id)
        return self._action_tokens[text]

    def __call__(self, decisions: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Collates decisions; with ``action_index`` in every one of them, also ``labels``."""
        inputs = [self.read(decision) for decision in decisions]
        states: dict[tuple[int, ...], int] = {}
        actions: dict[tuple[int, ...], int] = {}
        state_index, action_rows = [], []
        for choice in inputs:
            state_index.append(states.setdefault(self.state_tokens(choice.instruction, choice.state), len(states)))
            action_rows.append([actions.setdefault(self.action_tokens(text), len(actions)) for text in choice.actions])
        width = max(map(len, action_rows))
        batch = {
            "state_index": torch.tensor(state_index),
            "action_index": torch.tensor([row + [0] * (width - len(row)) for row in action_rows]),
            "valid_mask": torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in action_rows]),
            "action_features": torch.zeros(len(inputs), width, len(self.config.action_features)),
        }
        batch["state_ids"], batch["state_mask"] = self._pad(list(states))
        batch["action_ids"], batch["action_mask"] = self._pad(list(actions))
        for row, choice in enumerate(inputs):
            if self.config.action_features:
                batch["action_features"][row, : len(choice.actions)] = torch.tensor(choice.features)
        if all("action_index" in decision for decision in decisions):
            batch["labels"] = torch.tensor([decision["action_index"] for decision in decisions])
        return batch

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token rows -> ids (rows, tokens) and the mask of real tokens (rows, tokens)."""
        width, padding = max(map(len, rows)), self.tokenizer.pad_token_id
        ids = torch.tensor([list(row) + [padding] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(width)[None] < lengths[:, None]

"""Decisions -> the tensors that the scorer reads."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from recrl.episodes.decisions import Decision, LabelledDecision
from recrl.scoring.batches import ChoiceBatch
from recrl.scoring.inputs import PAGE_MARKERS, ChoiceInput, Piece, ProductInputs, read_decision

KEPT_DECISIONS = 1 << 14


def product_tensors(inputs: Sequence[ProductInputs | None], num_actions: int) -> dict[str, torch.Tensor]:
    """The products of decisions, padded to the most of one: the tensors of `ChoiceBatch` by name; none without any.

    Args:
        inputs: of each decision; all or none are None.
        num_actions: slots of the batch.
    """
    products = [one for one in inputs if one is not None]
    if not products:
        return {}
    count = max(len(one.features) for one in products)
    features = torch.zeros(len(products), count, products[0].features.shape[1])
    mask = torch.zeros(len(products), count, dtype=torch.bool)
    steps = torch.zeros(len(products), count, 2)
    of_action = torch.full((len(products), num_actions), -1)
    for row, one in enumerate(products):
        size = len(one.features)
        features[row, :size], mask[row, :size] = torch.from_numpy(one.features), True
        steps[row, :size] = torch.from_numpy(one.steps)
        of_action[row, : len(one.of_action)] = torch.from_numpy(one.of_action)
    return {
        "product_features": features, "product_mask": mask, "product_steps": steps, "action_product": of_action
    }  # fmt: skip


class ChoiceCollator:
    """Turns decisions into the tensors of `recrl.scoring.model.BertForChoiceScoring`.

    Equal states and equal action texts of a batch become one row each. Token ids of texts are remembered, and so are
    the texts and numbers of collated decisions, so that epochs after the first read and tokenise nothing.

    Args:
        tokenizer: the encoder's, with the four page markers added.
        config: a `recrl.scoring.config.ChoiceScoringConfig`.
        max_kept: decisions of which texts and numbers are remembered, about 10 kB each; beyond them the longest unused
            are forgotten.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: Any, *, max_kept: int = KEPT_DECISIONS) -> None:
        self.tokenizer, self.config = tokenizer, config
        self._max_positions = config.max_positions
        self._state_tokens: dict[tuple[str, tuple[Piece, ...]], tuple[int, ...]] = {}
        self._markers: dict[str, Any] = {marker: tokenizer.convert_tokens_to_ids(marker) for marker in PAGE_MARKERS}
        self._action_tokens: dict[str, tuple[int, ...]] = {}
        self._max_kept = max_kept
        self._inputs: OrderedDict[Decision, ChoiceInput] = OrderedDict()

    def read(self, decision: Decision) -> ChoiceInput:
        """The texts and numbers of one decision."""
        config = self.config
        return read_decision(
            decision,
            state_form=config.state_form,
            action_features=config.action_features,
            match_features=config.match_features,
        )

    def _remembered(self, decision: Decision) -> ChoiceInput:
        """What `read` says, read once."""
        found = self._inputs.get(decision)
        if found is None:
            found = self._inputs[decision] = self.read(decision)
            if len(self._inputs) > self._max_kept:
                self._inputs.popitem(last=False)
        else:
            self._inputs.move_to_end(decision)
        return found

    def state_tokens(self, instruction: str, state: tuple[Piece, ...]) -> tuple[int, ...]:
        """``[CLS] instruction [SEP] state [SEP]``: at most ``max_state_tokens``, more only if the instruction needs it.

        The instruction is cut at the encoder's number of positions only.
        """
        key = (instruction, state)
        if key not in self._state_tokens:
            tokenizer, limit = self.tokenizer, min(self.config.max_state_tokens, self._max_positions)
            head = self._text_tokens(instruction)[: self._max_positions - 2]
            rest: list[int] = []
            for piece in state:
                rest += [self._markers[piece.text]] if piece.is_marker else self._text_tokens(piece.text)
            rest = rest[: max(0, limit - len(head) - 3)]
            tail = [*rest, tokenizer.sep_token_id] if rest else []
            self._state_tokens[key] = (tokenizer.cls_token_id, *head, tokenizer.sep_token_id, *tail)
        return self._state_tokens[key]

    def action_tokens(self, text: str) -> tuple[int, ...]:
        """``[CLS] text [SEP]``, at most ``max_action_tokens``."""
        if text not in self._action_tokens:
            tokenizer, limit = self.tokenizer, min(self.config.max_action_tokens, self._max_positions)
            body = self._text_tokens(text)[: limit - 2]
            self._action_tokens[text] = (tokenizer.cls_token_id, *body, tokenizer.sep_token_id)
        return self._action_tokens[text]

    def _text_tokens(self, text: str) -> list[int]:
        """The tokens of a text, in which nothing is a special token, whatever it spells."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def __call__(self, decisions: Sequence[Decision]) -> ChoiceBatch:
        """Collates decisions."""
        inputs = [self._remembered(decision) for decision in decisions]
        states: dict[tuple[int, ...], int] = {}
        actions: dict[tuple[int, ...], int] = {}
        state_index, action_rows = [], []
        for choice in inputs:
            state_index.append(states.setdefault(self.state_tokens(choice.instruction, choice.state), len(states)))
            action_rows.append([actions.setdefault(self.action_tokens(text), len(actions)) for text in choice.actions])
        width = max(map(len, action_rows))
        action_features = torch.zeros(len(inputs), width, len(self.config.action_features))
        for row, choice in enumerate(inputs):
            if self.config.action_features:
                action_features[row, : len(choice.actions)] = torch.from_numpy(choice.features)
        state_ids, state_mask = self._pad(list(states))
        action_ids, action_mask = self._pad(list(actions))
        return ChoiceBatch(
            state_ids=state_ids,
            state_mask=state_mask,
            action_ids=action_ids,
            action_mask=action_mask,
            state_index=torch.tensor(state_index),
            action_index=torch.tensor([row + [0] * (width - len(row)) for row in action_rows]),
            valid_mask=torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in action_rows]),
            action_features=action_features,
            steps_left=torch.tensor([choice.steps_left for choice in inputs]),
            **product_tensors([choice.products for choice in inputs], width),
        )

    def labelled(self, rows: Sequence[LabelledDecision]) -> ChoiceBatch:
        """Collates decisions with the actions that are right in each."""
        batch = self([row.decision for row in rows])
        return replace(batch, right_mask=right_mask(rows, batch.valid_mask.shape[1]))

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token rows -> ids (rows, tokens) and the mask of real tokens (rows, tokens)."""
        width, padding = max(map(len, rows)), self.tokenizer.pad_token_id
        ids = torch.tensor([list(row) + [padding] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(width)[None] < lengths[:, None]


def right_mask(rows: Sequence[LabelledDecision], width: int) -> torch.Tensor:
    """(decisions, width) True at the right actions."""
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, labelled in enumerate(rows):
        mask[row, list(labelled.right_actions)] = True
    return mask

"""Sums and softmaxes over texts of unequal lengths, without a loop and with little padding.

Texts lie one after the other in a flat matrix of tokens; `lengths` says where one ends. Shape words as in
`recrl.scoring.model`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

SHORTEST_GROUP = 8


def similar_lengths(lengths: torch.Tensor) -> Iterator[torch.Tensor]:
    """The places of lengths up to 8, of those up to 16, 32 ...: groups that can be padded with little waste.

    Args:
        lengths: (texts,) at least 1.

    Yields:
        (texts of the group,) ascending; every text is in one group, no group is empty.
    """
    longest, shortest, width = int(lengths.max()), 0, SHORTEST_GROUP
    while shortest < longest:
        chosen = ((lengths > shortest) & (lengths <= width)).nonzero()[:, 0]
        if len(chosen):
            yield chosen
        shortest, width = width, 2 * width


def ranges(starts: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(sum of lengths,): starts[0], starts[0] + 1, ... for lengths[0] numbers, then the same of the next."""
    first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    return torch.arange(len(first), device=starts.device) - first + starts.repeat_interleave(lengths)


def gather_rows(lengths: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the tokens of the texts ``index`` stand in the flat matrix, padded: rows and mask (decisions, tokens)."""
    starts = lengths.cumsum(0) - lengths
    offsets = torch.arange(int(lengths[index].max()), device=lengths.device)
    real = offsets[None] < lengths[index][:, None]
    return torch.where(real, starts[index][:, None] + offsets[None], 0), real


@dataclass(frozen=True, slots=True)
class PackedActions:
    """The tokens of each decision's actions, side by side.

    Attributes:
        token: (decisions, packed) rows of the flat token matrix.
        real: (decisions, packed) True where a token stands.
        slot: (decisions, packed) index on its page of the action whose token it is; None where every action is a single
            token, which then stands in its action's slot: packed is actions, and there is nothing to sum or to spread.
        num_slots: actions of a decision, at most.
    """

    token: torch.Tensor
    real: torch.Tensor
    slot: torch.Tensor | None
    num_slots: int

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """See `sum_by_slot`."""
        return values if self.slot is None else sum_by_slot(values, self.slot, self.num_slots)

    def spread(self, by_action: torch.Tensor) -> torch.Tensor:
        """(decisions, actions, hidden) -> (decisions, packed, hidden): each token gets what its action has."""
        if self.slot is None:
            return by_action
        return by_action.gather(1, self.slot.unsqueeze(-1).expand(-1, -1, by_action.shape[-1]))

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """See `softmax_by_slot`."""
        if self.slot is None:
            return self.real.to(logits.dtype)
        return softmax_by_slot(logits, self.slot, self.real, self.num_slots)


def pack_actions(
    lengths: torch.Tensor, action_index: torch.Tensor, valid_mask: torch.Tensor, *, single: bool = False
) -> PackedActions:
    """Puts the tokens of each decision's actions side by side.

    Args:
        lengths: (texts,) tokens of each text.
        action_index: (decisions, actions) texts; valid_mask: same shape, True at valid actions.
        single: whether every text is one token.
    """
    num_slots = action_index.shape[1]
    if single:
        return PackedActions(action_index, valid_mask, None, num_slots)
    starts = lengths.cumsum(0) - lengths
    sizes = torch.where(valid_mask, lengths[action_index], 0)  # (decisions, actions)
    totals = sizes.sum(1)  # (decisions,)
    real = torch.arange(int(totals.max()), device=lengths.device)[None] < totals[:, None]
    token, slot = (
        torch.zeros(real.shape, dtype=torch.long, device=lengths.device),
        torch.zeros_like(real, dtype=torch.long),
    )
    flat = sizes.flatten()
    token[real] = ranges(starts[action_index].flatten(), flat)
    columns = torch.arange(num_slots, device=lengths.device).expand_as(action_index)
    slot[real] = columns.flatten().repeat_interleave(flat)
    return PackedActions(token, real, slot, num_slots)


def sum_by_slot(values: torch.Tensor, slot: torch.Tensor, num_slots: int) -> torch.Tensor:
    """(decisions, packed, hidden) -> (decisions, actions, hidden); padding must hold zeros."""
    sums = values.new_zeros(values.shape[0], num_slots, values.shape[-1])
    return sums.scatter_add(1, slot.unsqueeze(-1).expand_as(values), values)


def softmax_by_slot(logits: torch.Tensor, slot: torch.Tensor, real: torch.Tensor, num_slots: int) -> torch.Tensor:
    """A softmax over the tokens of each action: (decisions, packed) -> (decisions, packed), 0 at padding."""
    lowest = torch.finfo(logits.dtype).min
    logits = logits.masked_fill(~real, lowest)
    top = logits.new_full((logits.shape[0], num_slots), lowest).scatter_reduce(1, slot, logits.detach(), "amax")
    exponentials = (logits - top.gather(1, slot)).exp() * real
    sums = sum_by_slot(exponentials.unsqueeze(-1), slot, num_slots).squeeze(-1)
    return exponentials / sums.gather(1, slot).clamp(min=torch.finfo(logits.dtype).tiny)

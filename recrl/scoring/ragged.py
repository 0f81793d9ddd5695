"""Sums and softmaxes over texts of unequal lengths, without a loop and with little padding.

Texts lie one after the other in a flat matrix of tokens; `lengths` says where one ends. Shape words as in
`recrl.scoring.model`.
"""

from collections.abc import Iterator

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


def pack_actions(
    lengths: torch.Tensor, action_index: torch.Tensor, valid_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Puts the tokens of each decision's actions side by side.

    Returns:
        token: (decisions, packed) rows of the flat token matrix; slot: (decisions, packed) index of the action on its
        page; real: (decisions, packed) True where a token stands.
    """
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
    columns = torch.arange(action_index.shape[1], device=lengths.device).expand_as(action_index)
    slot[real] = columns.flatten().repeat_interleave(flat)
    return token, slot, real


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

"""The loss of decisions on which one or more actions are right, as pure functions of log-probabilities."""

import torch
from torch.nn import functional as F


def right_action_loss(log_probs: torch.Tensor, right_mask: torch.Tensor) -> torch.Tensor:
    """The mean over decisions of -log of the summed probability of the right actions, a scalar.

    How the probability is divided among them is left open. With one right action everywhere it is the cross-entropy,
    bit for bit.

    Args:
        log_probs: (decisions, actions), -inf where there is no action; right_mask: same shape, True at right actions,
            at least one a decision.
    """
    right = log_probs.masked_fill(~right_mask, -torch.inf).logsumexp(-1)  # (decisions,)
    # Summed up by the same function as cross-entropies are: another order of the sum would change the last bits.
    return F.nll_loss(right[:, None], torch.zeros_like(right, dtype=torch.long))


def best_is_right(log_probs: torch.Tensor, right_mask: torch.Tensor) -> torch.Tensor:
    """(decisions,) bool, whether the most probable action is a right one; shapes as in `right_action_loss`."""
    return right_mask.gather(-1, log_probs.argmax(-1, keepdim=True))[:, 0]

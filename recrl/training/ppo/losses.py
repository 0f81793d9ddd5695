"""The terms of PPO's loss, one number for each decision; pure functions on tensors.

Log-probabilities over a page's actions are (decisions, actions), -inf where there is no action.
"""

import torch


def clipped_policy_loss(
    log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, clip_range: float
) -> torch.Tensor:
    """The clipped surrogate objective (arXiv:1707.06347, Eq. 7), negated.

    Args:
        log_probs, old_log_probs, advantages: (decisions,) of the actions that were taken.

    Returns:
        (decisions,)
    """
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clipped_value_loss(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip_range: float | None
) -> torch.Tensor:
    """Half the squared error of the values, the larger of it and that of values clipped around the old ones.

    The clip is that of the PPO reference implementation (openai/baselines, ppo2); the paper has none.

    Args:
        values, old_values, returns: (decisions,); clip_range: None for no clip.

    Returns:
        (decisions,)
    """
    errors = (values - returns).square()
    if clip_range is not None:
        clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
        errors = torch.maximum(errors, (clipped - returns).square())
    return 0.5 * errors


def entropies(log_probs: torch.Tensor) -> torch.Tensor:
    """(decisions, actions) log-probabilities -> (decisions,) entropies in nats."""
    there = log_probs.isfinite()
    finite = log_probs.masked_fill(~there, 0.0)
    return -(finite.exp() * finite * there).sum(-1)


def relative_entropies(log_probs: torch.Tensor) -> torch.Tensor:
    """(decisions, actions) log-probabilities -> (decisions,) entropies divided by log(actions): 1 is uniform."""
    most = log_probs.isfinite().sum(-1).clamp(min=2).float().log()
    return entropies(log_probs) / most


def categorical_kl(log_probs: torch.Tensor, other_log_probs: torch.Tensor) -> torch.Tensor:
    """The exact KL(p || q) over each page's actions.

    Args:
        log_probs: (decisions, actions) of p; other_log_probs: of q, finite where p's are.

    Returns:
        (decisions,) in nats.
    """
    there = log_probs.isfinite()
    finite = log_probs.masked_fill(~there, 0.0)
    difference = finite - other_log_probs.masked_fill(~there, 0.0)
    return (finite.exp() * difference * there).sum(-1)

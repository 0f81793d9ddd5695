"""An update: several passes over the collected steps in minibatches, each a loss and a step of the optimiser.

The first ``value_warmup`` updates fit the values to the returns and nothing else: only the value head moves
(`_take_step`), ``value_warmup_passes`` times over the steps, and its loss is not clipped. The clip holds values near
those of the collection, which here are those of a head that knows nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import gather_object

from recrl.scoring.losses import right_action_loss
from recrl.training.ppo.advantages import explained_variance
from recrl.training.ppo.buffer import Minibatch, RolloutBuffer
from recrl.training.ppo.config import PPOConfig
from recrl.training.ppo.losses import (
    categorical_kl,
    clipped_policy_loss,
    clipped_value_loss,
    entropies,
    relative_entropies,
)
from recrl.training.ppo.metrics import METRICS
from recrl.training.ppo.state import PPOState


def update_model(state: PPOState, buffer: RolloutBuffer) -> dict[str, float]:
    """Passes over the collected steps until all are made, or until the policy has moved ``target_kl``.

    Returns:
        what the log says of the update: means over the last pass's minibatches and all processes.
    """
    config, passes, ratio_first = state.config, 0, 1.0
    wanted = config.value_warmup_passes if is_warming_up(state) else config.num_passes
    means: dict[str, float] = {}
    while passes < wanted:
        metrics = [_learn(state, minibatch) for minibatch in _minibatches(state, buffer, passes)]
        if passes == 0:
            ratio_first = metrics[0]["policy/ratio"]
        passes += 1
        local = {name: float(np.mean([one[name] for one in metrics])) for name in metrics[0]}
        gathered = gather_object([local | {"policy/ratio_first": ratio_first}])
        means = {name: float(np.mean([one[name] for one in gathered])) for name in gathered[0]}
        if config.target_kl is not None and means["policy/kl_old"] > config.target_kl:
            break
    returns, values = (np.concatenate(gather_object([part.ravel()])) for part in (buffer.returns, buffer.values))
    return {name: value for name, value in means.items() if name in METRICS} | {
        "policy/passes": passes,
        "value/explained_variance": explained_variance(values, returns),
        "value/mean": float(values.mean()),
        "value/return": float(returns.mean()),
    }


def is_warming_up(state: PPOState) -> bool:
    """Whether the update under way fits the values only."""
    return state.update <= state.config.value_warmup


def _minibatches(state: PPOState, buffer: RolloutBuffer, passes: int) -> Iterator[Minibatch]:
    """The minibatches of one pass, each with demonstrations if there are any.

    Steps are shuffled by environment and demonstrations drawn alike on every process, of which each takes its part, so
    that several processes learn from what one would with all their environments.
    """
    config, accelerator = state.config, state.accelerator
    orders = [
        np.random.default_rng([config.seed, number, state.update, passes, 3]).permutation(config.num_steps)
        for number in state.env_numbers
    ]
    for places in buffer.places(config.num_minibatches, orders):
        drawn: list[int] = []
        if state.demonstrations:
            size = config.demonstration_batch_size * accelerator.num_processes
            draw = state.demonstration_rng.choice(len(state.demonstrations), size)
            drawn = draw[accelerator.process_index :: accelerator.num_processes].tolist()
        shown = [state.demonstrations[row] for row in drawn]
        yield buffer.minibatch(places, state.policy.collator, shown).to(accelerator.device)


def _learn(state: PPOState, minibatch: Minibatch) -> dict[str, float]:
    """Learns from one minibatch; returns what the log says of it."""
    output = state.model(**minibatch.inputs.tensors())
    # Divided by the mean number of choices on a process, so that the average of the processes' gradients is the
    # gradient of the mean over all.
    total = state.accelerator.reduce(minibatch.is_choice.sum().float(), "sum")
    num_choices = total.clamp(min=1) / state.accelerator.num_processes
    loss = minibatch_loss(
        minibatch,
        output.log_probs,
        output.state_values,
        num_choices,
        state.config,
        clip_values=not is_warming_up(state),
    )
    return loss.metrics | {"train/gradient_norm": _take_step(state, loss)}


@dataclass(frozen=True, eq=False)
class MinibatchLoss:
    """The loss of a minibatch in its two parts, scalars that are minimised together.

    Attributes:
        policy: the clipped surrogate, entropy, KL to the start and imitation, weighted.
        value: the loss of the values, weighted.
        metrics: what the log says, and ``policy/ratio``, the mean probability ratio.
    """

    policy: torch.Tensor
    value: torch.Tensor
    metrics: dict[str, float]


def minibatch_loss(
    minibatch: Minibatch,
    log_probs: torch.Tensor,
    state_values: torch.Tensor,
    num_choices: torch.Tensor,
    config: PPOConfig,
    *,
    clip_values: bool = True,
) -> MinibatchLoss:
    """The loss of a minibatch; pages without a choice teach the values only.

    Args:
        log_probs: (decisions + demonstrations, actions) what the model says of ``minibatch.inputs``; state_values:
            (decisions + demonstrations,) likewise.
        num_choices: a scalar by which sums over pages with a choice are divided.
        clip_values: whether ``value_clip_range`` holds the values near the old ones.
    """
    count, taken = len(minibatch.action_index), minibatch.action_index[:, None]
    new = log_probs[:count]  # (decisions, actions)
    new_taken, old_taken = (every.gather(1, taken)[:, 0] for every in (new, minibatch.old_log_probs))

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (values * minibatch.is_choice).sum() / num_choices

    surrogate = mean(clipped_policy_loss(new_taken, old_taken, minibatch.advantages, config.clip_range))
    policy = surrogate - config.entropy_coef * mean(entropies(new))
    kl_reference = imitation = torch.zeros((), device=log_probs.device)
    if minibatch.reference_log_probs is not None:
        kl_reference = mean(categorical_kl(new, minibatch.reference_log_probs))
        policy = policy + config.kl_coef * kl_reference
    if len(minibatch.demonstrated_mask):
        imitation = right_action_loss(log_probs[count:], minibatch.demonstrated_mask)
        policy = policy + config.imitation_coef * imitation
    clip_range = config.value_clip_range if clip_values else None
    value = clipped_value_loss(state_values[:count], minibatch.old_values, minibatch.returns, clip_range).mean()
    with torch.no_grad():
        ratio = (new_taken - old_taken).exp()
        metrics = {
            "policy/ratio": mean(ratio),
            "policy/clip_fraction": mean(((ratio - 1).abs() > config.clip_range).float()),
            "policy/kl_old": mean(categorical_kl(minibatch.old_log_probs, new)),
            "policy/kl_reference": kl_reference,
            "policy/entropy": mean(relative_entropies(new)),
            "loss/policy": surrogate,
            "loss/value": value,
            "loss/imitation": imitation,
        }
    numbers = {name: float(number.detach()) for name, number in metrics.items()}
    return MinibatchLoss(policy, config.value_coef * value, numbers)


def _take_step(state: PPOState, loss: MinibatchLoss) -> float:
    """One step of the optimiser; returns the norm of the gradients before they are clipped.

    During the warm-up only the value head moves, neither the policy's heads nor the encoder. The policy's loss then
    weighs nothing but is not left out: every process must have a gradient of every parameter. A gradient of zero would
    not do either, because the optimiser moves by what it remembers.
    """
    warming_up = is_warming_up(state)
    state.accelerator.backward(0.0 * loss.policy + loss.value if warming_up else loss.policy + loss.value)
    if warming_up:
        for name, parameter in state.model.named_parameters():
            if "value_head" not in name:
                parameter.grad = None
    norm = state.accelerator.clip_grad_norm_(state.model.parameters(), state.config.max_grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad()
    return float(norm)

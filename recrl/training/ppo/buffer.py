"""What PPO learns from: the steps of environments side by side, filled by a `Collector`, read in minibatches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from recrl.episodes.decisions import Decision, LabelledDecision
from recrl.errors import ConfigError
from recrl.scoring.batches import ChoiceBatch
from recrl.scoring.collator import ChoiceCollator, right_mask
from recrl.training.ppo.advantages import generalized_advantages, goal_baselines


@dataclass(frozen=True, eq=False)
class Minibatch:
    """Some of the collected steps, and demonstrated decisions beside them, as the tensors of one loss.

    Attributes:
        inputs: what the model reads: the decisions of the steps, then the demonstrated ones. ``actions`` below is the
            largest number of actions on any of these pages.
        action_index: (decisions,) of the action that was taken.
        is_choice: (decisions,) bool, True where the page had more than one action.
        old_log_probs: (decisions, actions) under the policy that collected, -inf where there is no action.
        reference_log_probs: (decisions, actions) the same under the reference policy, None without one.
        advantages, returns, old_values: (decisions,).
        demonstrated_mask: (demonstrations, actions) True at the actions that are right there.
    """

    inputs: ChoiceBatch
    action_index: torch.Tensor
    is_choice: torch.Tensor
    old_log_probs: torch.Tensor
    reference_log_probs: torch.Tensor | None
    advantages: torch.Tensor
    returns: torch.Tensor
    old_values: torch.Tensor
    demonstrated_mask: torch.Tensor

    def to(self, device: torch.device | str) -> "Minibatch":
        """The same minibatch with all its tensors on a device."""
        tensors = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "inputs"}
        return replace(
            self,
            inputs=self.inputs.to(device),
            **{name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None},
        )


@dataclass(eq=False)
class RolloutBuffer:
    """The steps of one collection, in the order in which they were made.

    Attributes:
        decisions: [steps][envs] what the policy saw.
        page_log_probs: [steps][envs] (actions,) of every action under the policy that collected.
        reference_log_probs: the same under the reference policy, empty without one.
        action_index, values, rewards, next_values: (steps, envs) see `recrl.training.ppo.advantages`.
        terminated, truncated: (steps, envs) bool.
        goals: (steps, envs) the goal that is played; begins: (steps, envs) bool, True at an episode's first step.
        advantages, returns: (steps, envs), after `finish`.
    """

    decisions: list[list[Decision]]
    page_log_probs: list[list[np.ndarray]]
    reference_log_probs: list[list[np.ndarray]]
    action_index: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    next_values: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    goals: np.ndarray
    begins: np.ndarray
    advantages: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    returns: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def empty(cls, num_steps: int, num_envs: int) -> "RolloutBuffer":
        """A buffer of that shape, to be filled step by step."""
        numbers = {name: np.zeros((num_steps, num_envs)) for name in ("values", "rewards", "next_values")}
        flags = {name: np.zeros((num_steps, num_envs), bool) for name in ("terminated", "truncated", "begins")}
        places = {name: np.zeros((num_steps, num_envs), np.int64) for name in ("action_index", "goals")}
        return cls([], [], [], **places, **numbers, **flags)

    def finish(self, gamma: float, gae_lambda: float, envs_per_goal: int = 1) -> None:
        """Computes advantages and returns.

        Args:
            envs_per_goal: environments that play the same goals, see `recrl.training.ppo.advantages.goal_baselines`.
        """
        self.advantages = generalized_advantages(
            self.rewards, self.values, self.next_values, self.terminated, self.truncated,
            gamma=gamma, gae_lambda=gae_lambda,
        )  # fmt: skip
        self.returns = self.advantages + self.values
        if envs_per_goal > 1:
            self.advantages = self.advantages - goal_baselines(self.advantages, self.begins, self.goals, envs_per_goal)

    @property
    def is_choice(self) -> np.ndarray:
        """(steps, envs) whether there was more than one action."""
        return np.array([[len(decision.valid_actions) > 1 for decision in step] for step in self.decisions])

    def places(self, num_minibatches: int, orders: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Divides the steps into minibatches; yields of each the (decisions, 2) places of step and environment.

        Every minibatch holds equally many steps of every environment, so that environments on several processes make
        the same minibatches as those environments on one.

        Args:
            orders: for each environment a permutation of the steps.

        Raises:
            ConfigError: the steps cannot be divided so.
        """
        num_steps = len(self.decisions)
        if num_steps % num_minibatches:
            raise ConfigError(
                f"num_steps={num_steps} cannot be divided into num_minibatches={num_minibatches} of equal size"
            )
        size = num_steps // num_minibatches
        for start in range(0, num_steps, size):
            yield np.array([(step, env) for env, order in enumerate(orders) for step in order[start : start + size]])

    def minibatch(
        self, places: np.ndarray, collator: ChoiceCollator, demonstrations: Sequence[LabelledDecision] = ()
    ) -> Minibatch:
        """The steps at some places, after `finish`.

        Args:
            places: (decisions, 2) steps and environments.
            demonstrations: demonstrated decisions, which go through the model together with them.
        """
        decisions = [self.decisions[step][env] for step, env in places]
        inputs = collator([*decisions, *(one.decision for one in demonstrations)])
        width = inputs.valid_mask.shape[1]
        at = tuple(places.T)

        def numbers(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(values[at], dtype=torch.float32)

        def pages(log_probs: list[list[np.ndarray]]) -> torch.Tensor:
            return pad_log_probs([log_probs[step][env] for step, env in places], width)

        return Minibatch(
            inputs=inputs,
            action_index=torch.as_tensor(self.action_index[at]),
            is_choice=torch.tensor([len(decision.valid_actions) > 1 for decision in decisions]),
            old_log_probs=pages(self.page_log_probs),
            reference_log_probs=pages(self.reference_log_probs) if self.reference_log_probs else None,
            advantages=numbers(self.advantages),
            returns=numbers(self.returns),
            old_values=numbers(self.values),
            demonstrated_mask=right_mask(demonstrations, width),
        )


def pad_log_probs(rows: Sequence[np.ndarray], width: int) -> torch.Tensor:
    """(actions,) arrays of unequal lengths -> (rows, width) float32, -inf where a row has ended."""
    matrix = torch.full((len(rows), width), -torch.inf)
    for row, values in enumerate(rows):
        matrix[row, : len(values)] = torch.as_tensor(values)
    return matrix

"""What PPO learns from: the steps of environments side by side, filled by a `Collector`, read in minibatches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from recrl.errors import ConfigError
from recrl.policies.base import Decision, sample
from recrl.training.ppo.advantages import generalized_advantages

PAGE = ("observation", "valid_actions", "previous_actions")  # what the scorer reads of a decision
PageOutputs = Callable[[Sequence[Decision]], Sequence[tuple[np.ndarray, float]]]  # (actions,) log-probabilities, value


@dataclass(eq=False)
class RolloutBuffer:
    """The steps of one collection, in the order in which they were made.

    Attributes:
        decisions: [steps][envs] what the scorer read: ``observation``, ``valid_actions``, ``previous_actions``.
        page_log_probs: [steps][envs] (actions,) of every action under the policy that collected.
        reference_log_probs: the same under the reference policy, empty without one.
        action_index, log_probs, values, rewards, next_values: (steps, envs) see `recrl.training.ppo.advantages`.
        terminated, truncated: (steps, envs) bool.
        advantages, returns: (steps, envs), after `finish`.
    """

    decisions: list[list[Mapping[str, Any]]]
    page_log_probs: list[list[np.ndarray]]
    reference_log_probs: list[list[np.ndarray]]
    action_index: np.ndarray
    log_probs: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    next_values: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    advantages: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    returns: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def empty(cls, num_steps: int, num_envs: int) -> "RolloutBuffer":
        """A buffer of that shape, to be filled step by step."""
        numbers = {name: np.zeros((num_steps, num_envs)) for name in ("log_probs", "values", "rewards", "next_values")}
        flags = {name: np.zeros((num_steps, num_envs), bool) for name in ("terminated", "truncated")}
        return cls([], [], [], np.zeros((num_steps, num_envs), np.int64), **numbers, **flags)

    def finish(self, gamma: float, gae_lambda: float) -> None:
        """Computes advantages and returns."""
        self.advantages = generalized_advantages(
            self.rewards, self.values, self.next_values, self.terminated, self.truncated,
            gamma=gamma, gae_lambda=gae_lambda,
        )  # fmt: skip
        self.returns = self.advantages + self.values

    @property
    def is_choice(self) -> np.ndarray:
        """(steps, envs) whether there was more than one action."""
        return np.array([[len(page["valid_actions"]) > 1 for page in step] for step in self.decisions])

    def minibatches(self, num_minibatches: int, orders: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields each minibatch as (decisions, 2) places of step and environment.

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


class Env(Protocol):
    """What a `Collector` needs of an environment; `recrl.webshop.env.WebShopEnv` has it.

    ``info`` holds ``instruction``, ``valid_actions``, and after an invalid action ``invalid_action``; after a purchase
    ``reward_parts``. ``reset(options={"goal_index": i})`` starts goal i; an episode is a function of it and the
    actions.
    """

    goal_index: int

    @property
    def np_random(self) -> np.random.Generator: ...
    def reset(self, *, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]: ...
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]: ...


@dataclass
class FinishedEpisode:
    """What the log says of an episode that ended during a collection."""

    reward: float
    num_steps: int
    truncated: bool
    num_invalid: int
    reward_parts: dict[str, float]


class Collector:
    """Plays environments side by side; where one ends, it is reset, and goes on in the next collection.

    Args:
        envs: already seeded.
        rngs: one generator for each environment's actions.
        reward_scale: rewards are multiplied by it for learning, not in `FinishedEpisode`.
    """

    def __init__(self, envs: Sequence[Env], rngs: Sequence[np.random.Generator], *, reward_scale: float = 1.0) -> None:
        self.envs, self.rngs, self.reward_scale = list(envs), list(rngs), reward_scale
        self.pages = [env.reset() for env in self.envs]  # observation and info of each
        self.actions: list[list[str]] = [[] for _ in self.envs]  # of the running episodes
        self.invalid = [0] * len(self.envs)

    def state(self) -> list[dict[str, Any]]:
        """What `restore` needs to go on from here, as JSON values: each environment's goal, actions and generators."""
        return [
            {
                "goal_index": env.goal_index,
                "actions": list(actions),
                "env_generator": env.np_random.bit_generator.state,
                "generator": rng.bit_generator.state,
            }
            for env, actions, rng in zip(self.envs, self.actions, self.rngs, strict=True)
        ]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Plays every environment's running episode again up to where `state` saw it."""
        for number, (env, rng, state) in enumerate(zip(self.envs, self.rngs, states, strict=True)):
            page = env.reset(options={"goal_index": state["goal_index"]})
            self.invalid[number] = 0
            for action in state["actions"]:
                observation, _, _, _, info = env.step(action)
                self.invalid[number] += "invalid_action" in info
                page = observation, info
            self.pages[number], self.actions[number] = page, list(state["actions"])
            env.np_random.bit_generator.state = state["env_generator"]
            rng.bit_generator.state = state["generator"]

    def decision(self, env: int) -> Decision:
        observation, info = self.pages[env]
        return Decision(observation, info["instruction"], info["valid_actions"], tuple(self.actions[env]))

    def collect(
        self, num_steps: int, outputs: PageOutputs, reference: PageOutputs | None = None
    ) -> tuple[RolloutBuffer, list[FinishedEpisode]]:
        """Makes ``num_steps`` steps in every environment, actions sampled from the policy.

        Args:
            outputs: of the policy; reference: of the reference policy.
        """
        count = len(self.envs)
        buffer, finished = RolloutBuffer.empty(num_steps, count), []
        for step in range(num_steps):
            decisions = [self.decision(env) for env in range(count)]
            found = outputs(decisions)
            buffer.decisions.append([{name: getattr(decision, name) for name in PAGE} for decision in decisions])
            buffer.page_log_probs.append([log_probs for log_probs, _ in found])
            if reference is not None:
                buffer.reference_log_probs.append([log_probs for log_probs, _ in reference(decisions)])
            if step:
                running = ~(buffer.terminated[step - 1] | buffer.truncated[step - 1])
                buffer.next_values[step - 1, running] = [found[env][1] for env in np.flatnonzero(running).tolist()]
            cut: list[tuple[int, Decision]] = []  # where the step limit came, and the page there
            for env, (log_probs, value) in enumerate(found):
                action = sample(log_probs, self.rngs[env])
                buffer.action_index[step, env], buffer.log_probs[step, env] = action, log_probs[action]
                buffer.values[step, env] = value
                text = decisions[env].valid_actions[action]
                observation, reward, terminated, truncated, info = self.envs[env].step(text)
                buffer.rewards[step, env] = reward * self.reward_scale
                buffer.terminated[step, env], buffer.truncated[step, env] = terminated, truncated
                self.pages[env] = observation, info
                self.actions[env].append(text)
                self.invalid[env] += "invalid_action" in info
                if truncated and not terminated:
                    cut.append((env, self.decision(env)))
                if terminated or truncated:
                    parts = {name: float(part) for name, part in info.get("reward_parts", {}).items()}
                    length = len(self.actions[env])
                    finished.append(FinishedEpisode(float(reward), length, not terminated, self.invalid[env], parts))
                    self.pages[env], self.actions[env], self.invalid[env] = self.envs[env].reset(), [], 0
            if cut:
                for (env, _), (_, value) in zip(cut, outputs([page for _, page in cut]), strict=True):
                    buffer.next_values[step, env] = value
        running = ~(buffer.terminated[-1] | buffer.truncated[-1])
        last = outputs([self.decision(env) for env in np.flatnonzero(running).tolist()])
        buffer.next_values[-1, running] = [value for _, value in last]
        return buffer, finished

"""Plays environments side by side and fills a `RolloutBuffer` with their steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recrl.environments.protocols import Environment
from recrl.episodes.decisions import Decision
from recrl.episodes.notes import Notes
from recrl.policies.base import sample
from recrl.training.ppo.buffer import RolloutBuffer

PageOutputs = Callable[[Sequence[Decision]], Sequence[tuple[np.ndarray, float]]]  # (actions,) log-probabilities, value


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
        bootstrap_at_limit: whether the page at which the step limit cut an episode off has a value. The limit belongs
            to the task, in evaluation nothing comes after it, so it has none by default.
    """

    def __init__(
        self,
        envs: Sequence[Environment],
        rngs: Sequence[np.random.Generator],
        *,
        reward_scale: float = 1.0,
        bootstrap_at_limit: bool = False,
    ) -> None:
        self.envs, self.rngs, self.reward_scale = list(envs), list(rngs), reward_scale
        self.bootstrap_at_limit = bootstrap_at_limit
        self.pages = [env.reset() for env in self.envs]  # observation and info of each
        self.actions: list[list[str]] = [[] for _ in self.envs]  # of the running episodes
        self.notes = [Notes.first(info["page"]) for _, info in self.pages]  # of the running episodes
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
            self._begin(number, env.reset(options={"goal_index": state["goal_index"]}))
            for action in state["actions"]:
                observation, _, _, _, info = env.step(action)
                self._go_on(number, action, (observation, info))
            env.np_random.bit_generator.state = state["env_generator"]
            rng.bit_generator.state = state["generator"]

    def _begin(self, env: int, page: tuple[str, dict[str, Any]]) -> None:
        self.pages[env], self.actions[env], self.invalid[env] = page, [], 0
        self.notes[env] = Notes.first(page[1]["page"])

    def _go_on(self, env: int, action: str, page: tuple[str, dict[str, Any]]) -> None:
        self.notes[env] = self.notes[env].after(self.pages[env][1]["page"], action, page[1]["page"])
        self.pages[env] = page
        self.actions[env].append(action)
        self.invalid[env] += "invalid_action" in page[1]

    def decision(self, env: int) -> Decision:
        """What the policy sees in an environment now; no steps are left on the page at which an episode was cut off."""
        observation, info = self.pages[env]
        taken = self.actions[env]
        return Decision(
            observation=observation,
            page=info["page"],
            valid_actions=info["valid_actions"],
            previous_actions=tuple(taken),
            steps_left=self.envs[env].max_steps - len(taken),
            notes=self.notes[env],
        )

    def collect(
        self, num_steps: int, outputs: PageOutputs, reference: PageOutputs | None = None
    ) -> tuple[RolloutBuffer, list[FinishedEpisode]]:
        """Makes ``num_steps`` steps in every environment, actions sampled from the policy.

        Args:
            outputs: of the policy; reference: of the reference policy.

        Returns:
            the steps, and the episodes that ended among them.
        """
        count = len(self.envs)
        buffer, finished = RolloutBuffer.empty(num_steps, count), []
        for step in range(num_steps):
            decisions = [self.decision(env) for env in range(count)]
            found = outputs(decisions)
            buffer.decisions.append(decisions)
            buffer.page_log_probs.append([log_probs for log_probs, _ in found])
            if reference is not None:
                buffer.reference_log_probs.append([log_probs for log_probs, _ in reference(decisions)])
            if step:
                running = ~(buffer.terminated[step - 1] | buffer.truncated[step - 1])
                buffer.next_values[step - 1, running] = [found[env][1] for env in np.flatnonzero(running).tolist()]
            cut: list[tuple[int, Decision]] = []  # where the step limit came, and the page there
            for env, (log_probs, value) in enumerate(found):
                buffer.goals[step, env], buffer.begins[step, env] = self.envs[env].goal_index, not self.actions[env]
                action = sample(log_probs, self.rngs[env])
                buffer.action_index[step, env], buffer.values[step, env] = action, value
                text = decisions[env].valid_actions[action]
                observation, reward, terminated, truncated, info = self.envs[env].step(text)
                buffer.rewards[step, env] = reward * self.reward_scale
                buffer.terminated[step, env], buffer.truncated[step, env] = terminated, truncated
                self._go_on(env, text, (observation, info))
                if truncated and not terminated and self.bootstrap_at_limit:
                    cut.append((env, self.decision(env)))
                if terminated or truncated:
                    finished.append(self._finished(env, reward, truncated=not terminated))
                    self._begin(env, self.envs[env].reset())
            if cut:
                for (env, _), (_, value) in zip(cut, outputs([page for _, page in cut]), strict=True):
                    buffer.next_values[step, env] = value
        running = ~(buffer.terminated[-1] | buffer.truncated[-1])
        last = outputs([self.decision(env) for env in np.flatnonzero(running).tolist()])
        buffer.next_values[-1, running] = [value for _, value in last]
        return buffer, finished

    def _finished(self, env: int, reward: float, *, truncated: bool) -> FinishedEpisode:
        """The running episode of an environment, which has just ended with that reward."""
        parts = {name: float(part) for name, part in self.pages[env][1].get("reward_parts", {}).items()}
        return FinishedEpisode(float(reward), len(self.actions[env]), truncated, self.invalid[env], parts)

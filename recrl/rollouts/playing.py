"""An episode while it is played: what is known at each step, and what is kept of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recrl.environments.protocols import Environment
from recrl.episodes.data import Episode, Step
from recrl.episodes.decisions import Decision
from recrl.episodes.notes import Notes
from recrl.policies.base import Choice

PROBABILITY_DIGITS = 6  # of the probabilities that are kept, unless they are kept exactly


@dataclass
class Playing:
    """An episode that is being played.

    Attributes:
        number: of the episode; rng: its generator.
        env: where it is played, just reset or stepped; observation, info: what it gave last.
        exact_probabilities: whether those of a step's valid actions are kept as they are; else they are rounded.
        steps, actions: what was done so far; notes: what was seen; memory: the policy's own.
        num_taken: actions so far, with those that changed nothing; terminated: whether the last one ended the task.
    """

    number: int
    env: Environment
    rng: np.random.Generator
    observation: str
    info: dict[str, Any]
    exact_probabilities: bool = False
    steps: list[Step] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    notes: Notes = field(init=False)
    memory: dict[Any, Any] = field(default_factory=dict)
    num_taken: int = 0
    terminated: bool = False

    def __post_init__(self) -> None:
        self.notes = Notes.first(self.info["page"])

    def decision(self, *, with_env: bool = False) -> Decision:
        """What is known at this step."""
        return Decision(
            observation=self.observation,
            page=self.info["page"],
            valid_actions=self.info["valid_actions"],
            previous_actions=tuple(self.actions),
            steps_left=self.env.max_steps - self.num_taken,
            notes=self.notes,
            memory=self.memory,
            env=self.env if with_env else None,
        )

    def add(
        self,
        decision: Decision,
        choice: Choice,
        observation: str,
        reward: float,
        info: dict[str, Any],
        *,
        terminated: bool,
    ) -> None:
        """Keeps a step: what was decided, and what the environment answered to it."""
        written = () if choice.text is None else (choice.text,)
        valid_actions = (*decision.valid_actions, *written)
        action_index = len(valid_actions) - 1 if written else choice.action_index
        probabilities = choice.probabilities
        if not self.exact_probabilities:
            probabilities = tuple(round(probability, PROBABILITY_DIGITS) for probability in probabilities)
        self.steps.append(
            Step(
                decision.observation,
                decision.page,
                valid_actions,
                decision.steps_left,
                action_index,
                choice.log_prob,
                float(reward),
                choice.right_actions,
                probabilities,
                choice.value,
                bool(written),
                "invalid_action" not in info,
            )
        )
        action = valid_actions[action_index]
        self.actions.append(action)
        self.notes = self.notes.after(decision.page, action, info["page"])
        self.observation, self.info, self.terminated = observation, info, terminated
        self.num_taken += 1

    def pass_over(self, info: dict[str, Any]) -> None:
        """Counts an action that changed nothing, which is not kept."""
        self.info = info
        self.num_taken += 1

    def finish(self, policy: str, protocol: str, seed: int) -> Episode:
        """The episode, which has ended."""
        info, reward = self.info, self.steps[-1].reward
        return Episode(
            goal_index=info["goal_index"],
            instruction=info["instruction"],
            protocol=protocol,
            catalog_sha256=info["catalog_sha256"],
            goals_sha256=info["goals_sha256"],
            policy=policy,
            seed=seed,
            steps=tuple(self.steps),
            reward=reward,
            success=reward == 1.0,
            terminated=self.terminated,
            truncated=not self.terminated,
            reward_parts=dict(info.get("reward_parts", {})),
            target_asin=self.env.target,
            bought_asin=info.get("bought_asin"),
            bought_options=dict(info.get("bought_options", {})),
        )

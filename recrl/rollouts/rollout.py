"""Rolling out a policy: many episodes side by side, their pages scored together, their results in order.

The result does not depend on the number of environments: each episode has a generator of its own, made from the seed
and the episode's number, and the episodes are yielded in the order of their goals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recrl.environments.protocols import Environment, Queries, Task
from recrl.environments.webshop import as_task
from recrl.episodes.data import Episode, Step
from recrl.episodes.decisions import Decision, check_probabilities, check_right_actions
from recrl.episodes.notes import Notes
from recrl.errors import DatasetError, PolicyError
from recrl.policies.base import Choice, Policy, knows_goal
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import DEFAULT_SPLIT_BY


@dataclass
class _Running:
    """An episode that is being played."""

    number: int
    env: Environment
    rng: np.random.Generator
    observation: str
    info: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    notes: Notes = field(init=False)
    memory: dict[Any, Any] = field(default_factory=dict)
    terminated: bool = False  # by its last step

    def __post_init__(self) -> None:
        self.notes = Notes.first(self.info["page"])

    def decision(self, *, with_env: bool) -> Decision:
        return Decision(
            observation=self.observation,
            page=self.info["page"],
            valid_actions=self.info["valid_actions"],
            previous_actions=tuple(self.actions),
            steps_left=self.env.max_steps - len(self.steps),
            notes=self.notes,
            memory=self.memory,
            env=self.env if with_env else None,
        )


def rollout(
    policy: Policy,
    catalog: Catalog | Task,
    goal_indices: Iterable[int],
    *,
    seed: int,
    split_by: str = DEFAULT_SPLIT_BY,
    batch_size: int = 16,
    max_steps: int = 15,
    greedy: bool = False,
    first_number: int = 0,
    queries: Queries | None = None,
) -> Iterator[Episode]:
    """Plays one episode per goal and yields them in the order of the goals.

    Args:
        catalog: what is played: a catalogue, or another `recrl.environments.protocols.Task`.
        goal_indices: of the catalogue's goals; read as they are needed, so it may be endless.
        seed: with an episode's number it makes the episode's generator.
        split_by: names the protocol that the episodes record.
        batch_size: environments side by side.
        max_steps: the step limit.
        greedy: the best action instead of a sample.
        first_number: the number of the first episode; a later collection that goes on from there equals one that was
            never interrupted.
        queries: proposes search queries, as `recrl.webshop.env.WebShopEnv` takes them.

    Raises:
        PolicyError: the policy gave too few or too many choices, or a setting is out of range.
    """
    if batch_size < 1 or max_steps < 1:
        raise PolicyError(f"batch_size={batch_size} and max_steps={max_steps}, expected at least 1 of each")
    if seed < 0:
        raise PolicyError(f"seed={seed}, expected a whole number of at least 0")
    goals, task = enumerate(goal_indices, start=first_number), as_task(catalog)
    idle = [task.make_env(max_steps=max_steps, queries=queries) for _ in range(batch_size)]
    running: list[_Running] = []
    finished: dict[int, Episode] = {}
    next_number = first_number
    protocol = task.protocol(split_by)
    while True:
        while idle and (following := next(goals, None)) is not None:
            number, goal_index = following
            env = idle.pop()
            observation, info = env.reset(options={"goal_index": int(goal_index)})
            running.append(_Running(number, env, np.random.default_rng([seed, number]), observation, info))
        if not running:
            return
        for episode in _step_all(policy, running, greedy):
            finished[episode.number] = _finish(episode, policy.name, task, protocol, seed)
            idle.append(episode.env)
        running = [episode for episode in running if episode.number not in finished]
        while next_number in finished:
            yield finished.pop(next_number)
            next_number += 1


def _step_all(policy: Policy, running: list[_Running], greedy: bool) -> list[_Running]:
    """One action in every running episode; returns those that ended with it."""
    decisions = [episode.decision(with_env=knows_goal(policy)) for episode in running]
    choices = policy.act(decisions, [episode.rng for episode in running], greedy=greedy)
    if len(choices) != len(decisions):
        raise PolicyError(f"policy {policy.name!r} gave {len(choices)} choices for {len(decisions)} decisions")
    ended = []
    for episode, decision, choice in zip(running, decisions, choices, strict=True):
        if not isinstance(choice, Choice):
            raise PolicyError(f"policy {policy.name!r} chose {choice!r:.80}, expected a Choice(action_index, log_prob)")
        if not 0 <= choice.action_index < len(decision.valid_actions):
            raise PolicyError(
                f"policy {policy.name!r} chose action_index={choice.action_index}, expected an index into the page's "
                f"{len(decision.valid_actions)} valid actions"
            )
        try:
            check_right_actions(choice.right_actions, decision.valid_actions)
            check_probabilities(choice.probabilities, decision.valid_actions)
        except DatasetError as error:
            raise PolicyError(f"policy {policy.name!r} gave {error}") from None
        action = decision.valid_actions[choice.action_index]
        observation, reward, terminated, truncated, info = episode.env.step(action)
        episode.steps.append(
            Step(
                decision.observation,
                decision.page,
                decision.valid_actions,
                decision.steps_left,
                choice.action_index,
                choice.log_prob,
                float(reward),
                choice.right_actions,
                choice.probabilities,
                choice.value,
            )
        )
        episode.actions.append(action)
        episode.notes = episode.notes.after(decision.page, action, info["page"])
        episode.observation, episode.info, episode.terminated = observation, info, terminated
        if terminated or truncated:
            ended.append(episode)
    return ended


def _finish(running: _Running, policy: str, task: Task, protocol: str, seed: int) -> Episode:
    info, reward = running.info, running.steps[-1].reward
    return Episode(
        goal_index=info["goal_index"],
        instruction=info["instruction"],
        protocol=protocol,
        catalog_sha256=info["catalog_sha256"],
        goals_sha256=info["goals_sha256"],
        policy=policy,
        seed=seed,
        steps=tuple(running.steps),
        reward=reward,
        success=reward == 1.0,
        terminated=running.terminated,
        truncated=not running.terminated,
        reward_parts=dict(info.get("reward_parts", {})),
        target_asin=task.target(info["goal_index"]),
        bought_asin=info.get("bought_asin"),
        bought_options=dict(info.get("bought_options", {})),
    )

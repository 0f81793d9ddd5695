"""Rolling out a policy: many episodes side by side, their pages scored together, their results in order.

The result does not depend on the number of environments: each episode has a generator of its own, made from the seed
and the episode's number, and the episodes are yielded in the order of their goals.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from recrl.environments.protocols import Queries, Task
from recrl.environments.webshop import as_task
from recrl.episodes.data import Episode
from recrl.errors import PolicyError
from recrl.policies.base import Answer, Policy, knows_goal, needs_shop
from recrl.policies.own import as_policy, choose
from recrl.rollouts.playing import Playing
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import DEFAULT_SPLIT_BY


def rollout(
    policy: Policy | Callable[[str, dict[str, Any]], Answer],
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
    exact_probabilities: bool = False,
) -> Iterator[Episode]:
    """Plays one episode per goal and yields them in the order of the goals.

    Args:
        policy: a policy, or a function of (observation, info), see `recrl.policies.own`.
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
        exact_probabilities: keep the probabilities of all valid actions as they are, instead of rounded.

    Raises:
        PolicyError: the policy gave too few or too many choices, or reads pages of a shop where there are none; or a
            setting is out of range.
    """
    policy = as_policy(policy)
    if batch_size < 1 or max_steps < 1:
        raise PolicyError(f"batch_size={batch_size} and max_steps={max_steps}, expected at least 1 of each")
    if seed < 0:
        raise PolicyError(f"seed={seed}, expected a whole number of at least 0")
    goals, task = enumerate(goal_indices, start=first_number), as_task(catalog)
    idle = [task.make_env(max_steps=max_steps, queries=queries) for _ in range(batch_size)]
    running: list[Playing] = []
    finished: dict[int, Episode] = {}
    next_number = first_number
    protocol = task.protocol(split_by)
    while True:
        while idle and (following := next(goals, None)) is not None:
            number, goal_index = following
            env = idle.pop()
            observation, info = env.reset(options={"goal_index": int(goal_index)})
            if info["page"].kind == "text" and needs_shop(policy):
                raise PolicyError(
                    f"policy {policy.name!r} reads the pages of a shop, and {protocol} has none; play it with random, "
                    "a trained agent or a policy of your own"
                )
            rng = np.random.default_rng([seed, number])
            running.append(Playing(number, env, rng, observation, info, exact_probabilities))
        if not running:
            return
        for episode in _step_all(policy, running, greedy):
            finished[episode.number] = episode.finish(policy.name, protocol, seed)
            idle.append(episode.env)
        running = [episode for episode in running if episode.number not in finished]
        while next_number in finished:
            yield finished.pop(next_number)
            next_number += 1


def _step_all(policy: Policy, running: list[Playing], greedy: bool) -> list[Playing]:
    """One action in every running episode; returns those that ended with it."""
    decisions = [episode.decision(with_env=knows_goal(policy)) for episode in running]
    choices = choose(policy, decisions, [episode.rng for episode in running], greedy=greedy)
    ended = []
    for episode, decision, choice in zip(running, decisions, choices, strict=True):
        action = decision.valid_actions[choice.action_index] if choice.text is None else choice.text
        observation, reward, terminated, truncated, info = episode.env.step(action)
        episode.add(decision, choice, observation, float(reward), info, terminated=terminated)
        if terminated or truncated:
            ended.append(episode)
    return ended

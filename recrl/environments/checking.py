"""Checking that an environment of one's own gives what `recrl.environments.protocols.Environment` asks for."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from recrl.environments.gym_task import GoalEnv, GymTask
from recrl.errors import TaskError

MOST_STEPS = 200  # of an episode that is played to check; one that goes on longer is given up


def check_environment(env: Any, *, goals: Iterable[int] = range(3), seed: int = 0, max_steps: int = MOST_STEPS) -> None:
    """Plays random episodes of some goals twice, and says what is not as collectors, recipes and evaluation need it.

    What is checked: observations are texts; ``info["valid_actions"]`` is a tuple of texts, each once, at least one
    while an episode runs, and each of them is accepted; rewards are 0 before the end and from 0 to 1 at it; an episode
    played again by the same actions shows the same.

    Args:
        env: a Gymnasium environment; ``reset(seed=i, options={"goal_index": i})`` must start goal i.
        goals: which goals are played; seed: of the actions that are drawn; max_steps: the longest episode.

    Raises:
        TaskError: what is wrong, where, and what was expected.
    """
    listed = list(goals)
    task = GymTask(type(getattr(env, "unwrapped", env)).__name__, lambda: env, max(listed) + 1)
    played = GoalEnv(task, task.make_inner(), max_steps, np.array(listed), goals_sha256="")
    for goal in listed:
        _check_first_actions(played, goal)
        rng = np.random.default_rng([seed, goal])
        actions, first = _play(played, goal, rng=rng)
        _, second = _play(played, goal, actions=actions)
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            if one != other:
                raise TaskError(
                    f"{task.name}, goal {goal}: played again by the same actions it differs after {place} steps: "
                    f"{_difference(one, other)}; an episode must be a function of its goal and actions, so draw what "
                    "is random from the seed of reset()"
                )


def _check_first_actions(env: GoalEnv, goal: int) -> None:
    """Every valid action of the first page must be accepted."""
    _, info = env.reset(options={"goal_index": goal})
    for action in info["valid_actions"]:
        env.reset(options={"goal_index": goal})
        *_, after = env.step(action)
        if "invalid_action" in after:
            raise env.error(
                "step", f"refuses {action!r:.60} ({after['invalid_action']}), though info['valid_actions'] offers it"
            )


Shown = tuple[str, float, bool, tuple[str, ...]]  # observation, reward, terminated, valid actions


def _play(
    env: GoalEnv, goal: int, *, rng: np.random.Generator | None = None, actions: list[str] | None = None
) -> tuple[list[str], list[Shown]]:
    """An episode by drawn actions, or by given ones; what was done, and what was shown."""
    observation, info = env.reset(options={"goal_index": goal})
    taken: list[str] = []
    shown: list[Shown] = [(observation, 0.0, False, info["valid_actions"])]
    while True:
        if rng is not None:
            action = info["valid_actions"][int(rng.integers(len(info["valid_actions"])))]
        elif actions is not None and len(taken) < len(actions):
            action = actions[len(taken)]
        else:
            return taken, shown
        observation, reward, terminated, truncated, info = env.step(action)
        taken.append(action)
        shown.append((observation, reward, terminated, info["valid_actions"]))
        if terminated or truncated:
            return taken, shown + [shown[-1]] * (len(actions or taken) - len(taken))


def _difference(one: Shown, other: Shown) -> str:
    names = ("observation", "reward", "terminated", "valid_actions")
    name, first, second = next(
        (name, *values) for name, *values in zip(names, one, other, strict=True) if values[0] != values[1]
    )
    return f"{name} {first!r:.60} and then {second!r:.60}"

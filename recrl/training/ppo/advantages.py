"""Advantages and returns of collected steps; pure functions on arrays."""

import numpy as np


def generalized_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    *,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimation (arXiv:1506.02438, Eq. 16), with termination and truncation apart.

    A terminated step has no value after it; a truncated one has what ``next_values`` says, 0 where the limit is an end
    that pays nothing. Nothing of the next episode flows back over either.

    Args:
        rewards, values: (steps, envs), of each step and of the page before it.
        next_values: (steps, envs), of the page after each step, before any reset.
        terminated, truncated: (steps, envs) bool.

    Returns:
        (steps, envs) advantages; with ``values`` added they are the returns that the values are fitted to.
    """
    deltas = rewards + gamma * next_values * ~terminated - values  # Eq. 11, (steps, envs)
    advantages = np.zeros_like(deltas)
    following = np.zeros(deltas.shape[1:])
    for step in reversed(range(len(deltas))):
        over = terminated[step] | truncated[step]
        following = deltas[step] + gamma * gae_lambda * ~over * following
        advantages[step] = following
    return advantages


def goal_baselines(advantages: np.ndarray, begins: np.ndarray, goals: np.ndarray, envs_per_goal: int) -> np.ndarray:
    """What the values miss of a goal, by the other episodes of the goal: the mean of their first steps' advantages.

    Environments that follow each other in groups of ``envs_per_goal`` play the same goals. As in leave-one-out
    REINFORCE (Kool et al. 2019; arXiv:2402.14740) an episode's own rewards and values have no part in its baseline;
    there it stands for a value function, here it corrects one.

    Args:
        advantages: (steps, envs) of `generalized_advantages`, in units of the scaled reward.
        begins: (steps, envs) bool, True at the first step of an episode.
        goals: (steps, envs) the goal that is played.

    Returns:
        (steps, envs) to be taken from the advantages; 0 where no other episode of the goal began in this collection,
        and for episodes that go on from an earlier one.
    """
    baselines = np.zeros_like(advantages)
    episodes = np.cumsum(begins, axis=0)  # (steps, envs) number within the environment, 0: from an earlier collection
    firsts: dict[tuple[int, int], list[tuple[int, int]]] = {}  # group and goal -> first steps
    for step, env in np.argwhere(begins).tolist():
        firsts.setdefault((env // envs_per_goal, int(goals[step, env])), []).append((step, env))
    for places in firsts.values():
        missed = np.array([advantages[place] for place in places])
        for (step, env), own in zip(places, missed, strict=True):
            if len(places) > 1:
                of_episode = episodes[:, env] == episodes[step, env]
                baselines[of_episode, env] = (missed.sum() - own) / (len(places) - 1)
    return baselines


def normalized(advantages: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """Shifts and scales advantages so that those of ``choices`` have mean 0 and deviation 1; none: leaves them.

    Args:
        advantages: of any shape; choices: (choices,) the advantages of all decisions that count.
    """
    return (advantages - choices.mean()) / (choices.std() + 1e-8) if len(choices) else advantages


def explained_variance(predictions: np.ndarray, targets: np.ndarray) -> float:
    """1 - Var(targets - predictions) / Var(targets); nan where the targets do not vary."""
    variance = np.var(targets)
    return float("nan") if variance == 0 else float(1 - np.var(targets - predictions) / variance)

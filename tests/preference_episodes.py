"""Episodes of two colours for tests of preference pairs, and what pairs must make of them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from decision_data import colour_page, episode_by_hand, text_step
from recrl.episodes.data import Episode
from recrl.errors import NoPairsError
from recrl.policies.base import Decision
from recrl.preferences.builders import (
    PairSet,
    build_preferences,
)
from recrl.preferences.data import (
    Move,
)


def uniform(decisions: Sequence[Decision]) -> list[np.ndarray]:
    return [np.full(len(decision.valid_actions), -math.log(len(decision.valid_actions))) for decision in decisions]


def by_text(decisions: Sequence[Decision]) -> list[np.ndarray]:
    """A reference whose scores depend on nothing but the actions' texts."""
    found = []
    for decision in decisions:
        scores = np.array([sum(action.encode()) % 7 for action in decision.valid_actions], dtype=float)
        found.append(scores - np.log(np.exp(scores).sum()))
    return found


def episode(goal_index: int, moves: Sequence[tuple[str, tuple[str, ...], int]], reward: float) -> Episode:
    """An episode of (word on the page, actions, action taken)."""
    steps = tuple(
        text_step(
            colour_page(f"goal {goal_index}", ("red", "blue"), word or None),
            tuple(actions),
            len(moves) - place,
            index,
            -1.0,
            reward if place == len(moves) - 1 else 0.0,
        )
        for place, (word, actions, index) in enumerate(moves)
    )
    return episode_by_hand(goal_index, f"goal {goal_index}", steps, reward)


def consistent(episodes: list[Episode]) -> list[Episode]:
    """Equal ways to a goal end alike, as in an environment without chance: with the first one's reward."""
    rewards: dict[tuple[int, tuple[str, ...]], float] = {}
    made = []
    for one in episodes:
        reward = rewards.setdefault((one.goal_index, tuple(step.action for step in one.steps)), one.reward)
        steps = (*one.steps[:-1], replace(one.steps[-1], reward=reward))
        made.append(replace(one, steps=steps, reward=reward, success=reward == 1.0))
    return made


ACTIONS = ("click[red]", "click[blue]", "click[buy now]")
EPISODES = st.lists(
    st.builds(
        episode,
        st.integers(0, 2),
        st.lists(
            st.tuples(st.sampled_from(["red", "blue", ""]), st.permutations(ACTIONS).map(tuple), st.integers(0, 2))
            | st.just(("", ("click[buy now]",), 0)),
            min_size=1,
            max_size=5,
        ),
        st.sampled_from([0.0, 0.5, 0.7, 1.0]),
    ),
    min_size=1,
    max_size=8,
).map(consistent)


def outcomes_of(episodes: list[Episode], goal_index: int, move: Move) -> dict[str, Fraction]:
    """The mean reward of each action that was the last departure from the move's page, by a plain loop."""
    rewards: dict[str, list[Fraction]] = {}
    for one in episodes:
        last = None
        for step in one.steps:
            if one.goal_index == goal_index and (step.observation, step.valid_actions) == move.seen:
                last = step.action
        if last is not None:
            rewards.setdefault(last, []).append(Fraction(one.reward))
    return {action: sum(of_action, Fraction()) / len(of_action) for action, of_action in rewards.items()}


def built(episodes: list[Episode], name: str, seed: int, min_reward: float, *, weighted: bool = False) -> PairSet:
    try:
        return build_preferences(
            episodes, by_text, np.random.default_rng(seed), pairs=[name], min_reward=min_reward,
            weight_by_margin=weighted,
        )  # fmt: skip
    except NoPairsError:
        return PairSet()

"""Preference pairs: whom they are made of, by which law, and that they survive the disk."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_data import colour_episode, colour_page
from recrl.episodes import Episode, Step
from recrl.errors import ConfigError, DatasetError
from recrl.policies import Decision
from recrl.preference_data import (
    PREFERENCE_FEATURES,
    Preference,
    dataset_to_preferences,
    describe_preferences,
    load_preferences,
    preferences_to_dataset,
)
from recrl.preferences import (
    build_preferences,
    contrast_preferences,
    rejected_probabilities,
    step_preferences,
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
        Step(
            colour_page(f"goal {goal_index}", ("red", "blue"), word or None),
            tuple(actions),
            index,
            -1.0,
            reward if place == len(moves) - 1 else 0.0,
        )
        for place, (word, actions, index) in enumerate(moves)
    )
    return Episode(
        goal_index=goal_index,
        instruction=f"goal {goal_index}",
        protocol="custom",
        catalog_sha256="c" * 64,
        goals_sha256="g" * 64,
        policy="by hand",
        seed=0,
        steps=steps,
        reward=reward,
        success=reward == 1.0,
        terminated=True,
        truncated=False,
        reward_parts={},
    )


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
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=150)
@given(EPISODES, st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 3))
def test_every_pair_is_a_real_choice_of_one_goal(episodes: list[Episode], min_reward: float, seed: int) -> None:
    for builder in (step_preferences, contrast_preferences):
        for pair in builder(episodes, by_text, np.random.default_rng(seed), min_reward=min_reward):
            assert pair.chosen != pair.rejected
            of_goal = [one for one in episodes if one.goal_index == pair.goal_index]
            assert pair.instruction == of_goal[0].instruction
            left_by = {
                step.action
                for one in of_goal
                for step in one.steps
                if (step.observation, step.valid_actions) == (pair.observation, pair.valid_actions)
            }
            assert pair.chosen in left_by
            assert pair.chosen_outcome is not None
            assert pair.chosen_outcome >= min_reward
            if pair.origin == "contrast":
                assert pair.rejected in left_by
                assert pair.rejected_outcome is not None
                assert pair.chosen_outcome > pair.rejected_outcome


@settings(deadline=None, max_examples=50)
@given(EPISODES, st.integers(1, 5))
def test_pairs_do_not_depend_on_the_batch_size(episodes: list[Episode], batch_size: int) -> None:
    for builder in (step_preferences, contrast_preferences):
        one, other = (
            builder(episodes, by_text, np.random.default_rng(1), min_reward=0.5, batch_size=size)
            for size in (batch_size, 64)
        )
        assert one == other


def test_each_choice_of_a_trajectory_gives_one_pair() -> None:
    episodes = [colour_episode(0), colour_episode(1)]
    pairs = step_preferences(episodes, uniform, np.random.default_rng(0))
    steps = [step for one in episodes for step in one.steps if len(step.valid_actions) > 1]
    assert [pair.chosen for pair in pairs] == [step.action for step in steps]
    assert len(pairs) == 4  # the search pages offer a single action
    assert pairs[1].previous_actions == tuple(step.action for step in episodes[0].steps[:2])
    assert {pair.origin for pair in pairs} == {"trajectory"}
    assert {pair.rejected_outcome for pair in pairs} == {None}


def test_the_rejected_action_has_the_law_of_redrawing() -> None:
    """Against the loop that the module's docstring describes: draw until it differs."""
    rng = np.random.default_rng(0)
    log_probs = np.log([0.6, 0.25, 0.1, 0.05])
    redrawn = np.zeros(4)
    for _ in range(20_000):
        draw = 0
        while draw == 0:
            draw = int(rng.choice(4, p=np.exp(log_probs)))
        redrawn[draw] += 1
    law = rejected_probabilities(log_probs, ("a", "b", "c", "d"), 0)
    np.testing.assert_allclose(law, [0, 0.625, 0.25, 0.125])
    np.testing.assert_allclose(redrawn / redrawn.sum(), law, atol=0.015)

    one = episode(0, [("red", ("click[a]", "click[b]", "click[c]", "click[d]"), 0)], 1.0)
    pairs = step_preferences([one] * 4000, lambda decisions: [log_probs] * len(decisions), rng)
    drawn = np.bincount([pair.rejected_index for pair in pairs], minlength=4) / len(pairs)
    np.testing.assert_allclose(drawn, law, atol=0.03)


def test_a_certain_reference_still_gives_a_rejected_action() -> None:
    log_probs = np.array([0.0, -800.0, -801.0])  # exp underflows to 0
    law = rejected_probabilities(log_probs, ("a", "b", "c"), 0)
    np.testing.assert_allclose(law, [0, 1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))])
    assert rejected_probabilities(np.array([0.0, -1.0]), ("a", "a"), 0).sum() == 0


def test_contrasts_compare_the_last_departure_from_a_page() -> None:
    search = ("", ("search[x]",), 0)
    won = episode(7, [search, ("red", ACTIONS, 0), ("red", ACTIONS, 1), ("blue", ACTIONS, 2)], 1.0)
    lost = episode(7, [search, ("red", ACTIONS, 2)], 0.25)
    other_goal = episode(8, [search, ("red", ACTIONS, 0)], 0.0)
    pairs = contrast_preferences([lost, won, other_goal], uniform, np.random.default_rng(0))
    assert [(pair.chosen, pair.rejected, pair.chosen_outcome, pair.rejected_outcome) for pair in pairs] == [
        ("click[blue]", "click[buy now]", 1.0, 0.25)
    ]
    assert pairs[0].previous_actions == ("search[x]", "click[red]")
    # A second loss by the winning action lowers its mean below what is asked for.
    lost_too = episode(7, [search, ("red", ACTIONS, 1), ("blue", ACTIONS, 2)], 0.5)
    assert contrast_preferences([lost, won, lost_too], uniform, np.random.default_rng(0)) == []
    loose = contrast_preferences([lost, won, lost_too], uniform, np.random.default_rng(0), min_reward=0.5)
    assert [(pair.chosen_outcome, pair.rejected_outcome) for pair in loose] == [(0.75, 0.25)]


def test_builders_are_chosen_by_name_and_nothing_left_is_an_error() -> None:
    rng = np.random.default_rng(0)
    won = episode(7, [("red", ACTIONS, 1)], 1.0)
    lost = episode(7, [("red", ACTIONS, 2)], 0.25)
    both = build_preferences([won, lost], uniform, rng, pairs=["steps", "contrasts"])
    assert [pair.origin for pair in both] == ["trajectory", "contrast"]
    with pytest.raises(ConfigError, match=r"pairs=\['outcomes'\]: expected one or more of steps, contrasts"):
        build_preferences([won], uniform, rng, pairs=["outcomes"])
    with pytest.raises(DatasetError, match=r"no preference pair is left: 0 of 1 episodes have reward >= 1, with 0"):
        build_preferences([lost], uniform, rng)
    single = episode(1, [("", ("click[buy now]",), 0)], 1.0)
    with pytest.raises(DatasetError, match="1 of 1 episodes have reward >= 1, with 0 pages that offer a choice"):
        build_preferences([single], uniform, rng)


def test_counts_by_page_and_action() -> None:
    pairs = step_preferences([colour_episode(0), colour_episode(1)], uniform, np.random.default_rng(0))
    summary = describe_preferences(pairs)
    assert summary["num_pairs"] == 4
    assert summary["num_goals"] == 2
    assert summary["mean_chosen_probability"] == pytest.approx(1 / 12)
    assert {kind: group["num_pairs"] for kind, group in summary["by_page"].items()} == {"item": 4}
    assert {kind: group["num_pairs"] for kind, group in summary["by_action"].items()} == {"option": 2, "buy": 2}


@settings(deadline=None, max_examples=30)
@given(EPISODES)
def test_pairs_survive_the_dataset(episodes: list[Episode]) -> None:
    pairs = step_preferences(episodes, by_text, np.random.default_rng(0), min_reward=0.0)
    if pairs:
        assert dataset_to_preferences(preferences_to_dataset(pairs)) == pairs


def pair(**changed: Any) -> Preference:
    fields = {
        "goal_index": 1, "catalog_sha256": "c", "goals_sha256": "g", "protocol": "custom", "instruction": "red shirt",
        "observation": "page", "valid_actions": ACTIONS, "previous_actions": (), "chosen_index": 0,
        "rejected_index": 1, "chosen_log_prob": -1.0, "rejected_log_prob": -2.0, "chosen_outcome": 1.0,
        "rejected_outcome": None, "origin": "trajectory",
    }  # fmt: skip
    return Preference(**(fields | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"chosen_index": 3}, "chosen_index=3 is not an index into 3 valid actions"),
        ({"rejected_index": -1}, "rejected_index=-1 is not an index"),
        ({"rejected_index": 0}, r"both actions of a pair are 'click\[red\]'"),
        ({"rejected_outcome": 1.0}, "outcome 1.0 is not above the rejected one's 1.0"),
        ({"weight": 0.0}, "weight=0.0, expected a positive"),
        ({"weight": math.nan}, "weight=nan"),
        ({"chosen_log_prob": math.nan}, "chosen_log_prob=nan, expected a log-probability"),
    ],
)
def test_an_impossible_pair_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        pair(**changed)


def test_a_dataset_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a folder with a preference dataset.*nowhere"):
        load_preferences(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="expected a folder with a preference dataset"):
        load_preferences(tmp_path / "other")
    good = preferences_to_dataset([pair(), pair(goal_index=2)])
    assert good.features == PREFERENCE_FEATURES
    for name, dataset, message in (
        ("empty", good.select([]), "it is empty"),
        ("foreign", good.remove_columns(["chosen", "weight"]), "columns chosen, weight are missing"),
        ("untyped", good.remove_columns("weight").add_column("weight", ["a", "b"]), "a column has another type"),
        ("holes", good.map(lambda row: {"instruction": None}), "row 0 .*instruction has no value"),
        ("wrong", good.map(lambda row: {"chosen": "click[green]"}), r"row 0 .*chosen='click\[green\]', but"),
    ):
        dataset.save_to_disk(str(tmp_path / name))
        with pytest.raises(DatasetError, match=message):
            load_preferences(tmp_path / name)
    good.save_to_disk(str(tmp_path / "cut"))
    arrow = next((tmp_path / "cut").glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:200])
    with pytest.raises(DatasetError, match="expected a folder with a preference dataset"):
        load_preferences(tmp_path / "cut")

"""Preference pairs as data: what is no pair is refused, and they survive the disk and resampling."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preference_episodes import ACTIONS

from recrl.episodes.notes import Notes
from recrl.errors import DatasetError
from recrl.policies.base import Decision
from recrl.preferences.data import (
    PREFERENCE_FEATURES,
    Move,
    Preference,
    load_preferences,
    preferences_to_dataset,
    resample_by_weight,
)
from recrl.webshop.pages import Page


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=20), st.integers(0, 5))
def test_resampling_takes_each_pair_as_often_as_it_weighs(weights: list[float], seed: int) -> None:
    pairs = [pair(goal_index=number, weight=weight) for number, weight in enumerate(weights)]
    taken = resample_by_weight(pairs, np.random.default_rng(seed))
    assert len(taken) == len(pairs)
    if len(set(weights)) == 1:
        assert taken == pairs
        return
    assert {one.weight for one in taken} == {1.0}
    copies = np.bincount([one.goal_index for one in taken], minlength=len(pairs))
    shares = len(pairs) * np.array(weights) / sum(weights)
    assert (np.abs(copies - shares) < 1 + 1e-9).all()


def test_resampling_has_the_weights_as_its_mean() -> None:
    pairs = [pair(goal_index=number, weight=weight) for number, weight in enumerate((0.1, 0.6, 0.3))]
    copies = np.zeros(3)
    for seed in range(4000):
        for one in resample_by_weight(pairs, np.random.default_rng(seed)):
            copies[one.goal_index] += 1
    np.testing.assert_allclose(copies / copies.sum(), [0.1, 0.6, 0.3], atol=0.01)


def move(**changed: Any) -> Move:
    page = Page("search", "i want a shirt")
    fields = {
        "observation": "page", "page": page, "valid_actions": ACTIONS, "previous_actions": (), "steps_left": 9,
        "notes": Notes(),
    }  # fmt: skip
    of_move = {name: changed.pop(name, default) for name, default in (("action_index", 0), ("log_prob", -1.0))}
    return Move(Decision(**(fields | changed)), **of_move)


def pair(**changed: Any) -> Preference:
    fields = {
        "goal_index": 1, "catalog_sha256": "c", "goals_sha256": "g", "protocol": "custom", "instruction": "red shirt",
        "chosen_moves": (move(),), "rejected_moves": (move(action_index=1),), "chosen_outcome": 1.0,
        "rejected_outcome": None, "origin": "steps",
    }  # fmt: skip
    return Preference(**(fields | changed))


def test_sides_part_where_they_first_differ() -> None:
    together = move()
    buys, looks = (move(observation="next", previous_actions=("click[red]",), action_index=index) for index in (2, 1))
    assert pair(chosen_moves=(together, buys), rejected_moves=(together, looks)).parting == buys
    assert pair(chosen_moves=(together,), rejected_moves=(together, looks)).parting == together


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action_index": 3}, "action_index=3 is no index into 3 actions"),
        ({"action_index": -1}, "action_index=-1 is no index"),
        ({"log_prob": math.nan}, "log_prob=nan, expected a log-probability"),
    ],
)
def test_an_impossible_move_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        move(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rejected_moves": (move(),)}, r"both sides of a pair are 'click\[red\]'"),
        ({"rejected_moves": ()}, "1 chosen and 0 rejected moves, expected some of each"),
        ({"rejected_outcome": 1.0}, "outcome 1.0 is not above the rejected one's 1.0"),
        ({"weight": 0.0}, "weight=0.0, expected a positive"),
        ({"weight": math.nan}, "weight=nan"),
    ],
)
def test_an_impossible_pair_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        pair(**changed)


def test_a_dataset_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a preference dataset.*nowhere"):
        load_preferences(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="expected a preference dataset"):
        load_preferences(tmp_path / "other")
    good = preferences_to_dataset([pair(), pair(goal_index=2)])
    assert good.features == PREFERENCE_FEATURES
    for name, dataset, message in (
        ("empty", good.select([]), "it is empty"),
        ("foreign", good.remove_columns(["chosen", "weight"]), "it lacks the columns chosen, weight; it has"),
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
    with pytest.raises(DatasetError, match="expected a preference dataset"):
        load_preferences(tmp_path / "cut")

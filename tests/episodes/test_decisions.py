"""Pages, decisions and the rows in which they are kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, List, concatenate_datasets, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_data import colour_episode
from recrl.episodes import Decision, Episode, LabelledDecision, episode_features, episodes_to_dataset, load_episodes
from recrl.episodes.data import dataset_to_episodes, episode_to_row, row_to_episode
from recrl.episodes.decisions import decision_to_row, row_to_decision
from recrl.episodes.notes import NotedProduct, Notes
from recrl.errors import DatasetError
from recrl.training.imitation import decisions_of
from recrl.webshop.pages import Listed, OptionGroup, Page, page_to_row, row_to_page

TEXT = st.text(max_size=12) | st.sampled_from(["[button] red [button_]", "Price: $5", "Features", "\n", "[SEP]"])
VALUES = st.lists(TEXT, max_size=3).map(tuple)
PAGES = st.builds(
    Page,
    st.sampled_from(["search", "results", "item", "sub", "bought"]),
    TEXT,
    st.lists(st.builds(Listed, TEXT, TEXT, TEXT, st.booleans()), max_size=3).map(tuple),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(0, 50),
    st.lists(st.builds(OptionGroup, TEXT, VALUES, VALUES), max_size=3).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
    TEXT,
)
NUMBER = st.integers(0, 9)
PLAIN_GROUPS = st.lists(st.builds(OptionGroup, TEXT, VALUES, st.just(())), max_size=2).map(tuple)
PRODUCTS = st.builds(
    NotedProduct, TEXT, TEXT, TEXT, NUMBER, NUMBER, NUMBER, st.none() | PLAIN_GROUPS, st.none() | TEXT, st.none() | TEXT
)
NOTES = st.builds(
    lambda products, at_hand, *fields: Notes(tuple(products), at_hand if products else None, *fields),
    st.lists(PRODUCTS, max_size=3),
    st.none() | st.just(0),
    TEXT,
    VALUES,
    TEXT,
    st.none() | NUMBER,
    st.none() | NUMBER,
)
DECISIONS = st.builds(Decision, TEXT, PAGES, VALUES, VALUES, st.integers(1, 100), NOTES)


@settings(deadline=None)
@given(DECISIONS)
def test_a_decision_comes_back_from_its_row(decision: Decision) -> None:
    assert row_to_page(page_to_row(decision.page)) == decision.page
    assert row_to_decision(decision_to_row(decision)) == decision


def test_a_page_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind='basket', expected one of search, results"):
        Page("basket", "")


@pytest.mark.parametrize("change", [{"kind": "basket"}, {"colour": "red"}, {"listing": [{"asin": "B1"}]}])
def test_a_damaged_page_is_refused(change: dict[str, Any]) -> None:
    row = episode_to_row(colour_episode(0))
    row["steps"][1]["page"] |= change
    with pytest.raises(DatasetError, match=r"other fields than expected|expected one of search"):
        row_to_episode(row)


def test_marks_of_visited_products_can_be_left_out() -> None:
    listing = (Listed("B1", "a shirt", "$5", visited=True), Listed("B2", "a hat", "$6"))
    page = Page("results", "i want a shirt", listing, 1, 2)
    assert page.without_marks().listing == (listing[0]._replace(visited=False), listing[1])
    assert page.without_marks().without_marks() == page.without_marks()


@pytest.mark.parametrize("right", [(), (1,), (-1,), (0, 0)])
def test_labels_are_indices_into_the_actions(right: tuple[int, ...]) -> None:
    decision = Decision("", Page("search", ""), ("search[a]",), (), 15, Notes())
    assert LabelledDecision(decision, (0,)).right_actions == (0,)
    with pytest.raises(DatasetError, match="right_actions"):
        LabelledDecision(decision, right)


RIGHT = st.sets(st.integers(0, 11)).map(lambda indices: tuple(sorted(indices)))


def taught(number: int, right: tuple[int, ...], at: int = 1) -> Episode:
    """An episode made by hand with what a teacher said at one of its steps."""
    episode = colour_episode(number)
    steps = list(episode.steps)
    steps[at] = replace(steps[at], right_actions=right)
    return replace(episode, steps=tuple(steps))


@settings(deadline=None, max_examples=30)
@given(st.lists(RIGHT, min_size=1, max_size=4))
def test_right_actions_come_back_from_a_dataset(right: list[tuple[int, ...]]) -> None:
    """Whether the action taken is among them or not; none are kept as none."""
    episodes = [taught(number, indices) for number, indices in enumerate(right)]
    assert list(dataset_to_episodes(episodes_to_dataset(episodes))) == episodes


def test_a_dataset_without_right_actions_is_read_and_joined(tmp_path: Path) -> None:
    """As it was written before there were any; beside one that has them."""
    features = episode_features()
    step = {name: kind for name, kind in features["steps"].feature.items() if name != "right_actions"}
    older = Features(features | {"steps": List(step)})
    episodes = [colour_episode(0), taught(1, (0, 7))]
    rows = [episode_to_row(episode) for episode in episodes]
    for one in rows[0]["steps"]:
        del one["right_actions"]
    assert row_to_episode(rows[0]) == episodes[0]
    Dataset.from_list(rows[:1], features=older).save_to_disk(str(tmp_path / "older"))
    assert load_episodes(tmp_path / "older") == episodes[:1]
    one, other = load_from_disk(str(tmp_path / "older")), episodes_to_dataset(episodes[1:])
    assert list(dataset_to_episodes(concatenate_datasets([one.cast(features), other]))) == episodes


@pytest.mark.parametrize("right", [(12,), (-1,), (3, 1), (2, 2)])
def test_impossible_right_actions_are_refused(right: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError, match=r"right_actions=.*: expected ascending indices into 12 actions, each once"):
        taught(0, right)


def test_a_right_action_that_the_page_does_not_have_is_refused() -> None:
    row = episode_to_row(taught(0, (0,)))
    row["steps"][1]["right_actions"] = ["click[purple]"]
    with pytest.raises(DatasetError, match="not among its page's valid actions"):
        row_to_episode(row)


def test_what_is_learned_of_a_step() -> None:
    """The teacher's word; without one the action taken. Pages with a single action are left out."""
    shown, own = decisions_of([taught(0, (0, 7))]), decisions_of([colour_episode(0)])
    assert [row.right_actions for row in shown] == [(0, 7), (5,)]
    assert [row.right_actions for row in own] == [(colour_episode(0).steps[1].action_index,), (5,)]


def test_rows_with_texts_alone_are_read_back() -> None:
    """Rows that other programs wrote hold neither pages nor the steps left."""
    episode = colour_episode(0)
    row = episode_to_row(episode)
    for step in row["steps"]:
        del step["page"], step["steps_left"]
    assert row_to_episode(row) == episode


def test_a_dataset_keeps_pages_as_they_are() -> None:
    episodes = [colour_episode(number) for number in range(3)]
    dataset = episodes_to_dataset(episodes)
    assert dataset.features == episode_features()
    assert list(dataset_to_episodes(dataset)) == episodes
    assert [*episodes[0].decisions()][2].previous_actions == tuple(step.action for step in episodes[0].steps[:2])

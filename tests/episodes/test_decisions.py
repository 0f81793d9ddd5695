"""Pages, decisions and the rows in which they are kept."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_data import colour_episode
from recrl.episodes import Decision, LabelledDecision, episode_features, episodes_to_dataset
from recrl.episodes.data import dataset_to_episodes, episode_to_row, row_to_episode
from recrl.episodes.decisions import decision_to_row, row_to_decision
from recrl.episodes.notes import NotedProduct, Notes
from recrl.errors import DatasetError
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


def test_a_label_is_an_index_into_the_actions() -> None:
    decision = Decision("", Page("search", ""), ("search[a]",), (), 15, Notes())
    assert LabelledDecision(decision, 0).action == "search[a]"
    with pytest.raises(DatasetError, match="action_index=1 is no index into 1 actions"):
        LabelledDecision(decision, 1)


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

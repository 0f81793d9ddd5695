"""Wishes: content words in any wording."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.notes import NotedProduct
from recrl.scoring.wishes import MOST_WORDS, named_options, read_wish, wanted_options, words_of
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.pages import OptionGroup

GROUPS = (("color", ("navy", "navy blue", "red")), ("size", ("7", "7.5", "8")))


@pytest.mark.parametrize(
    ("instruction", "phrases", "bound", "named"),
    [
        (
            "Find me slip resistant hiking boots with color: navy blue, and size: 7.5, and price lower than 60.00 "
            "dollars",
            ("slip resistant hiking boots", "color", "navy blue", "size", "7", "5"), 60.0,
            {"color": "navy blue", "size": "7.5"},
        ),
        (
            "do you have navy blue hiking boots in size 7.5 for less than $60? they must be slip resistant",
            ("navy blue hiking boots", "size 7", "5", "slip resistant"), 60.0,
            {"color": "navy blue", "size": "7.5"},
        ),
        ("red boots, my budget is sixty dollars", ("red boots",), 60.0, {"color": "red"}),
        ("boots", ("boots",), None, {}),
        ("", (), None, {}),
    ],
)  # fmt: skip
def test_the_same_wish_in_other_words(
    instruction: str, phrases: tuple[str, ...], bound: float | None, named: dict[str, str]
) -> None:
    wish = read_wish(instruction)
    assert (wish.phrases, wish.bound) == (phrases, bound)
    assert named_options(wish, GROUPS) == named


def test_words_are_equal_by_their_stem() -> None:
    assert set(read_wish("hiking boots").words) == set(read_wish("some boot for hikes").words)


@given(st.permutations(["color: navy blue", "size: 7.5", "fit type: women"]))
def test_the_order_of_clauses_does_not_matter(clauses: list[str]) -> None:
    groups = (*GROUPS, ("fit type", ("men", "women")))
    told = [
        read_wish(f"Find me hiking boots with {', and '.join(order)}, and price lower than 60.00 dollars")
        for order in (clauses, sorted(clauses))
    ]
    assert set(told[0].words) == set(told[1].words)
    assert named_options(told[0], groups) == named_options(told[1], groups)
    assert {tuple(told[0].words[place] for place in pair) for pair in told[0].pairs} == {
        tuple(told[1].words[place] for place in pair) for pair in told[1].pairs
    }


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_places_point_at_words(text: str) -> None:
    wish = read_wish(text)
    assert len(set(wish.words)) == len(wish.words) <= MOST_WORDS
    assert all(0 <= place < len(wish.words) for run in wish.runs for place in run)
    assert set(wish.pairs) == {pair for run in wish.runs for pair in itertools.pairwise(run)}


def test_punctuation_parts_neighbours() -> None:
    _, pairs = words_of("soft sole, blue upper")
    assert ("soft", "sole") in pairs
    assert ("sole", "blue") not in pairs


def test_options_are_found_in_either_wording() -> None:
    """Of the goal's own product, nearly all: some numbers are spelled out."""
    for wording, least in (("template", 1.0), ("reworded", 0.98)):
        catalog: Catalog = load_catalog(wording=wording)
        found = []
        for index in catalog.split("dev", "product"):
            goal = catalog.goals[index]
            groups = tuple((name, tuple(values)) for name, values in catalog.product(goal.asin).options.items())
            named = named_options(read_wish(goal.instruction), groups)
            found += [named.get(name) == value for name, value in goal.options.items()]
        assert sum(found) / len(found) >= least


def test_only_what_a_click_sets_is_wanted() -> None:
    """A button's name is none, and of two groups with an equal value the later one is set."""
    options = (OptionGroup("style", ("features", "plain")), OptionGroup("top", ("red",)), OptionGroup("sole", ("red",)))
    product = NotedProduct("B1", "boots", "$1", 1, 0, options=options)
    assert wanted_options(read_wish("red boots with features"), product) == {"sole": "red"}
    assert wanted_options(read_wish("red boots"), NotedProduct("B1", "boots", "$1", 1, 0)) == {}

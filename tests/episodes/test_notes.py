"""What the shopper has seen: equal in play and from the stored episode, and nothing that was not on a page."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes import Decision, Episode, dataset_to_episodes, episodes_to_dataset
from recrl.episodes.notes import MOST_CHARACTERS, MOST_PRODUCTS, NotedProduct, Notes, notes_to_row, row_to_notes
from recrl.policies import Choice
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.pages import Listed, OptionGroup, Page


class Wanderer:
    """Takes any valid action, and keeps the notes that it was given."""

    name = "wanderer"
    catalog_sha256 = None

    def __init__(self) -> None:
        self.seen: list[Decision] = []

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
        self.seen += decisions
        return [
            Choice(int(rng.integers(len(decision.valid_actions))), 0.0)
            for decision, rng in zip(decisions, rngs, strict=True)
        ]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(None)


def wander(catalog: Catalog, goal_index: int, seed: int, max_steps: int) -> tuple[Episode, list[Decision]]:
    policy = Wanderer()
    [episode] = rollout(policy, catalog, [goal_index], seed=seed, max_steps=max_steps)
    return episode, policy.seen


@settings(max_examples=30, deadline=None)
@given(goal_index=st.integers(0, 500), seed=st.integers(0, 99), max_steps=st.integers(1, 60))
def test_notes_are_the_same_in_play_and_from_the_stored_episode(
    catalog: Catalog, goal_index: int, seed: int, max_steps: int
) -> None:
    episode, seen = wander(catalog, goal_index, seed, max_steps)
    assert list(episode.decisions()) == seen
    assert [row_to_notes(notes_to_row(decision.notes)) for decision in seen] == [decision.notes for decision in seen]


def plain_notes(episode: Episode, steps: int) -> dict[str, dict[str, Any]]:
    """Product -> what its pages said in the first ``steps`` steps, by a plain walk over pages and actions."""
    known: dict[str, dict[str, Any]] = {}
    open_product, sub_page = "", ""
    for step in episode.steps[:steps]:
        page, name = step.page, step.action.removeprefix("click[").removesuffix("]")
        if page.kind == "results":
            for place, listed in enumerate(page.listing):
                fields = known.setdefault(listed.asin, {"title": listed.title, "price_tag": listed.price_tag})
                fields |= {"page_number": page.page_number, "place": place}
                if listed.asin.lower() == name:
                    open_product = listed.asin
        elif page.kind == "item":
            known[open_product]["options"] = tuple(group._replace(clicked=()) for group in page.options)
            sub_page = name
        elif page.kind == "sub" and sub_page != "reviews":
            known[open_product][sub_page] = page.text[:MOST_CHARACTERS]
    return known


@settings(max_examples=30, deadline=None)
@given(goal_index=st.integers(0, 500), seed=st.integers(0, 99))
def test_notes_hold_what_the_pages_said(catalog: Catalog, goal_index: int, seed: int) -> None:
    episode, seen = wander(catalog, goal_index, seed, 40)
    for number, decision in enumerate(seen, start=1):
        expected = plain_notes(episode, number)
        assert len(expected) <= MOST_PRODUCTS
        for product in decision.notes.products:
            fields = expected.pop(product.asin)
            for name in ("title", "price_tag", "page_number", "place", "options", "features", "description"):
                assert getattr(product, name) == fields.get(name), name
        assert not expected


def test_nothing_hidden_is_in_the_notes(catalog: Catalog) -> None:
    """Environments whose hidden goals differ in all but the instruction give equal notes for equal actions."""

    class OtherGoals(WebShopEnv):
        @property
        def goal(self) -> Any:
            other = self.catalog.goals[(self.goal_index + 7) % len(self.catalog.goals)]
            mine = super().goal
            return replace(
                other, instruction=mine.instruction, instruction_without_price=mine.instruction_without_price
            )

    rng = np.random.default_rng(0)
    for goal_index in range(20):
        envs = [WebShopEnv(catalog, split="all", max_steps=25), OtherGoals(catalog, split="all", max_steps=25)]
        infos = [env.reset(options={"goal_index": goal_index})[1] for env in envs]
        notes = [Notes.first(info["page"]) for info in infos]
        over = False
        while not over:
            action = str(rng.choice(infos[0]["valid_actions"]))
            for place, env in enumerate(envs):
                before = infos[place]["page"]
                _, _, terminated, truncated, infos[place] = env.step(action)
                notes[place] = notes[place].after(before, action, infos[place]["page"])
                over = terminated or truncated
            assert notes[0] == notes[1]


def results(number: int, *asins: str) -> Page:
    return Page("results", "a hat", tuple(Listed(asin, f"hat {asin}", "$5") for asin in asins), number, 100)


def walk(*way: tuple[str, Page]) -> Notes:
    """Notes along actions and the pages to which they led, from the search page on."""
    page = Page("search", "a hat")
    notes = Notes.first(page)
    for action, shown in way:
        notes, page = notes.after(page, action, shown), shown
    return notes


ITEM = Page("item", "a hat", options=(OptionGroup("size", ("s", "m")),), title="hat B1", price_tag="$5")
FEATURES = Page("sub", "a hat", text="wool")


def test_a_click_is_noted_where_the_page_marks_none() -> None:
    """As in the original, no value with letters beyond ASCII ever shows as clicked."""
    item = replace(ITEM, options=(OptionGroup("farbe", ("grün", "rot")), OptionGroup("size", ("s", "m"))))
    red = replace(item, options=(OptionGroup("farbe", ("grün", "rot"), ("rot",)), item.options[1]))
    way = [("search[hut]", results(1, "B1", "B2")), ("click[b1]", item), ("click[grün]", item)]
    assert walk(*way).clicked == ("grün",)
    looked = [*way, ("click[features]", FEATURES), ("click[< prev]", item)]
    assert walk(*looked).clicked == ("grün",)
    assert walk(*looked, ("click[rot]", red)).clicked == ("rot",)
    assert walk(*looked, ("click[rot]", red), ("click[grün]", item)).clicked == ("grün",)
    assert walk(*looked, ("click[blau]", item)).clicked == ("grün",)  # no value of the page: nothing happens
    assert walk(*looked, ("click[< prev]", results(1, "B1", "B2")), ("click[b1]", item)).clicked == ()


def test_a_way_through_a_shop_step_by_step() -> None:
    page_1, page_2 = results(1, "B1", "B2"), results(2, "B3")
    clicked = replace(ITEM, options=(OptionGroup("size", ("s", "m"), ("m",)),))
    way = [("search[Hat]", page_1), ("click[b1]", ITEM), ("click[features]", FEATURES), ("click[< prev]", ITEM)]
    assert walk(*way[:3]).sub_page == "features"
    notes = walk(*way, ("click[m]", clicked))
    assert notes.product == NotedProduct("B1", "hat B1", "$5", 1, 0, 1, ITEM.options, "wool")
    assert (notes.clicked, notes.query, notes.results_page, notes.num_results) == (("m",), "hat", 1, 100)
    assert notes.product.unread == ("description",)
    back = walk(*way, ("click[m]", clicked), ("click[< prev]", page_1), ("click[next >]", page_2))
    assert (back.product, back.clicked, back.results_page) == (None, (), 2)
    assert [product.rank for product in back.products] == [0, 1, 10]
    searched = walk(*way, ("click[back to search]", Page("search", "a hat")))
    assert (searched.at_hand, searched.results_page, len(searched.products)) == (None, None, 2)


@pytest.mark.parametrize("action", ["jump", "click[xl]", "click[next >]", "open[features]", "click[b2]"])
def test_an_invalid_action_changes_nothing(action: str) -> None:
    before = walk(("search[hat]", results(1, "B1", "B2")), ("click[b1]", ITEM))
    assert before.after(ITEM, action, ITEM) == before


def test_names_like_buttons_and_twins_are_read_as_the_shop_reads_them() -> None:
    """A product named as a button opens nothing; of two products whose names differ in case the first opens."""
    page = results(1, "Next >", "B1", "b1")
    assert walk(("search[hat]", page), ("click[next >]", results(2, "B9"))).at_hand is None
    assert walk(("search[hat]", page), ("click[b1]", ITEM)).product.asin == "B1"
    named = replace(ITEM, options=(OptionGroup("kind", ("features",)),))
    assert walk(("search[hat]", page), ("click[b1]", named), ("click[features]", FEATURES)).product.features == "wool"


def test_notes_are_bounded_and_keep_what_was_opened() -> None:
    way = [("search[hat]", results(1, "B1", "B2")), ("click[b2]", ITEM)]
    way += [("click[features]", replace(FEATURES, text="x" * 9000)), ("click[< prev]", ITEM)]
    way += [("click[< prev]", results(1, "B1", "B2"))]
    for number in range(2, 30):
        way.append(("click[next >]", results(number, *(f"C{number}{place}" for place in range(10)))))
    notes = walk(*way)
    assert len(notes.products) == MOST_PRODUCTS
    assert notes.of("B1") is None
    assert len(notes.of("B2").features) == MOST_CHARACTERS
    assert [product.asin for product in notes.products[-10:]] == [f"C29{place}" for place in range(10)]


def test_damaged_notes_are_refused() -> None:
    row = notes_to_row(walk(("search[hat]", results(1, "B1")), ("click[b1]", ITEM)))
    for change in ({"at_hand": 3}, {"colour": "red"}, {"products": [{"asin": "B1"}]}):
        with pytest.raises(ValueError, match=r"is no place among 1|other fields than expected"):
            row_to_notes(row | change)


def test_rows_of_a_dataset_hold_the_same_notes(catalog: Catalog) -> None:
    episode, seen = wander(catalog, 3, 1, 30)
    [stored] = dataset_to_episodes(episodes_to_dataset([episode]))
    assert list(stored.decisions()) == seen

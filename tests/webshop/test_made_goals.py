"""Made goals: their targets fulfil them and are in no test, their wording is the shop's, and a seed gives the same."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.goals import NO_BOUND, Goal
from recrl.webshop.made_goals import (
    KIND,
    MadeGoals,
    frame_of,
    made_goals,
    places_of,
    read_wording,
    wishable_options,
    word,
)
from recrl.webshop.reward import purchase_reward
from recrl.webshop.screens import PageState, follow, show
from small_catalog import item, options, plain_nouns, write_catalog


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def made(embedded: Catalog) -> MadeGoals:
    return made_goals(embedded, 0, 3)


def check(catalog: Catalog, goals: MadeGoals) -> None:
    """What holds of all made goals of a catalogue."""
    held_out = {catalog.goals[int(i)].asin for split in ("test", "dev") for i in catalog.split(split, "product")}
    train = {catalog.goals[int(i)].asin for i in catalog.split("train", "product")}
    targets = {goal.asin for goal in goals}
    assert targets == {catalog.products[int(place)].asin for place in goals.targets}
    assert not targets & held_out
    assert train <= targets
    for goal in goals:
        product = catalog.product(goal.asin)
        assert best_reward(product, goal) == 1
        assert purchase_reward(product, goal, goal.options, product.price)[0] == 1  # its very own options too
        assert 1 <= len(goal.attributes) <= 4
        assert set(goal.attributes) <= set(product.attributes)
        assert all(attribute in goal.instruction for attribute in goal.attributes)
        assert goal.query in goal.instruction
        assert all(f"{name}: {value}" in goal.instruction for name, value in goal.options.items())
        assert (goal.price_upper == NO_BOUND) == ("price lower than" not in goal.instruction)
        assert goal.price_upper > product.price
        assert goal.instruction.startswith(goal.instruction_without_price)
        assert not {"{", "}"} & set(goal.instruction)


def test_targets_fulfil_their_goals(embedded: Catalog, made: MadeGoals) -> None:
    check(embedded, made)
    per_product = Counter(goal.asin for goal in made)
    assert max(per_product.values()) == 3
    assert len(made) == sum(per_product.values()) > 2000
    wishes = {(goal.asin, frozenset(goal.attributes), tuple(goal.options.values())) for goal in made}
    assert len(wishes) == len(made)


@pytest.mark.realdata
def test_targets_fulfil_their_goals_on_webshop_1k(webshop_dir: Path) -> None:
    catalog = load_catalog(webshop_dir)
    goals = made_goals(catalog, 0, 2)
    check(catalog, goals)
    assert len(goals.targets) == 608  # 208 training targets, and the 400 others that have attributes
    texts = [goal.instruction for goal in goals]
    assert all(text.startswith("Find me ") for text in texts)
    assert not any("with living room" in text for text in texts)
    assert sum("for living room" in text for text in texts) > 20


def test_by_goal_every_product_is_asked_for_and_no_held_out_wish_is_made(embedded: Catalog, made: MadeGoals) -> None:
    def wish(goal: Goal) -> tuple[str, frozenset[str], frozenset[str]]:
        return goal.asin, frozenset(goal.attributes), frozenset(goal.options.values())

    held_out = {wish(embedded.goals[int(i)]) for split in ("test", "dev") for i in embedded.split(split, "goal")}
    wishes = [wish(goal) for goal in made_goals(embedded, 0, 3, "goal")]
    assert len(set(wishes)) == len(wishes)
    assert not held_out & set(wishes)
    assert held_out & {wish(goal) for goal in made}  # of the split by product, which keeps away from other goals
    assert {asin for asin, _, _ in wishes} > {goal.asin for goal in made}


def test_among_few_products_no_other_is_asked_for(embedded: Catalog, made: MadeGoals) -> None:
    few = {made[0].asin, made[30].asin}
    assert {goal.asin for goal in made_goals(embedded, 0, 3, among=few)} == few
    with pytest.raises(CatalogError, match="no product outside the test and dev splits"):
        made_goals(embedded, 0, 3, among=())


def test_goals_follow_from_the_seed_alone(embedded: Catalog, made: MadeGoals) -> None:
    again, other = made_goals(embedded, 0, 3), made_goals(embedded, 1, 1)
    assert [again[place] for place in (700, 3, 1500)] == [made[place] for place in (700, 3, 1500)]  # in any order
    assert again[-1] == made[len(made) - 1]
    assert again.sha256 == made.sha256 != other.sha256
    more = made_goals(embedded, 0, 5)
    assert [goal for goal in more if goal.asin == made[0].asin][:3] == [g for g in made if g.asin == made[0].asin]
    with pytest.raises(IndexError, match="made goal"):
        made[len(made)]
    with pytest.raises(CatalogError, match="per_product=0, expected at least 1"):
        made_goals(embedded, 0, 0)


def test_made_goals_are_reworded_where_the_catalogues_are(embedded: Catalog, made: MadeGoals) -> None:
    catalog = load_catalog(wording="reworded")
    goals = made_goals(catalog, 0, 3)
    same_wish = ("asin", "attributes", "options", "price_upper", "nouns")
    assert len(goals) == len(made)
    for place in range(0, len(goals), 100):
        assert all(getattr(goals[place], name) == getattr(made[place], name) for name in same_wish)
        assert "price lower than" not in goals[place].instruction
    assert sum(goals[place].instruction != made[place].instruction for place in range(100)) > 95
    assert goals[5] == made_goals(catalog, 0, 3)[5]


def test_the_catalogues_goals_stay_as_they_are(embedded: Catalog, made: MadeGoals) -> None:
    before = [embedded.goals[place] for place in range(20)]
    list(made)
    assert [embedded.goals[place] for place in range(20)] == before
    assert embedded.goals_sha256 == load_catalog().goals_sha256


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_a_made_goal_can_be_shopped_for(seed: int) -> None:
    """The target is opened, its options are clicked, and the purchase earns 1."""
    catalog = load_catalog()
    goals = made_goals_once(catalog)
    goal = goals[seed % len(goals)]
    state = PageState(kind="item", asin=goal.asin, keywords=("x",))
    wanted = best_options(catalog.product(goal.asin), goal)
    for text in [f"click[{value}]" for value in wanted.values()] + ["click[buy now]"]:
        state, invalid = follow(state, text, show(state, catalog, goal, "made"), catalog)
        assert invalid is None
    product = catalog.product(state.asin)
    assert state.kind == "bought"
    assert purchase_reward(product, goal, state.options, product.price)[0] == 1
    start = show(PageState(), catalog, goal, "made")
    assert goal.instruction in start.observation("text")
    assert start.valid_actions


_MADE: dict[str, MadeGoals] = {}


def made_goals_once(catalog: Catalog) -> MadeGoals:
    return _MADE.setdefault(catalog.sha256, made_goals(catalog, 7, 2))


def test_instructions_become_frames(embedded: Catalog) -> None:
    product = replace(
        embedded.products[0], query="table lamps", instruction_attributes=("steel frame", "mid century", "living room"),
        instruction="Find me Mid Century table lamps with steel frame for living room",
    )  # fmt: skip
    frame = "Find me {attribute} {kind} with {attribute} for {attribute}"
    assert frame_of(product) == frame
    assert places_of(frame) == ("before", "with", "for")
    assert places_of("{kind}, must be {attribute}, and {attribute}") == ("must be", "and")
    for text in ("Find me table lamps", "Find me mid century steel frame living room lamps", "a {kind}", None):
        assert frame_of(replace(product, instruction=text)) is None
    wording = read_wording([product])
    assert wording.frames[3] == Counter([frame])
    assert wording.frames[4] == Counter(["Find me {attribute}, {attribute}, {attribute}, {attribute} {kind}"])
    assert wording.sizes == Counter([3])
    rng = random.Random(0)
    attributes = ("dining room", "steel frame", "mid century")  # the last word says where an unknown one goes
    assert word(wording, "desks", attributes, rng) == "Find me mid century desks with steel frame for dining room"
    listed = replace(product, instruction="Find me mid century, steel frame table lamps for living room")
    assert read_wording([listed]).frames[2] == Counter(["Find me {attribute} {kind} for {attribute}"])
    assert all(KIND in one for frames in read_wording([]).frames.values() for one in frames)


def test_only_what_can_be_chosen_is_wished_for(tmp_path: Path) -> None:
    """Values that no click sets, that another group takes, or that the reward does not recognise are left out."""
    groups = options(
        Size=["8", "a[b", "search", "reviews", ""],
        Colour=["darkgrey", "red", "mint"],
        Other=["mint", "tall"],
        Odd=["鞋"],
    )
    records = [item(f"B00000000{number}", "Red sandal", customization_options=groups) for number in range(9)]
    asked = {"attributes": ["soft sole"], "instruction": "find sandals", "instruction_attributes": ["soft sole"]}
    attributes = {
        record["asin"]: asked if number < 5 else {"attributes": ["DUMMY_ATTR"] if number < 7 else ["soft sole", "鞋"]}
        for number, record in enumerate(records)
    }
    raw = write_catalog(tmp_path / "raw", records, attributes, {})
    built = build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"})
    catalog = load_catalog(built)
    assert wishable_options(catalog.products[0]) == {"colour": ("red",), "other": ("mint", "tall"), "size": ("8",)}
    goals = made_goals(catalog, 0, 100)
    untested = [catalog.products[int(place)].asin for place in goals.targets]
    assert {"B000000007", "B000000008"} < set(untested)
    assert not {"B000000005", "B000000006"} & set(untested)
    assert Counter(goal.asin for goal in goals) == dict.fromkeys(untested, 2)  # as many as there are wishes
    for goal in goals:
        assert best_reward(catalog.product(goal.asin), goal) == 1

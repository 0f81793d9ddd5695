"""The reward against hand-computed purchases and the recorded ones."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import RecordedProduct, read_recording, recorded_catalogs, recorded_products
from recrl.webshop.fuzzy import fuzzy_match
from recrl.webshop.reward import COLORS, color_or_itself, matched_attributes, matched_options, purchase_reward


@dataclass(frozen=True)
class Wanted:
    """A goal, as far as the reward reads it."""

    query: str = "desks"
    product_category: str = "Home › Furniture › Desks"
    attributes: tuple[str, ...] = ("non slip", "easy clean")
    options: dict[str, str] | tuple[str, ...] = field(default_factory=lambda: {"color": "dark blue", "size": "40x60"})
    price_upper: float = 50.0
    nouns: tuple[str, ...] = ("desk", "table", "desk", "oak")


DESK = RecordedProduct(
    asin="B1",
    title="Oak Desk, a Table with NON slip feet",
    description="For the office.",
    bullet_points=("Sturdy", "Easy clean surface"),
    product_category="Home › Furniture › Desks",
    query="desks",
    attributes=("solid wood",),
    nouns=("oak", "desk", "table"),
    search_text="",
)


def test_perfect_purchase() -> None:
    reward, parts = purchase_reward(DESK, Wanted(), {"color": "dark blue", "size": "40x60"}, 50.0)
    assert reward == 1.0
    assert parts == {
        "r_type": 1.0,
        "query_match": True,
        "category_match": True,
        "title_score": 0.75,  # 3 different nouns shared, of 4 noun tokens
        "r_att": 1.0,
        "w_att": 2 / 5,
        "r_option": 1.0,
        "w_option": 2 / 5,
        "r_price": True,
        "w_price": 1 / 5,
    }


def test_each_miss_costs_its_share() -> None:
    chosen = {"color": "dark blue", "size": "40x60"}
    assert purchase_reward(DESK, Wanted(), chosen, 50.01)[0] == pytest.approx(4 / 5)
    assert purchase_reward(DESK, Wanted(), {"color": "dark blue"}, 1.0)[0] == pytest.approx(4 / 5)
    assert purchase_reward(DESK, Wanted(attributes=("non slip", "heavy duty")), chosen, 1.0)[0] == pytest.approx(4 / 5)


def test_goal_without_options_has_no_option_parts() -> None:
    reward, parts = purchase_reward(DESK, Wanted(options=()), {"color": "red"}, 1.0)
    assert reward == 1.0
    assert parts["w_att"] == pytest.approx(2 / 3)
    assert "r_option" not in parts
    assert "w_option" not in parts


@pytest.mark.parametrize(
    ("shared_nouns", "num_nouns", "same_kind", "r_type"),
    [
        *[(0, 5, True, 0.0), (1, 11, True, 0.1), (1, 10, True, 1.0), (1, 5, True, 1.0)],
        *[(0, 5, False, 0.0), (1, 11, False, 0.1), (1, 10, False, 0.5), (1, 5, False, 0.5), (2, 9, False, 1.0)],
        *[(0, 0, False, 0.5), (0, 0, True, 1.0)],  # a goal without nouns scores 0.2
    ],
)
def test_type(shared_nouns: int, num_nouns: int, same_kind: bool, r_type: float) -> None:
    nouns = tuple(f"noun{number}" for number in range(num_nouns))
    product = replace(DESK, nouns=nouns[:shared_nouns], query="desks" if same_kind else "shoes", product_category="")
    assert purchase_reward(product, Wanted(nouns=nouns), {}, 1.0)[1]["r_type"] == r_type


@pytest.mark.parametrize(
    ("category", "match"),
    [("Home›Furniture", True), ("Furniture › Home", True), ("Home › Home", False), ("Home › Tables", False)],
)
def test_two_shared_category_levels(category: str, match: bool) -> None:
    product = replace(DESK, product_category=category)
    assert purchase_reward(product, Wanted(), {}, 1.0)[1]["category_match"] is match


def test_attributes_match_fuzzily_or_literally() -> None:
    assert matched_attributes(replace(DESK, attributes=("wood, solid",)), ["solid wood"]) == 1
    assert matched_attributes(DESK, ["office", "sturdy easy", "non slip"]) == 3  # bullets are joined by a blank
    assert matched_attributes(DESK, ["Sturdy"]) == 0  # texts are lower-cased, the wanted attribute is not


@pytest.mark.parametrize(
    ("left", "right", "match"),
    [
        ("solid wood", "Wood, SOLID!", True),
        ("solid wood", "wood", True),  # the words of one side among the other's
        ("machine wash", "machine washable", True),  # 2 x 12 of 28 letters: ratio 86
        ("hand wash", "machine wash", False),
        ("easy to clean", "easy clean", True),
        ("", "", False),
        ("漢字", "漢字", False),  # nothing is left of either
        ("!!!", "!!!", False),
        ("crème", "crme", True),
        (("size", "10"), "10", True),  # a pair becomes text
    ],
)
def test_fuzzy_match(left: object, right: object, match: bool) -> None:
    assert fuzzy_match(left, right) is match
    assert fuzzy_match(right, left) is match


@settings(deadline=None, derandomize=True)
@given(st.text("abc 12", max_size=12))
def test_whatever_has_letters_or_digits_matches_itself(text: str) -> None:
    assert fuzzy_match(text, text) is bool(text.strip())


def test_colors() -> None:
    assert len(COLORS) == len(set(COLORS)) == 102
    assert color_or_itself("navy blue") == "blue"  # the list's order, not the text's
    assert color_or_itself("tandem") == "tan"
    assert color_or_itself("10 inch") == "10 inch"
    assert color_or_itself(("color", "blue")) == "blue"
    assert color_or_itself(("color", "navy blue")) == ("color", "navy blue")


def test_options() -> None:
    assert matched_options(["sky blue"], ["blue", "dark blue", "light"]) == 2  # "dark blue" is the colour blue
    assert matched_options(["x-large"], ["large x", "small"]) == 1
    assert matched_options(["red"], [("color", "red"), ("trim", "red")]) == 2  # one value may match several
    assert matched_options(["tandem"], ["tandem"]) == 1  # both are "tan"
    assert matched_options(["tandem"], [("type", "tandem")]) == 0  # a colour is not looked for inside a pair's texts
    assert matched_options([], ["red"]) == 0


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "num_rewards"), [("real", 300), ("quirks", 2000)])
def test_equals_the_recorded_rewards(webshop_dir: Path, golden_dir: Path, name: str, num_rewards: int) -> None:
    """The reward and every part, to the last bit."""
    items_file, recordings = recorded_catalogs(webshop_dir, golden_dir)[name]
    products = {product.asin: product for product in recorded_products(items_file, recordings)}
    records = read_recording(recordings, "rewards")
    assert len(records) == num_rewards
    for record in records:
        goal = record["goal"]
        wanted = Wanted(
            query=goal["query"],
            product_category=goal["product_category"],
            attributes=tuple(goal["attributes"]),
            options=goal["goal_options"],
            price_upper=goal["price_upper"],
            nouns=products[goal["asin"]].nouns,
        )
        reward, parts = purchase_reward(products[record["asin"]], wanted, record["options"], record["price"])
        assert (reward, parts) == (record["reward"], record["info"])

"""The price bound that an instruction names, in the template's words and in people's."""

import json
from pathlib import Path

import pytest

from recrl.webshop.catalog import load_catalog
from recrl.webshop.goals import NO_BOUND
from recrl.webshop.prices import lowest_price, price_bound

BOUNDS = [
    ("a hat, and price lower than 30.00 dollars", 30.0),
    ("Find me a hat priced lower than $12.50 dollars", 12.5),
    ("a hat under $40", 40.0),
    ("a hat below 40 dollars", 40.0),
    ("for less than 40 dollars, a hat", 40.0),
    ("40 bucks at most", 40.0),
    ("40$ max", 40.0),
    ("$40.00 tops", 40.0),
    ("under USD 40", 40.0),
    ("my budget is $40. i want a hat of size 7", 40.0),
    ("a budget of forty dollars", 40.0),
    ("my budget is forty", 40.0),
    ("budget 40", 40.0),
    ("a hat for forty-five bucks or less, pack of 50", 45.0),
    ("at most two hundred and fifty dollars", 250.0),
    ("a hundred dollars at most", 100.0),
    ("price less than ninety nine dollars", 99.0),
    ("no more than $1,200", 1200.0),
    ("up to 40 bucks for a pack of 12", 40.0),
    ("i don't want to pay more than 40 dollars", 40.0),
    ("it must not cost more than one hundred dollars", 100.0),
    ("the price can't exceed 40 dollars", 40.0),
    ("nothing over $40 please", 40.0),
    ("between $20 and $40", 40.0),
    ("between 20 and 40 dollars", 40.0),
    ("from $20 to $40", 40.0),
    ("$20-$40", 40.0),
    ("i have $40 to spend", 40.0),
    ("$40 is my limit", 40.0),
    ("it should cost less than 40", 40.0),
    ("price under 40 please", 40.0),
    ("lower than 20, size 9", 20.0),
    ("a $25 gift card under $20", 20.0),
    ("more than 3 pockets for under $30", 30.0),
    ("under $30, no wait, under $20", 20.0),
]
NO_BOUNDS = [
    "a hat of size 12",
    "a hat",
    "a pack of 40",
    "less than 12 inches wide",
    "size less than 12 oz",
    "under 40 inches",
    'less than 3.5" wide',
    "for kids under 10",
    "up to 40 pounds",
    "size 40 at most",
    "number of items up to 40",
    "not more than 3 pockets",
    "over $40",
    "it must cost more than $40",
    "at least 40 dollars",
    "i would pay for 2 shirts",
    "a $25 gift card",
    "seven and a half",
]


@pytest.mark.parametrize(("instruction", "bound"), BOUNDS)
def test_bounds_are_read_in_any_wording(instruction: str, bound: float) -> None:
    assert price_bound(instruction) == bound
    assert price_bound(instruction.upper()) == bound


@pytest.mark.parametrize("instruction", NO_BOUNDS)
def test_sizes_counts_and_floors_are_no_bounds(instruction: str) -> None:
    assert price_bound(instruction) is None


@pytest.mark.parametrize("wording", ["template", "reworded"])
def test_every_embedded_goal_s_bound_is_read(wording: str) -> None:
    for goal in load_catalog(wording=wording).goals:
        assert price_bound(goal.instruction) == (None if goal.price_upper == NO_BOUND else goal.price_upper)
        assert price_bound(goal.instruction_without_price) is None


@pytest.mark.realdata
def test_every_published_goal_s_bound_is_read(webshop_dir: Path) -> None:
    for goal in load_catalog(webshop_dir).goals:
        assert price_bound(goal.instruction) == (None if goal.price_upper == NO_BOUND else goal.price_upper)
        assert price_bound(goal.instruction_without_price) is None
    for instruction in json.loads((webshop_dir / "human_goals.json").read_text()):
        assert price_bound(f"{instruction}, and price lower than 70.00 dollars") == 70.0


def test_price_tags() -> None:
    assert [lowest_price(tag) for tag in ("$5.0", "$5.0 to $7.5", "none")] == [5.0, 5.0, None]

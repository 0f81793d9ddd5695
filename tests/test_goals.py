"""Goals and their splits, against plain loops and by their invariants."""

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop.goals import Goal, draw_bound, draw_prices, make_goals, split_goals, split_size
from recrl.webshop.rawfiles import RawProduct


def product(number: int, *, pricing: tuple[float, ...] = (15.0,), human: int = 0, **changed: object) -> RawProduct:
    fields: dict[str, object] = {
        "record": number,
        "asin": f"B{number:09d}",
        "title": f"Thing {number}",
        "description": "",
        "bullet_points": ("",),
        "pricing": pricing,
        "price_tag": "$15.0",
        "options": {},
        "attributes": ("soft",),
        "category": "things",
        "product_category": "Things › Small",
        "query": "thing",
        "image": "",
        "instruction": f"find thing {number}",
        "instruction_attributes": ("soft",),
        "has_attribute_record": True,
        "human_instructions": tuple(
            {"instruction": f"..thing {number} {turn}.", "instruction_attributes": ["soft"], "instruction_options": []}
            for turn in range(human)
        ),
    }
    return RawProduct(**(fields | changed))  # type: ignore[arg-type]


def goal(number: int, asin: str) -> Goal:
    text = f"goal {number}"
    return Goal(asin, "", "", "", "", text, text, ("soft",), 1e6, {}, 1.0, ())


def goals_of(products: Sequence[RawProduct], *, human: bool, seed: int = 0) -> list[Goal]:
    rng = random.Random(seed)
    prices = draw_prices(products, rng)
    return make_goals(products, prices, [()] * len(products), rng, human=human)


def test_the_draws_are_those_of_a_seeded_global_generator() -> None:
    """All product prices first, then one bound per human goal: what `random.seed(5)` gives the original."""
    products = [product(0, pricing=(10.0, 30.0), human=2), product(1, human=1), product(2, pricing=(1.0, 2.0), human=1)]
    ours = {goal.instruction_without_price: goal.price_upper for goal in goals_of(products, human=True, seed=5)}
    random.seed(5)
    prices = [random.uniform(10.0, 30.0), 15.0, random.uniform(1.0, 2.0)]
    expected = {}
    for place, count in ((0, 2), (1, 1), (2, 1)):
        for turn in range(count):
            above = [10.0 * step for step in range(1, 100) if 10.0 * step > prices[place]][:4]
            expected[f"thing {place} {turn}"] = max(random.sample(above, 2))
    assert ours == expected


def test_a_synthetic_bound_is_drawn_once_per_product_even_if_no_goal_comes_of_it() -> None:
    products = [
        product(0, options={"size": ()}),  # a group without values leaves no combination
        product(1, options={"size": ("s", "m"), "color": ("red", "blue")}),
        product(2, instruction=None, instruction_attributes=()),
        product(3),
    ]
    goals = goals_of(products, human=False, seed=3)
    rng = random.Random(3)
    bounds = [draw_bound(15.0, rng)[0] for _ in range(3)]  # of products 0, 1 and 3
    assert Counter(goal.asin for goal in goals) == {"B000000001": 4, "B000000003": 1}
    assert {goal.price_upper for goal in goals if goal.asin == "B000000001"} == {bounds[1]}
    assert {goal.price_upper for goal in goals if goal.asin == "B000000003"} == {bounds[2]}
    clause = " with color: red, and size: s"
    assert f"find thing 1{clause}" in {goal.instruction_without_price for goal in goals}


def test_the_order_is_the_shuffle_with_233() -> None:
    products = [product(number) for number in range(50)]
    order = [product.asin for product in products]
    random.Random(233).shuffle(order)
    assert [goal.asin for goal in goals_of(products, human=False)] == order


def test_weights_are_mean_inverse_frequencies() -> None:
    wanted = [("soft",), ("soft", "warm"), ("warm", "red"), ("soft",)]
    products = [product(number, instruction_attributes=attributes) for number, attributes in enumerate(wanted)]
    weights = {goal.asin: goal.weight for goal in goals_of(products, human=False)}
    expected = [1 / 3, (1 / 3 + 1 / 2) / 2, (1 / 2 + 1) / 2, 1 / 3]
    assert [weights[product.asin] for product in products] == pytest.approx(expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(price=st.floats(0.01, 2000), seed=st.integers(0, 10_000))
def test_a_bound_is_one_of_the_four_next_tens(price: float, seed: int) -> None:
    bound, clause = draw_bound(price, random.Random(seed))
    if price >= 980:
        assert (bound, clause) == (1_000_000.0, "")
    else:
        lowest = 10.0 * (price // 10 + 1)
        assert bound in [lowest + 10.0 * step for step in (1, 2, 3)]  # the larger of two cannot be the first
        assert price < bound <= 990.0
        assert clause == f", and price lower than {bound:.2f} dollars"


@pytest.mark.parametrize(
    ("count", "test", "dev"), [(10, 2, 1), (19, 3, 1), (2999, 599, 299), (3000, 500, 1000), (6910, 500, 1000)]
)
def test_the_split_by_goal_takes_the_list_in_order(count: int, test: int, dev: int) -> None:
    goals = [goal(number, "A") for number in range(count)]
    parts = [split_goals(goals, name).tolist() for name in ("test", "dev", "train")]
    assert [len(part) for part in parts] == [test, dev, count - test - dev]
    assert list(itertools.chain(*parts)) == list(range(count)) == split_goals(goals, "all").tolist()


def plain_split_by_product(goals: Sequence[Goal], split: str) -> list[int]:
    """The rule of the split by product, as a plain loop."""
    asins = sorted({goal.asin for goal in goals}, key=lambda asin: hashlib.sha256(asin.encode()).hexdigest())
    first, second = int(0.4 * len(asins)), int(0.5 * len(asins))
    chosen = {"test": asins[:first], "dev": asins[first:second], "train": asins[second:]}[split]
    if split == "train":
        return [index for index, goal in enumerate(goals) if goal.asin in chosen]
    result = []
    for turn in range(5):
        for asin in chosen:
            own = [index for index, goal in enumerate(goals) if goal.asin == asin]
            result += own[turn : turn + 1]
    return result


@settings(max_examples=60, deadline=None, derandomize=True)
@given(targets=st.lists(st.integers(0, 25), min_size=1, max_size=80))
def test_the_split_by_product_parts_the_products(targets: list[int]) -> None:
    goals = [goal(number, f"B{target:09d}") for number, target in enumerate(targets)]
    asins = {}
    for name in ("train", "dev", "test"):
        expected = plain_split_by_product(goals, name)
        assert split_size(goals, name, "product") == len(expected)
        if not expected:
            with pytest.raises(CatalogError, match=f"the {name} split by product of {len(goals)} goals is empty"):
                split_goals(goals, name, "product")
            continue
        indices = split_goals(goals, name, "product")
        assert indices.tolist() == expected
        asins[name] = {goals[index].asin for index in indices}
    for one, other in itertools.combinations(asins.values(), 2):
        assert not one & other


def test_unknown_splits_are_named() -> None:
    goals = [goal(0, "A")]
    with pytest.raises(CatalogError, match=r"split='validation'.*train, dev, test, all"):
        split_goals(goals, "validation")
    with pytest.raises(CatalogError, match=r"split_by='user'.*goal or product"):
        split_goals(goals, "all", "user")


@pytest.mark.realdata
def test_the_published_protocols(webshop_dir: object) -> None:
    from recrl.webshop.catalog import load_catalog

    catalog = load_catalog(str(webshop_dir))
    assert (len(catalog.products), len(catalog.goals)) == (1000, 6910)
    assert (catalog.protocol(), catalog.protocol("product")) == ("webshop-1k", "webshop-1k-unseen")
    assert len(catalog.split("test")) == 500
    unseen = catalog.split("test", "product")
    assert (len(unseen), len({catalog.goals[index].asin for index in unseen})) == (431, 166)
    assert np.array_equal(unseen, split_goals(catalog.goals, "test", "product"))
    seen = {catalog.goals[index].asin for index in catalog.split("train")}
    assert sum(catalog.goals[index].asin in seen for index in catalog.split("test")) == 479

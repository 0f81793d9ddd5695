"""Goals and their splits, against plain loops and by their invariants."""

import hashlib
import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop.goal_list import GoalList, draw_goals, goals_fingerprint
from recrl.webshop.goals import Goal, check_split, draw_bound, price_clause, split_by_goal, split_by_product
from recrl.webshop.products import PRODUCTS_FILE, SCHEMA, ProductStore, product_batch
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


def store_of(products: Sequence[RawProduct], rows_per_batch: int = 3) -> ProductStore:
    """The products as they lie on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PRODUCTS_FILE
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for start in range(0, len(products), rows_per_batch):
                part = products[start : start + rows_per_batch]
                writer.write_batch(product_batch(part, [(product.title.lower(),) for product in part]))
        return ProductStore(path)  # the mapping outlives the name


def goals_of(products: Sequence[RawProduct], *, human: bool, seed: int = 0) -> GoalList:
    store = store_of(products)
    return GoalList(store, draw_goals(store, seed, human=human), human=human, seed=seed)


def plain_goals(products: Sequence[RawProduct], *, human: bool, seed: int) -> list[Goal]:
    """The rules of docs/webshop.md's original as a plain loop over a list of all goals."""
    rng = random.Random(seed)
    prices = [rng.uniform(*one.pricing) if len(one.pricing) > 1 else one.pricing[0] for one in products]
    goals = []
    for one, price in zip(products, prices, strict=True):
        wishes: list[tuple[str, tuple[str, ...], object]] = []
        if human:
            for entry in one.human_instructions:
                if entry["instruction_attributes"]:
                    text = entry["instruction"].strip(".")
                    wishes.append((text, tuple(entry["instruction_attributes"]), tuple(entry["instruction_options"])))
        elif one.instruction is not None:
            bound = draw_bound(price, rng)
            for values in itertools.product(*(one.options[name] for name in sorted(one.options))):
                options = dict(zip(sorted(one.options), values, strict=True))
                clause = ", and ".join(f"{name}: {value}" for name, value in options.items())
                text = one.instruction + (f" with {clause}" if clause else "")
                wishes.append((text, one.instruction_attributes, options))
        for text, attributes, options in wishes:
            if human:
                bound = draw_bound(price, rng)
            fields = (one.asin, one.category, one.query, one.title, one.product_category, text + price_clause(bound))
            goals.append(Goal(*fields, text, attributes, bound, options, 1.0, (one.title.lower(),)))  # type: ignore[arg-type]
    if not human:
        counts = Counter(attribute for goal in goals for attribute in goal.attributes)
        weights = [sum(1.0 / counts[name] for name in goal.attributes) / len(goal.attributes) for goal in goals]
        goals = [replace(goal, weight=weight) for goal, weight in zip(goals, weights, strict=True)]
    random.Random(233).shuffle(goals)
    return goals


OPTIONS = st.dictionaries(
    st.sampled_from(["color", "size", "a"]), st.lists(st.sampled_from("xyz"), max_size=3).map(tuple), max_size=3
)
PRODUCTS = st.lists(
    st.fixed_dictionaries(
        {
            "options": OPTIONS,
            "pricing": st.sampled_from([(15.0,), (978.5,), (985.0,), (2000.0,), (10.0, 30.0), (960.0, 1000.0)]),
            "instruction": st.sampled_from([None, "find it", "want it"]),
            "instruction_attributes": st.lists(st.sampled_from("pqr"), min_size=1, max_size=4).map(tuple),
            "human": st.integers(0, 3),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(changes=PRODUCTS, human=st.booleans(), seed=st.integers(0, 3))
def test_described_goals_equal_the_plain_list(changes: list[dict[str, Any]], human: bool, seed: int) -> None:
    products = [product(number, **change) for number, change in enumerate(changes)]
    expected = plain_goals(products, human=human, seed=seed)
    if not expected:
        with pytest.raises(CatalogError, match="the catalogue has no"):
            goals_of(products, human=human, seed=seed)
        return
    goals = goals_of(products, human=human, seed=seed)
    assert list(goals) == expected == [goals[index] for index in range(len(goals))]
    assert goals[-1] == expected[-1]
    assert goals[1:3] == expected[1:3]
    assert goals.weights(range(len(goals))).tolist() == [goal.weight for goal in expected]
    for split, split_by in itertools.product(("train", "dev", "test", "all"), ("goal", "product")):
        indices = goals.split(split, split_by)
        running = goals.cumulative_weights(split, split_by)
        assert running == pytest.approx(np.cumsum([expected[index].weight for index in indices]))


def test_a_list_has_no_goal_beyond_its_end() -> None:
    goals = goals_of([product(0), product(1)], human=False)
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"goal {index} of 2"):
            goals[index]


def test_the_fingerprint_covers_every_field() -> None:
    one = product(0, options={"size": ("s", "m")})
    changes: list[dict[str, object]] = [
        {}, {"options": {"size": ("m", "s")}}, {"query": "q"}, {"title": "t"}, {"instruction": "i"},
        {"pricing": (25.0,)}, {"category": "c"}, {"product_category": "p"}, {"instruction_attributes": ("x",)},
    ]  # fmt: skip
    found = [goals_fingerprint(goals_of([replace(one, **change)], human=False)) for change in changes]  # type: ignore[arg-type]
    assert len(set(found)) == len(changes)


def test_more_goals_than_can_be_described_are_refused_by_name() -> None:
    options = {f"group {letter}": tuple(map(str, range(40))) for letter in "abcdef"}  # 4e9 combinations
    endless = {f"group {letter}": tuple(map(str, range(40))) for letter in "abcdefghijklmnop"}  # more than 64 bits hold
    for wanted in (options, endless):
        with pytest.raises(
            CatalogError, match=r"more than 2147483647; most of all those of record 1 \(asin B000000001\)"
        ):
            goals_of([product(0), product(1, options=wanted)], human=False)


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
    bounds = [draw_bound(15.0, rng) for _ in range(3)]  # of products 0, 1 and 3
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
    bound = draw_bound(price, random.Random(seed))
    if price >= 980:
        assert (bound, price_clause(bound)) == (1_000_000.0, "")
    else:
        lowest = 10.0 * (price // 10 + 1)
        assert bound in [lowest + 10.0 * step for step in (1, 2, 3)]  # the larger of two cannot be the first
        assert price < bound <= 990.0
        assert price_clause(bound) == f", and price lower than {bound:.2f} dollars"


@pytest.mark.parametrize(
    ("count", "test", "dev"), [(10, 2, 1), (19, 3, 1), (2999, 599, 299), (3000, 500, 1000), (6910, 500, 1000)]
)
def test_the_split_by_goal_takes_the_list_in_order(count: int, test: int, dev: int) -> None:
    parts = [list(split_by_goal(count, name)) for name in ("test", "dev", "train")]
    assert [len(part) for part in parts] == [test, dev, count - test - dev]
    assert list(itertools.chain(*parts)) == list(range(count)) == list(split_by_goal(count, "all"))


def plain_split_by_product(targets: Sequence[str], split: str) -> list[int]:
    """The rule of the split by product, as a plain loop."""
    asins = sorted(set(targets), key=lambda asin: hashlib.sha256(asin.encode()).hexdigest())
    first, second = int(0.4 * len(asins)), int(0.5 * len(asins))
    chosen = {"test": asins[:first], "dev": asins[first:second], "train": asins[second:]}[split]
    if split == "train":
        return [index for index, target in enumerate(targets) if target in chosen]
    result = []
    for turn in range(5):
        for asin in chosen:
            own = [index for index, target in enumerate(targets) if target == asin]
            result += own[turn : turn + 1]
    return result


@settings(max_examples=60, deadline=None, derandomize=True)
@given(numbers=st.lists(st.integers(0, 25), min_size=1, max_size=80))
def test_the_split_by_product_parts_the_products(numbers: list[int]) -> None:
    targets = [f"B{number:09d}" for number in numbers]
    asins, target_of = np.unique(targets, return_inverse=True)
    found = {}
    for name in ("train", "dev", "test"):
        indices = split_by_product(asins.tolist(), target_of, name)
        assert indices.tolist() == plain_split_by_product(targets, name)
        found[name] = {targets[index] for index in indices}
    for one, other in itertools.combinations(found.values(), 2):
        assert not one & other


def test_unknown_splits_are_named() -> None:
    with pytest.raises(CatalogError, match=r"split='validation'.*train, dev, test, all"):
        check_split("validation", "goal")
    with pytest.raises(CatalogError, match=r"split_by='user'.*goal or product"):
        check_split("all", "user")


@pytest.mark.realdata
def test_the_published_protocols(webshop_dir: object) -> None:
    from recrl.webshop.catalog import load_catalog

    catalog = load_catalog(str(webshop_dir))
    assert (len(catalog.products), len(catalog.goals)) == (1000, 6910)
    assert (catalog.protocol("goal"), catalog.protocol()) == ("webshop-1k", "webshop-1k-unseen")
    assert len(catalog.split("test", "goal")) == 500
    unseen = catalog.split("test")
    assert (len(unseen), len({catalog.goals[index].asin for index in unseen})) == (431, 166)
    assert unseen.tolist() == plain_split_by_product([goal.asin for goal in catalog.goals], "test")
    seen = {catalog.goals[index].asin for index in catalog.split("train", "goal")}
    assert sum(catalog.goals[index].asin in seen for index in catalog.split("test", "goal")) == 479

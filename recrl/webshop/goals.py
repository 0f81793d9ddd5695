"""Goals: what a shopper wants, with price bounds drawn from a seed, in the order of the seed-233 shuffle; and splits.

Draws and shuffles are those of Python's `random` with the same seeds, so that the goals are the original's.
"""

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.webshop.rawfiles import RawProduct

SPLITS = ("train", "dev", "test", "all")
SPLIT_BY = ("goal", "product")
SHUFFLE_SEED = 233
NO_BOUND = 1_000_000.0  # dollars; of a product too dear for any bound
PRICE_BOUNDS = tuple(10.0 * step for step in range(1, 100))
TEST_GOALS, DEV_GOALS = 500, 1000  # of the split by goal
SMALL_LIST = 3000  # a shorter list of goals is split by shares instead
TEST_SHARE, DEV_SHARE = 0.4, 0.1  # of the products, in the split by product
MOST_GOALS_PER_PRODUCT = 5  # in test and dev of the split by product


@dataclass(frozen=True, slots=True)
class Goal:
    """What a shopper wants.

    Attributes:
        asin, category, query, name, product_category, nouns: of the target product.
        instruction: what the shopper says; instruction_without_price: the same without the price clause.
        attributes: wanted attributes, at least one; price_upper: the bound in dollars.
        options: wanted options: name -> value for a synthetic goal, values for a human one.
        weight: how often the goal is drawn, relative to the others.
    """

    asin: str
    category: str
    query: str
    name: str
    product_category: str
    instruction: str
    instruction_without_price: str
    attributes: tuple[str, ...]
    price_upper: float
    options: dict[str, str] | tuple[str, ...]
    weight: float
    nouns: tuple[str, ...]


def draw_prices(products: Sequence[RawProduct], rng: random.Random) -> list[float]:
    """One price per product in dollars: its own, or a uniform draw from its range."""
    return [
        product.pricing[0] if len(product.pricing) == 1 else rng.uniform(*product.pricing[:2]) for product in products
    ]


def draw_bound(price: float, rng: random.Random) -> tuple[float, str]:
    """A price bound in dollars for a product of that price, and the clause that says it (empty if there is none)."""
    above = [bound for bound in PRICE_BOUNDS if bound > price][:4]
    if len(above) < 2:
        return NO_BOUND, ""
    bound = max(rng.sample(above, 2))
    return bound, f", and price lower than {bound:.2f} dollars"


def make_goals(
    products: Sequence[RawProduct],
    prices: Sequence[float],
    nouns: Sequence[tuple[str, ...]],
    rng: random.Random,
    *,
    human: bool,
) -> list[Goal]:
    """All goals in the shuffled order.

    Args:
        products, prices, nouns: one of each per product.
        rng: in the state in which `draw_prices` left it.
        human: goals from the human instructions, else synthetic ones.

    Raises:
        CatalogError: synthetic goals need a product's attributes, and the attributes file lacks it.
    """
    make = _human_goals if human else _synthetic_goals
    goals = [goal for row in zip(products, prices, nouns, strict=True) for goal in make(*row, rng)]
    if not human:
        counts = Counter(attribute for goal in goals for attribute in goal.attributes)
        goals = [replace(goal, weight=_weight(goal, counts)) for goal in goals]
    random.Random(SHUFFLE_SEED).shuffle(goals)
    return goals


def _weight(goal: Goal, counts: Counter[str]) -> float:
    """The mean over the goal's attributes of 1 / (number of goals with that attribute)."""
    return sum(1.0 / counts[attribute] for attribute in goal.attributes) / len(goal.attributes)


def _goal(product: RawProduct, nouns: tuple[str, ...], text: str, price_clause: str, **fields: Any) -> Goal:
    return Goal(
        asin=product.asin,
        category=product.category,
        query=product.query,
        name=product.title,
        product_category=product.product_category,
        instruction=text + price_clause,
        instruction_without_price=text,
        weight=1.0,
        nouns=nouns,
        **fields,
    )


def _human_goals(product: RawProduct, price: float, nouns: tuple[str, ...], rng: random.Random) -> Iterator[Goal]:
    for entry in product.human_instructions:
        if not entry["instruction_attributes"]:
            continue
        bound, price_clause = draw_bound(price, rng)
        yield _goal(
            product,
            nouns,
            entry["instruction"].strip("."),
            price_clause,
            attributes=tuple(entry["instruction_attributes"]),
            price_upper=bound,
            options=tuple(entry["instruction_options"]),
        )


def _synthetic_goals(product: RawProduct, price: float, nouns: tuple[str, ...], rng: random.Random) -> Iterator[Goal]:
    """A goal for every combination of option values; the bound is drawn even if there is none."""
    if not product.has_attribute_record:
        raise CatalogError(
            f"record {product.record} (asin {product.asin}) is not in the attributes file, so it can have no synthetic "
            "goals; add it there, leave the record out, or use human goals"
        )
    if product.instruction is None:
        return
    bound, price_clause = draw_bound(price, rng)
    names = sorted(product.options)
    for values in itertools.product(*(product.options[name] for name in names)):
        options = dict(zip(names, values, strict=True))
        clause = ", and ".join(f"{name}: {value}" for name, value in options.items())
        yield _goal(
            product,
            nouns,
            product.instruction + (f" with {clause}" if clause else ""),
            price_clause,
            attributes=product.instruction_attributes,
            price_upper=bound,
            options=options,
        )


def split_goals(goals: Sequence[Goal], split: str, split_by: str = "goal") -> np.ndarray:
    """The goals of a split.

    By goal: the first 500 of the list are test, the next 1,000 dev, the rest train; of a list of fewer than 3,000 the
    first 20% and the next 10%. By product: the target products, ordered by the SHA-256 of their asin, are divided
    40% : 10% : 50% into test, dev and train; test and dev take their goals in rounds over the products, in the list's
    order within each, at most 5 of a product.

    Returns:
        (goals,) indices into the list, in evaluation order.

    Raises:
        CatalogError: an unknown name, or the split is empty.
    """
    indices = _split(goals, split, split_by)
    if not len(indices):
        raise CatalogError(f"the {split} split by {split_by} of {len(goals)} goals is empty; use a larger catalogue")
    return indices


def split_size(goals: Sequence[Goal], split: str, split_by: str = "goal") -> int:
    """How many goals a split has, also if it has none."""
    return len(_split(goals, split, split_by))


def _split(goals: Sequence[Goal], split: str, split_by: str) -> np.ndarray:
    if split not in SPLITS or split_by not in SPLIT_BY:
        raise CatalogError(
            f"split={split!r}, split_by={split_by!r}: expected one of {', '.join(SPLITS)} and {' or '.join(SPLIT_BY)}"
        )
    if split == "all":
        return np.arange(len(goals))
    return _split_by_goal(len(goals), split) if split_by == "goal" else _split_by_product(goals, split)


def _split_by_goal(count: int, split: str) -> np.ndarray:
    test, dev = (TEST_GOALS, DEV_GOALS) if count >= SMALL_LIST else (count // 5, count // 10)
    start, stop = {"test": (0, test), "dev": (test, test + dev), "train": (test + dev, count)}[split]
    return np.arange(start, stop)


def _split_by_product(goals: Sequence[Goal], split: str) -> np.ndarray:
    asins = sorted({goal.asin for goal in goals}, key=lambda asin: hashlib.sha256(asin.encode()).hexdigest())
    test, dev = int(len(asins) * TEST_SHARE), int(len(asins) * (TEST_SHARE + DEV_SHARE))
    start, stop = {"test": (0, test), "dev": (test, dev), "train": (dev, len(asins))}[split]
    of_product: dict[str, list[int]] = {asin: [] for asin in asins[start:stop]}
    for index, goal in enumerate(goals):
        if goal.asin in of_product:
            of_product[goal.asin].append(index)
    if split == "train":
        return np.array(sorted(itertools.chain.from_iterable(of_product.values())), dtype=np.int64)
    rounds = itertools.zip_longest(*(indices[:MOST_GOALS_PER_PRODUCT] for indices in of_product.values()))
    return np.array([index for turn in rounds for index in turn if index is not None], dtype=np.int64)

"""Goals: what a shopper wants; the draw of price bounds; and the rules by which goals are split.

Draws and shuffles are those of Python's `random` with the same seeds, so that the goals are the original's.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recrl.errors import CatalogError

SPLITS = ("train", "dev", "test", "all")
SPLIT_BY = ("goal", "product")
GOAL_DRAWS = ("weight", "uniform", "product")  # how training goals are drawn; see `GoalList.chances`
DEFAULT_SPLIT_BY = "product"  # of the environment, the commands and the recipes
DEFAULT_MAX_STEPS = 15  # the step limit of environments, commands and recipes
WORDINGS = ("template", "reworded")  # of synthetic goals, see `recrl.webshop.wording`
UNSEEN_SUFFIX = "-unseen"  # of the protocols whose splits share no product
REWORDED_SUFFIX = "-reworded"  # behind it, of the protocols whose goals are said in free words
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
        instruction: what the shopper says; instruction_without_price: the same without any mention of the price.
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


def draw_bound(price: float, rng: random.Random) -> float:
    """A price bound in dollars for a product of that price."""
    first = next((place for place, bound in enumerate(PRICE_BOUNDS) if bound > price), len(PRICE_BOUNDS))
    above = PRICE_BOUNDS[first : first + 4]
    return max(rng.sample(above, 2)) if len(above) >= 2 else NO_BOUND


def price_clause(bound: float) -> str:
    """What an instruction says of the bound; nothing if there is none."""
    return "" if bound == NO_BOUND else f", and price lower than {bound:.2f} dollars"


def check_split(split: str, split_by: str) -> None:
    """Raises CatalogError unless both are known."""
    if split not in SPLITS or split_by not in SPLIT_BY:
        raise CatalogError(
            f"split={split!r}, split_by={split_by!r}: expected one of {', '.join(SPLITS)} and {' or '.join(SPLIT_BY)}"
        )


def check_wording(wording: str, *, human_goals: bool) -> None:
    """Raises CatalogError unless the wording is known and such goals can be said in it."""
    if wording not in WORDINGS:
        raise CatalogError(f"wording={wording!r}, expected one of {', '.join(WORDINGS)}")
    if wording != "template" and human_goals:
        raise CatalogError(
            f"wording={wording!r} is for synthetic goals; human goals are in people's own words already: leave out one "
            "of wording and human_goals"
        )


def protocol_name(catalog: str, *, split_by: str, wording: str) -> str:
    """The protocol of a catalogue's goals, split and said like this: ``webshop-1k-unseen-reworded``."""
    unseen = UNSEEN_SUFFIX if split_by == "product" else ""
    return catalog + unseen + (REWORDED_SUFFIX if wording == "reworded" else "")


def read_protocol(protocol: str) -> tuple[str, str]:
    """What the goals of a protocol are split by, and their wording."""
    plain = protocol.removesuffix(REWORDED_SUFFIX)
    split_by = "product" if plain.endswith(UNSEEN_SUFFIX) else "goal"
    return split_by, "template" if plain == protocol else "reworded"


def split_by_goal(count: int, split: str) -> range:
    """The goals of a split by goal: of ``count`` the first 500 are test, the next 1,000 dev, the rest train; of fewer
    than 3,000 the first 20% and the next 10%.
    """
    test, dev = (TEST_GOALS, DEV_GOALS) if count >= SMALL_LIST else (count // 5, count // 10)
    start, stop = {"test": (0, test), "dev": (test, test + dev), "train": (test + dev, count), "all": (0, count)}[split]
    return range(start, stop)


def split_by_product(asins: Sequence[str], target_of: np.ndarray, split: str) -> np.ndarray:
    """The goals of a split by product.

    The target products, ordered by the SHA-256 of their asin, are divided 40% : 10% : 50% into test, dev and train;
    test and dev take their goals in rounds over the products, in the list's order within each, at most 5 of a product.

    Args:
        asins: of the target products, each once; target_of: (goals,) each one's place in ``asins``.

    Returns:
        (goals of the split,) int64, in evaluation order.
    """
    digests = [hashlib.sha256(asin.encode()).digest() for asin in asins]
    by_digest = sorted(range(len(asins)), key=digests.__getitem__)
    test, dev = int(len(asins) * TEST_SHARE), int(len(asins) * (TEST_SHARE + DEV_SHARE))
    start, stop = {"test": (0, test), "dev": (test, dev), "train": (dev, len(asins))}[split]
    turn_of = np.full(len(asins), -1)  # each product's turn within the split
    turn_of[by_digest[start:stop]] = np.arange(stop - start)
    goals = np.flatnonzero(turn_of[target_of] >= 0)
    if split == "train":
        return goals
    turns = turn_of[target_of[goals]]
    by_turn = np.argsort(turns, kind="stable")
    sizes = np.bincount(turns, minlength=stop - start)
    rounds = np.arange(len(goals)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # the how-manieth goal of its product
    kept = rounds < MOST_GOALS_PER_PRODUCT
    return goals[by_turn][kept][np.lexsort((turns[by_turn][kept], rounds[kept]))]

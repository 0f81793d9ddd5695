"""The goals of a catalogue, described rather than listed: a few arrays from which any goal is made in microseconds.

A catalogue of a million products has millions of synthetic goals, one for each combination of option values. What is
stored is what was drawn (prices, bounds), where each target's goals start, and the order of the seed-233 shuffle.
"""

import hashlib
import json
import random
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from recrl.errors import CatalogError
from recrl.webshop.goals import (
    SHUFFLE_SEED,
    SPLITS,
    Goal,
    draw_bound,
    price_clause,
    split_by_goal,
    split_by_product,
)
from recrl.webshop.lazy import LazySequence
from recrl.webshop.products import ProductStore, human_entries
from recrl.webshop.rawfiles import RawProduct
from recrl.webshop.wording import reword

MOST_GOALS = 1 << 31  # of a catalogue
GOALS_KEPT = 4096  # made goals that are remembered
GOAL_ARRAYS = (
    "prices",
    "targets",
    "starts",
    "bounds",
    "weights",
    "order",
    *(
        f"{kind}-{name}"
        for name in ("train-product", "dev-product", "test-product")
        for kind in ("split", "cumulative")
    ),
    *(f"cumulative-{split}-goal" for split in SPLITS),
)
_GOAL_FIELDS = tuple(field.name for field in fields(Goal))


class GoalList(LazySequence[Goal]):
    """All goals in the order of the seed-233 shuffle.

    Args:
        store: the products.
        arrays: what `draw_goals` returned, in memory or on the disk: ``prices`` (products,) in dollars; for each
        target,
            which is a product with an instruction, or one human instruction: ``targets`` (targets,) the product,
            ``starts`` (targets + 1,) its first goal before the shuffle, ``bounds`` and ``weights`` (targets,);
            ``order`` (goals,) places before the shuffle; the splits by product; running sums of weights for every
            split.
        human: whether they were made from human instructions.
        seed: the goal seed that the arrays were drawn with; wording: template, or reworded, see
            `recrl.webshop.wording`. Only the goals' texts follow from it.
    """

    def __init__(
        self, store: ProductStore, arrays: dict[str, np.ndarray], *, human: bool, seed: int, wording: str = "template"
    ) -> None:
        super().__init__(len(arrays["order"]), kept=GOALS_KEPT, what="goal")
        self._store, self._arrays, self._human = store, arrays, human
        self._seed, self._wording = seed, wording
        self._targets, self._starts, self._order = arrays["targets"], arrays["starts"], arrays["order"]

    @property
    def prices(self) -> np.ndarray:
        """(products,) in dollars, as drawn."""
        return self._arrays["prices"]

    @property
    def num_targets(self) -> int:
        """How many products are the target of a goal."""
        return len(np.unique(self._targets[np.diff(self._starts) > 0]))

    def weights(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """(indices,) the weights of some goals."""
        return self._arrays["weights"][self._rows(np.asarray(indices))]

    def chances(self, indices: Sequence[int] | np.ndarray, draw: str) -> np.ndarray:
        """(indices,) probabilities with which some goals are drawn: by their weights, uniformly, or so that every
        target product is equally likely, and each of its goals (``product``).
        """
        indices = np.asarray(indices)
        if draw == "weight":
            weights = self.weights(indices)
        elif draw == "uniform":
            weights = np.ones(len(indices))
        else:
            _, product, counts = np.unique(self._targets[self._rows(indices)], return_inverse=True, return_counts=True)
            weights = 1 / counts[product]
        return weights / weights.sum()

    def split(self, split: str, split_by: str) -> "range | np.ndarray":
        """The goals of a split, see `recrl.webshop.goals`; none if it is empty."""
        if split_by == "goal" or split == "all":
            return split_by_goal(len(self), split)
        return self._arrays[f"split-{split}-product"]

    def cumulative_weights(self, split: str, split_by: str) -> np.ndarray:
        """(goals of the split,) running sums of their weights."""
        return self._arrays[f"cumulative-{split}-{'goal' if split == 'all' else split_by}"]

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        """(indices,) the row of each goal's target."""
        return np.searchsorted(self._starts, self._order[indices], side="right") - 1

    def _make(self, index: int) -> Goal:
        place = int(self._order[index])
        row = int(np.searchsorted(self._starts, place, side="right")) - 1
        position = int(self._targets[row])
        product = self._store.raw(position)
        bound = float(self._arrays["bounds"][row])
        attributes: tuple[str, ...]
        options: dict[str, str] | tuple[str, ...]
        if self._human:
            entry = human_entries(product)[row - int(np.searchsorted(self._targets, position))]
            plain = entry["instruction"].strip(".")
            said = plain + price_clause(bound)
            attributes, options = tuple(entry["instruction_attributes"]), tuple(entry["instruction_options"])
        else:
            number = place - int(self._starts[row])
            options, attributes = _combination(product, number), product.instruction_attributes
            if self._wording == "reworded":
                said, plain, _ = reword(
                    str(product.instruction),
                    attributes=attributes,
                    query=product.query,
                    options=options,
                    offered=product.options,
                    price_upper=bound,
                    key=f"{self._seed}/{product.asin}/{number}",
                )
            else:
                clause = ", and ".join(f"{name}: {value}" for name, value in options.items())
                plain = f"{product.instruction} with {clause}" if clause else str(product.instruction)
                said = plain + price_clause(bound)
        return Goal(
            asin=product.asin,
            category=product.category,
            query=product.query,
            name=product.title,
            product_category=product.product_category,
            instruction=said,
            instruction_without_price=plain,
            attributes=attributes,
            price_upper=bound,
            options=options,
            weight=float(self._arrays["weights"][row]),
            nouns=self._store.nouns(position),
        )


def _combination(product: RawProduct, number: int) -> dict[str, str]:
    """One value of each option group, the groups by name; the last group's value changes first."""
    options = {}
    for name in sorted(product.options, reverse=True):
        number, place = divmod(number, len(product.options[name]))
        options[name] = product.options[name][place]
    return dict(reversed(options.items()))


def draw_goals(store: ProductStore, seed: int, *, human: bool) -> dict[str, np.ndarray]:
    """Draws prices and bounds, and describes all goals; see `GoalList` for the arrays.

    Raises:
        CatalogError: no goal comes of the products, far too many do, or synthetic goals need the attributes of a
        product
            that the attributes file lacks.
    """
    rng = random.Random(seed)
    prices = _draw_prices(store, rng)
    if human:
        num_human = store.numbers("num_human")
        targets = np.repeat(np.arange(len(store)), num_human)
        sizes = np.ones(len(targets), np.int64)
    else:
        _check_attribute_records(store)
        targets = np.flatnonzero(store.numbers("has_instruction"))
        sizes = store.numbers("num_combinations")[targets]
    total = sum(sizes.tolist())
    if total == 0:
        kind, other = ("human", "items_human_ins.json") if human else ("synthetic", "the attributes file")
        raise CatalogError(
            f"the catalogue has no {kind} goals; {other} has no instruction for any of its products: add some, or "
            f"pass human_goals={not human}"
        )
    if total >= MOST_GOALS:
        worst = store.raw(int(targets[np.argmax(sizes)]))
        raise CatalogError(
            f"the options make {total} synthetic goals, more than {MOST_GOALS - 1}; most of all those of record "
            f"{worst.record} (asin {worst.asin}): leave it out, or pass human_goals=True"
        )
    bounds = np.array([draw_bound(price, rng) for price in prices[targets].tolist()])
    starts = np.concatenate(([0], np.cumsum(sizes)))
    order = array("I", range(total))
    random.Random(SHUFFLE_SEED).shuffle(order)
    arrays = {
        "prices": prices,
        "targets": targets.astype(np.int32),
        "starts": starts,
        "bounds": bounds,
        "weights": np.ones(len(targets)) if human else _weights(store, targets, sizes),
        "order": np.frombuffer(order, np.uint32).copy(),
    }
    return arrays | _splits(store, arrays)


def _draw_prices(store: ProductStore, rng: random.Random) -> np.ndarray:
    """(products,) in dollars: each one's own, or a uniform draw from its range."""
    prices, high = store.numbers("price_low").copy(), store.numbers("price_high")
    for position in np.flatnonzero(~np.isnan(high)).tolist():
        prices[position] = rng.uniform(prices[position], high[position])
    return prices


def _check_attribute_records(store: ProductStore) -> None:
    lacking = np.flatnonzero(~store.numbers("has_attribute_record"))
    if len(lacking):
        product = store.raw(int(lacking[0]))
        raise CatalogError(
            f"record {product.record} (asin {product.asin}) is not in the attributes file, so it can have no synthetic "
            "goals; add it there, leave the record out, or use human goals"
        )


def _weights(store: ProductStore, targets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(targets,) the mean over a goal's attributes of 1 / (number of goals with that attribute)."""
    wanted = store.texts("instruction_attributes").take(targets).to_pylist()
    counts: Counter[str] = Counter()
    for attributes, size in zip(wanted, sizes.tolist(), strict=True):
        for attribute in attributes:
            counts[attribute] += size
    return np.array(
        [
            sum(1.0 / counts[attribute] for attribute in attributes) / len(attributes) if size else 0.0
            for attributes, size in zip(wanted, sizes.tolist(), strict=True)
        ]
    )


def _splits(store: ProductStore, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The splits by product, and the running sums of weights for every split."""
    rows = np.searchsorted(arrays["starts"], arrays["order"], side="right") - 1  # (goals,)
    products, target_of = np.unique(arrays["targets"][rows], return_inverse=True)
    asins = [store.asin(int(position)) for position in products]
    weights = arrays["weights"][rows]
    made: dict[str, np.ndarray] = {}
    for split in SPLITS:
        span = split_by_goal(len(rows), split)
        made[f"cumulative-{split}-goal"] = np.cumsum(weights[span.start : span.stop])
        if split != "all":
            made[f"split-{split}-product"] = goals = split_by_product(asins, target_of, split)
            made[f"cumulative-{split}-product"] = np.cumsum(weights[goals])
    return made


def goals_fingerprint(goals: Sequence[Goal], progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of the goals with their texts, options, bounds, weights and order.

    Args:
        progress: called now and then with the number of goals read.
    """
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
    digest = hashlib.sha256()
    for done, goal in enumerate(goals):
        digest.update(encode({name: getattr(goal, name) for name in _GOAL_FIELDS}).encode())
        if progress is not None and done % 10_000 == 0:
            progress(done)
    if progress is not None:
        progress(len(goals))
    return digest.hexdigest()

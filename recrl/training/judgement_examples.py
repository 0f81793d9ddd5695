"""What the judgement learns from: what the plain searches of training goals find, with random knowledge of it."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from recrl.episodes.notes import MOST_CHARACTERS, NotedProduct
from recrl.progress import tracked
from recrl.scoring.evidence import match_features
from recrl.scoring.wishes import read_wish
from recrl.webshop.best_purchase import best_reward
from recrl.webshop.catalog import Catalog, Product
from recrl.webshop.goals import Goal
from recrl.webshop.pages import HITS_PER_PAGE, OptionGroup

NUM_HITS = 50  # products that a search finds
KNOWN = ("title", "options", "features", "description")  # what is known of a product, each with all before it


class Search(NamedTuple):
    """A goal with what its plain search finds.

    Attributes:
        target: the asin of the goal's own product.
        products: with all that can be known of them, best hit first.
        perfect: (products,) bool, whether the reward of buying it is 1.
    """

    target: str
    instruction: str
    products: list[NotedProduct]
    perfect: np.ndarray


class Example(NamedTuple):
    """One search with some knowledge: (products, features) float32, (products,) bool, and the weight of the loss."""

    features: np.ndarray
    perfect: np.ndarray
    weight: float


def fully_noted(product: Product, rank: int) -> NotedProduct:
    """A product as notes hold it after its page and all its sub pages were read."""
    bullets = "\n".join(f" {bullet}" for bullet in product.bullet_points)
    return NotedProduct(
        asin=product.asin,
        title=product.title.strip(),
        price_tag=product.price_tag,
        page_number=rank // HITS_PER_PAGE + 1,
        place=rank % HITS_PER_PAGE,
        times_opened=1,
        options=tuple(OptionGroup(name, tuple(filter(None, values))) for name, values in product.options.items()),
        features=bullets.strip()[:MOST_CHARACTERS],
        description=product.description.strip()[:MOST_CHARACTERS],
    )


def known_up_to(product: NotedProduct, level: int) -> NotedProduct:
    """The product with the first ``level`` things of `KNOWN` after its title."""
    return replace(
        product,
        options=product.options if level >= 1 else None,
        features=product.features if level >= 2 else None,
        description=product.description if level >= 3 else None,
    )


def drawn_goals(
    catalog: Catalog, split_by: str, most: int, rng: np.random.Generator, *, among: Container[str] | None = None
) -> list[int]:
    """Training goals in random order, at most ``most`` of a product; ``among``: the products, None: all."""
    counts: Counter[str] = Counter()
    chosen = []
    for index in rng.permutation(np.asarray(catalog.split("train", split_by))).tolist():
        asin = catalog.goals[index].asin
        if counts[asin] < most and (among is None or asin in among):
            counts[asin] += 1
            chosen.append(index)
    return chosen


def searches(catalog: Catalog, goals: Sequence[Goal]) -> Iterator[Search]:
    """What the plain instructions of goals find."""
    for goal in tracked(goals, "searching for the training goals", len(goals)):
        hits = [catalog.products[hit] for hit in catalog.search(goal.instruction_without_price.lower())[:NUM_HITS]]
        if hits:
            perfect = np.array([best_reward(hit, goal) == 1.0 for hit in hits])
            yield Search(
                goal.asin, goal.instruction, [fully_noted(hit, rank) for rank, hit in enumerate(hits)], perfect
            )


def random_knowledge(count: int, rng: np.random.Generator) -> np.ndarray:
    """(products seen,) levels of knowledge as a shopper could have them: of one to five pages of results, all equally
    known, or only some looked at, most of them near the top.
    """
    seen = min(count, HITS_PER_PAGE * int(rng.choice([1, 1, 2, 5])))
    if rng.random() < 1 / 3:
        return np.full(seen, rng.integers(len(KNOWN)))
    levels = np.zeros(seen, np.int64)
    looked = rng.integers(seen + 1)
    levels[:looked] = rng.integers(len(KNOWN), size=looked)
    stray = rng.random(seen) < 0.15
    levels[stray] = rng.integers(len(KNOWN), size=stray.sum())
    return levels


def make_examples(
    found: Sequence[Search], names: Sequence[str], variants: int, rng: np.random.Generator
) -> list[Example]:
    """Each search ``variants`` times, with random knowledge; a product's goals weigh as the square root of their number
    together.
    """
    counts = Counter(one.target for one in found)
    weights = {target: count**-0.5 for target, count in counts.items()}
    mean = sum(weights[one.target] for one in found) / max(1, len(found))
    examples = []
    for one in tracked(found, "reading what they find", len(found)):
        wish = read_wish(one.instruction)
        for _ in range(variants):
            levels = random_knowledge(len(one.products), rng)
            seen = [known_up_to(product, level) for product, level in zip(one.products, levels.tolist(), strict=False)]
            features = match_features(wish, seen, names)
            examples.append(Example(features, one.perfect[: len(levels)], weights[one.target] / mean))
    return examples


def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples padded to the most products of one: features, mask, perfect, weights."""
    width = max(len(example.features) for example in examples)
    features = torch.zeros(len(examples), width, examples[0].features.shape[1])
    mask = torch.zeros(len(examples), width, dtype=torch.bool)
    perfect = torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        size = len(example.features)
        features[row, :size] = torch.from_numpy(example.features)
        perfect[row, :size] = torch.from_numpy(example.perfect.astype(np.float32))
        mask[row, :size] = True
    weights = torch.tensor([example.weight for example in examples])
    return {"features": features, "mask": mask, "perfect": perfect, "weights": weights}

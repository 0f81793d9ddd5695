"""Goals made for products from their own attributes and options: more training goals than the catalogue has itself.

Under the split by product only products that it does not test on can be targets: its training targets, and products
that have no goal at all. Under the split by goal, whose products are tested anyway, any product can, and a goal that
asks for what a test or dev goal asks of the same product, attributes and options, is not made. A made goal is put
together as the catalogue's synthetic goals are: attributes, a kind of product, one value of each option group, a price
bound from `recrl.webshop.goals.draw_bound`. It is worded as those are, too: the frames of the training targets' own
instructions are taken, with their attributes and kind left out, and each new attribute goes to a place where it, or
another with the same last word, stands in them. In a catalogue whose goals are reworded, made goals are said in
people's words too.

The goals are a list of their own: the catalogue's goals and their indices stay as they are.
"""

import functools
import itertools
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from recrl.errors import CatalogError
from recrl.webshop.best_purchase import can_be_chosen
from recrl.webshop.catalog import Catalog, Product
from recrl.webshop.goal_list import goals_fingerprint
from recrl.webshop.goals import Goal, draw_bound, price_clause
from recrl.webshop.lazy import LazySequence
from recrl.webshop.reward import CATEGORY_SEPARATOR, matched_attributes, matched_options, type_parts
from recrl.webshop.wording import reword

MOST_ATTRIBUTES = 4  # of a made goal
GOALS_KEPT, PRODUCTS_KEPT = 4096, 256  # made goals, and products' goals, that are remembered
SMOOTHING = 0.1  # occurrences that every place of an attribute, and every attribute in goals, is given beside its own
ATTRIBUTE, KIND = "{attribute}", "{kind}"
Wish = tuple[frozenset[str], frozenset[str]]  # attributes, and values of options
_SLOTS = re.compile(r"(\{attribute\}|\{kind\})")


@dataclass(frozen=True)
class Wording:
    """How a shop's instructions are worded.

    Attributes:
        frames: number of attributes, 1 to `MOST_ATTRIBUTES` -> instructions with `ATTRIBUTE` and `KIND` in the place of
            what they name, and how often each occurs.
        places: attribute, or its last word -> where it stands, see `places_of`; "" for all attributes together.
        sizes: how many instructions have so many attributes, or for `MOST_ATTRIBUTES` so many or more.
        asked: how many ask for an attribute.
    """

    frames: dict[int, Counter[str]]
    places: dict[str, Counter[str]]
    sizes: Counter[int]
    asked: Counter[str]


@functools.lru_cache(maxsize=4096)
def places_of(frame: str) -> tuple[str, ...]:
    """Where each attribute of a frame stands: "before" the kind, or behind which words after it."""
    places, words, after_kind = [], "", False
    for piece in _SLOTS.split(frame):
        if piece == ATTRIBUTE:
            places.append(words if after_kind else "before")
        elif piece == KIND:
            after_kind = True
        else:
            words = piece.strip(" ,") or words
    return tuple(places)


def frame_of(product: Product) -> str | None:
    """The product's instruction with its attributes and kind left out; None unless each stands in it once."""
    text, names = product.instruction, [*product.instruction_attributes, product.query]
    if text is None or "{" in text or not all(names):
        return None
    found: list[str] = []

    def slot(match: re.Match[str]) -> str:
        found.append(match.group().lower())
        return KIND if found[-1] == product.query.lower() else ATTRIBUTE

    any_name = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    frame = re.sub(rf"(?<!\w)(?:{any_name})(?!\w)", slot, text, flags=re.IGNORECASE)
    return frame if Counter(found) == Counter(name.lower() for name in names) else None


def read_wording(products: Iterable[Product]) -> Wording:
    """The wording of the products' own instructions.

    Where no instruction has a number of attributes, frames are those with one more, of which one of two that stand
    side by side is left out; without any instruction it is "Find me A, B kind".
    """
    frames: dict[int, Counter[str]] = defaultdict(Counter)
    places: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    asked: Counter[str] = Counter()
    for product in products:
        frame, wanted = frame_of(product), product.instruction_attributes
        if frame is None:
            continue
        text = str(product.instruction).lower()
        frames[len(wanted)][frame] += 1
        sizes[min(len(wanted), MOST_ATTRIBUTES)] += 1
        asked.update(wanted)
        in_order = sorted(wanted, key=lambda attribute: text.find(attribute.lower()))
        for attribute, place in zip(in_order, places_of(frame), strict=True):
            for key in {attribute, attribute.split()[-1], ""}:
                places[key][place] += 1
    for size in range(MOST_ATTRIBUTES, 0, -1):
        if not frames[size]:
            for frame, count in frames[size + 1].items():
                for pair in re.finditer(rf"{re.escape(ATTRIBUTE)}, (?={re.escape(ATTRIBUTE)})", frame):
                    frames[size][frame[: pair.start()] + frame[pair.end() :]] += count
        if not frames[size]:
            frames[size][f"Find me {', '.join([ATTRIBUTE] * size)} {KIND}"] += 1
    return Wording({size: frames[size] for size in range(1, MOST_ATTRIBUTES + 1)}, dict(places), sizes, asked)


def word(wording: Wording, kind: str, attributes: tuple[str, ...], rng: random.Random) -> str:
    """An instruction for a kind with these attributes, without options and price.

    A frame is drawn by how often it occurs, times how often its places hold these attributes in their best order.
    """
    frames = wording.frames[len(attributes)]
    orders = list(itertools.permutations(attributes))
    fits: dict[tuple[str, ...], tuple[float, tuple[str, ...]]] = {}
    for places in {places_of(frame): None for frame in frames}:
        shares = [{name: _share(wording, name, place) for name in attributes} for place in places]
        fits[places] = max(
            (math.prod(share[name] for share, name in zip(shares, order, strict=True)), order) for order in orders
        )
    weights = [count * fits[places_of(frame)][0] for frame, count in frames.items()]
    chosen = rng.choices(list(frames), weights)[0]
    names = iter(fits[places_of(chosen)][1])
    return _SLOTS.sub(lambda slot: kind if slot.group() == KIND else next(names), chosen)


def _share(wording: Wording, attribute: str, place: str) -> float:
    """The smoothed share of an attribute's occurrences that stand in a place; of its last word's, if it has none."""
    keys = (attribute, attribute.split()[-1], "")
    counts = next((wording.places[key] for key in keys if key in wording.places), None)
    return 1.0 if counts is None else (counts[place] + SMOOTHING) / (counts.total() + SMOOTHING)


class MadeGoals(LazySequence[Goal]):
    """The made goals, product by product, each made when it is asked for; see `made_goals`.

    Attributes:
        targets: (products,) positions of the target products.
    """

    def __init__(
        self,
        catalog: Catalog,
        seed: int,
        targets: list[int],
        counts: list[int],
        wording: Wording,
        held_out: Mapping[str, frozenset[Wish]],
    ) -> None:
        self._catalog, self._seed, self._wording, self._held_out = catalog, seed, wording, held_out
        self.targets = np.array(targets)
        self._starts = np.concatenate(([0], np.cumsum(counts)))
        super().__init__(int(self._starts[-1]), kept=GOALS_KEPT, what="made goal")
        self._of_target = functools.lru_cache(maxsize=PRODUCTS_KEPT)(self._make_all)

    @functools.cached_property
    def sha256(self) -> str:
        """The fingerprint of the goals; it makes all of them once."""
        return goals_fingerprint(self)

    def _make(self, place: int) -> Goal:
        row = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._of_target(row)[place - int(self._starts[row])]

    def _make_all(self, row: int) -> list[Goal]:
        """The goals of one target, no two with the same attributes and options."""
        product = self._catalog.products[int(self.targets[row])]
        rng = random.Random(f"{self._seed} {product.asin}")  # by asin, so that other products do not matter
        attributes, options = wishable_attributes(product), wishable_options(product)
        made: dict[Wish, Goal] = {}
        held_out = self._held_out.get(product.asin, frozenset())
        even = False
        while len(made) < self._starts[row + 1] - self._starts[row]:
            wanted = self._draw_attributes(attributes, rng, even=even)
            chosen = {group: rng.choice(values) for group, values in options.items()}
            wish = (frozenset(wanted), frozenset(chosen.values()))
            even = wish in made or wish in held_out  # the next draw, so that rare wishes do not keep it waiting
            if not even:
                bound, text = draw_bound(product.price, rng), word(self._wording, kind_of(product), wanted, rng)
                said, plain = self._say(product, text, wanted, chosen, bound, len(made))
                made[wish] = _goal(product, wanted, chosen, bound, said, plain)
        return list(made.values())

    def _say(
        self, product: Product, text: str, wanted: tuple[str, ...], options: dict[str, str], bound: float, number: int
    ) -> tuple[str, str]:
        """The instruction with and without its price, in the wording of the catalogue."""
        if self._catalog.wording == "reworded":
            said, plain, _ = reword(
                text,
                attributes=wanted,
                query=product.query,
                options=options,
                offered=product.options,
                price_upper=bound,
                key=f"made/{self._seed}/{product.asin}/{number}",
            )
            return said, plain
        clause = ", and ".join(f"{group}: {value}" for group, value in options.items())
        plain = f"{text} with {clause}" if clause else text
        return plain + price_clause(bound), plain

    def _draw_attributes(self, attributes: tuple[str, ...], rng: random.Random, *, even: bool) -> tuple[str, ...]:
        """As many as the shop's goals have, the more probably the more often these ask for them; ``even``: all numbers
        and all attributes alike.
        """
        sizes = self._wording.sizes or Counter(range(1, MOST_ATTRIBUTES + 1))
        size = rng.choice(list(sizes)) if even else rng.choices(list(sizes), list(sizes.values()))[0]
        left, wanted = list(attributes), []
        for _ in range(min(size, len(left))):
            weights = [1.0 if even else self._wording.asked[attribute] + SMOOTHING for attribute in left]
            wanted.append(left.pop(rng.choices(range(len(left)), weights)[0]))
        return tuple(wanted)


def made_goals(
    catalog: Catalog, seed: int, per_product: int, split_by: str = "product", *, among: Container[str] | None = None
) -> MadeGoals:
    """Goals for training under a split, for every product that has attributes to ask for: by product of all that are no
    test or dev target, by goal of all, without the wishes of test and dev goals.

    Args:
        seed: of all draws; the goals of a product follow from it, the product, the shop's wording and what is held out.
        per_product: goals of each product, or as many as its attributes and options can make.
        split_by: one of `recrl.webshop.goals.SPLIT_BY`.
        among: the asins of the products that may be targets, and whose instructions may be read; None: all others.

    Raises:
        CatalogError: ``per_product`` is below 1, or no product is left.
    """
    if per_product < 1:
        raise CatalogError(f"per_product={per_product}, expected at least 1")
    held_out: dict[str, set[Wish]] = defaultdict(set)
    for split in ("test", "dev"):
        for index in catalog.goals.split(split, split_by):
            goal = catalog.goals[int(index)]
            held_out[goal.asin].add((frozenset(goal.attributes), frozenset(goal.options.values())))
    others = [
        place
        for place, product in enumerate(catalog.products)
        if (split_by == "goal" or product.asin not in held_out) and (among is None or product.asin in among)
    ]
    wording = read_wording(catalog.products[place] for place in others)
    counts = {}
    for place in others:
        product = catalog.products[place]
        counts[place] = min(per_product, _num_wishes(product, wording) - len(held_out.get(product.asin, ())))
    targets = [place for place in others if counts[place] > 0]
    if not targets:
        raise CatalogError("no product outside the test and dev splits has attributes, so no goal can be made")
    wishes = {asin: frozenset(found) for asin, found in held_out.items()}
    return MadeGoals(catalog, seed, targets, [counts[place] for place in targets], wording, wishes)


def kind_of(product: Product) -> str:
    """What a shopper calls the product: its query, as in the catalogue's goals, else the last level of its category or
    the last noun of its title.
    """
    level = product.product_category.split(CATEGORY_SEPARATOR)[-1].strip().lower()
    return product.query or level or (product.nouns[-1] if product.nouns else product.title.lower())


def wishable_attributes(product: Product) -> tuple[str, ...]:
    """The attributes that the reward finds in the product itself, each once."""
    own = (attribute for attribute in product.attributes if attribute != "DUMMY_ATTR")
    return tuple(dict.fromkeys(attribute for attribute in own if matched_attributes(product, [attribute])))


def wishable_options(product: Product) -> dict[str, tuple[str, ...]]:
    """Group, by name -> the values, each once, that can be chosen and that the reward then counts as chosen; groups
    without such values are left out.
    """
    groups = list(product.options)
    found = {}
    for place, group in sorted(enumerate(groups), key=lambda one: one[1]):
        later = {value for other in groups[place + 1 :] for value in product.options[other]}  # takes the click
        values = [value for value in dict.fromkeys(product.options[group]) if can_be_chosen(value)]
        values = [value for value in values if value not in later and matched_options([value], [(group, value)])]
        if values:
            found[group] = tuple(values)
    return found


def _num_wishes(product: Product, wording: Wording) -> int:
    """How many different goals the product can have."""
    attributes = wishable_attributes(product)
    if not attributes or type_parts(product, product)["r_type"] != 1:  # type: ignore[arg-type]
        return 0
    sizes = {min(size, len(attributes)) for size in wording.sizes or range(1, MOST_ATTRIBUTES + 1)}
    return sum(math.comb(len(attributes), size) for size in sizes) * math.prod(
        map(len, wishable_options(product).values())
    )


def _goal(
    product: Product, attributes: tuple[str, ...], options: dict[str, str], bound: float, said: str, plain: str
) -> Goal:
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
        weight=1.0,
        nouns=product.nouns,
    )

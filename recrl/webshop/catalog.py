"""The catalogue: products, goals and search, opened from the embedded data, a built folder or raw files."""

import functools
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.files import sha256_of
from recrl.webshop.built import cache_key, cached_folder, is_built, read_built, write_built
from recrl.webshop.goals import SPLIT_BY, SPLITS, Goal, draw_prices, make_goals, split_goals, split_size
from recrl.webshop.rawfiles import RawProduct, check_records, find_raw_files, read_records
from recrl.webshop.search import MAX_HITS, SearchIndex

WEBSHOP_1K = (1000, 6910, 0)  # products, goals, goal seed
WEBSHOP_FULL_GOALS = 12087
SEARCHES_KEPT = 20_000  # results of queries, some 40 MB when full


@dataclass(frozen=True, slots=True)
class Product:
    """A product as the environment shows and judges it.

    Attributes:
        pricing: the price, or the two ends (and more) of a range, in dollars; price_tag: as the pages show it.
        price: the price that the reward uses: a draw from the range with the catalogue's goal_seed.
        options: group -> values; nouns: noun tokens of the title, lower-cased, repeats kept.
    """

    asin: str
    title: str
    description: str
    bullet_points: tuple[str, ...]
    pricing: tuple[float, ...]
    price_tag: str
    price: float
    options: dict[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    category: str
    product_category: str
    query: str
    image: str
    instruction: str | None
    instruction_attributes: tuple[str, ...]
    nouns: tuple[str, ...]


class Catalog:
    """Products, the goals on them, and search. Made by `load_catalog`.

    Attributes:
        products: in the order of the raw file; goals: in the order of the seed-233 shuffle.
        sha256: the fingerprint of products and nouns, whatever the goal seed.
        goals_sha256: the fingerprint of the goal list: texts, options, bounds, weights and order.
        goal_seed, human_goals: what prices and goals follow from; tagger: name and version behind the nouns.
        is_embedded: whether it is the package's own catalogue with its own goals.
    """

    def __init__(
        self,
        raw: Sequence[RawProduct],
        nouns: Sequence[tuple[str, ...]],
        index: SearchIndex,
        *,
        sha256: str,
        tagger: dict[str, str],
        goal_seed: int = 0,
        human_goals: bool = False,
        is_embedded: bool = False,
    ) -> None:
        rng = random.Random(goal_seed)
        prices = draw_prices(raw, rng)
        self.products: Sequence[Product] = [_priced(*row) for row in zip(raw, prices, nouns, strict=True)]
        self.goals: Sequence[Goal] = make_goals(raw, prices, nouns, rng, human=human_goals)
        if not self.goals:
            lacking = "human goals; items_human_ins.json" if human_goals else "synthetic goals; the attributes file"
            raise CatalogError(
                f"the catalogue has no {lacking} has no instruction for any of its products: add some, or pass "
                f"human_goals={not human_goals}"
            )
        self.sha256, self.tagger, self.goal_seed = sha256, tagger, goal_seed
        self.human_goals, self.is_embedded = human_goals, is_embedded
        self.goals_sha256 = _fingerprint(self.goals)
        self._positions = {product.asin: place for place, product in enumerate(self.products)}
        self._splits: dict[tuple[str, str], np.ndarray] = {}
        self._cumulative: dict[tuple[str, str], np.ndarray] = {}
        self._index = index
        self._search = functools.lru_cache(maxsize=SEARCHES_KEPT)(index.search)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the remembered searches, for processes that do not share memory."""
        return {name: value for name, value in self.__dict__.items() if name != "_search"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._search = functools.lru_cache(maxsize=SEARCHES_KEPT)(self._index.search)

    def position(self, asin: str) -> int:
        """Where the product stands in `products`.

        Raises:
            CatalogError: there is none with this asin.
        """
        try:
            return self._positions[asin]
        except KeyError:
            raise CatalogError(f"no product has the asin {asin!r}; asins are upper-case") from None

    def product(self, asin: str) -> Product:
        """The product with this asin."""
        return self.products[self.position(asin)]

    def search(self, words: str, limit: int = MAX_HITS) -> list[int]:
        """Positions of the best products for ``words``, best first."""
        return list(self._search(words, limit))

    def split(self, split: str, split_by: str = "goal") -> np.ndarray:
        """The goals of a split in evaluation order, see `recrl.webshop.goals.split_goals`; computed once."""
        key = (split, split_by)
        if key not in self._splits:
            self._splits[key] = split_goals(self.goals, split, split_by)
        return self._splits[key]

    def cumulative_weights(self, split: str, split_by: str = "goal") -> np.ndarray:
        """(goals of the split,) running sums of their weights; computed once."""
        key = (split, split_by)
        if key not in self._cumulative:
            self._cumulative[key] = np.cumsum([self.goals[index].weight for index in self.split(split, split_by)])
        return self._cumulative[key]

    def protocol(self, split_by: str = "goal") -> str:
        """The name that every number on this catalogue carries; one of our own unless it is exactly a known one."""
        suffix = "-unseen" if split_by == "product" else ""
        if self.is_embedded:
            return f"embedded{suffix}"
        if (len(self.products), len(self.goals), self.goal_seed) == WEBSHOP_1K and not self.human_goals:
            return f"webshop-1k{suffix}"
        if self.human_goals and len(self.goals) == WEBSHOP_FULL_GOALS and self.goal_seed == 0:
            return f"webshop-full{suffix}"
        return f"custom-{self.sha256[:8]}-{self.goals_sha256[:8]}{suffix}"


_SHARED_FIELDS = tuple(field.name for field in fields(Product) if field.name not in ("price", "nouns"))
_GOAL_FIELDS = tuple(field.name for field in fields(Goal))


def _fingerprint(goals: Sequence[Goal]) -> str:
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
    digest = hashlib.sha256()
    for goal in goals:
        digest.update(encode({name: getattr(goal, name) for name in _GOAL_FIELDS}).encode())
    return digest.hexdigest()


def _priced(raw: RawProduct, price: float, nouns: tuple[str, ...]) -> Product:
    return Product(price=price, nouns=nouns, **{name: getattr(raw, name) for name in _SHARED_FIELDS})


CatalogSource = Catalog | str | Path | None


def load_catalog(
    source: CatalogSource = None,
    *,
    num_products: int | None = None,
    goal_seed: int = 0,
    human_goals: bool = False,
) -> Catalog:
    """Opens a catalogue.

    Args:
        source: None for the embedded one; a built catalogue's folder; a folder with raw files, which is built once into
            the user's cache; or an opened `Catalog`, which is returned as it is.
        num_products: the first N raw records only; such a catalogue is stored in the user's cache.
        goal_seed: of price draws and price bounds, which are made in memory.
        human_goals: goals from human instructions instead of synthetic ones.

    Raises:
        CatalogError: the source is missing, incomplete, altered or invalid, or an opened one with other settings.
    """
    if isinstance(source, Catalog):
        _refuse_other_settings(source, num_products=num_products, goal_seed=goal_seed, human_goals=human_goals)
        return source
    built = read_built(_built_folder(source, num_products))
    return Catalog(
        built.products,
        built.nouns,
        built.index,
        sha256=built.manifest["catalog_sha256"],
        tagger=built.manifest["tagger"],
        goal_seed=goal_seed,
        human_goals=human_goals,
        is_embedded=source is None and num_products is None and goal_seed == 0 and not human_goals,
    )


def _refuse_other_settings(catalog: Catalog, *, num_products: int | None, goal_seed: int, human_goals: bool) -> None:
    """An opened catalogue has its goals; defaults beside it mean "as it is", anything else must agree."""
    for name, asked, has, default in (
        ("num_products", num_products, len(catalog.products), None),
        ("goal_seed", goal_seed, catalog.goal_seed, 0),
        ("human_goals", human_goals, catalog.human_goals, False),
    ):
        if asked not in (default, has):
            raise CatalogError(
                f"{name}={asked}, but the opened catalogue has {has}; pass {name} to load_catalog when it is opened"
            )


def _built_folder(source: str | Path | None, num_products: int | None) -> Path:
    """The folder of the built catalogue that ``source`` and ``num_products`` stand for, made if it is not there yet."""
    if source is None:
        from recrl.webshop.synthetic import embedded_catalog

        folder = embedded_catalog()
    elif is_built(Path(source)):
        folder = Path(source)
    else:
        hashes = {role: sha256_of(path) for role, path in find_raw_files(Path(source)).items()}
        return cached_folder(
            cache_key(hashes, num_products),
            lambda folder: build_catalog(source, folder, num_products=num_products),
        )
    return folder if num_products is None else _derived(folder, num_products)


def _derived(folder: Path, num_products: int) -> Path:
    """The catalogue of the first ``num_products`` raw records of a built one, in the user's cache."""
    built = read_built(folder)
    manifest = built.manifest
    if not 0 < num_products <= manifest["num_records"]:
        raise CatalogError(
            f"num_products={num_products}, but {folder} was built from {manifest['num_records']} records; ask for 1 to "
            f"{manifest['num_records']}"
        )
    kept = [product for product in built.products if product.record < num_products]
    if not kept:
        raise CatalogError(f"num_products={num_products}: none of the first {num_products} records of {folder} is used")

    def build(target: Path) -> None:
        write_built(
            target,
            kept,
            built.nouns[: len(kept)],
            num_records=num_products,
            tagger=manifest["tagger"],
            sources=manifest["sources"],
        )

    return cached_folder(cache_key(manifest["catalog_sha256"], num_products), build)


def build_catalog(
    raw_folder: str | Path,
    output_dir: str | Path,
    *,
    num_products: int | None = None,
    nouns: Callable[[Sequence[str]], list[tuple[str, ...]]] | None = None,
    tagger: dict[str, str] | None = None,
) -> Path:
    """Builds a catalogue's folder from raw files.

    Args:
        raw_folder: holds the raw files; never written to.
        output_dir: takes the built catalogue; must not exist.
        num_products: keep the first N raw records only.
        nouns, tagger: titles -> noun tokens of each, and the record of what found them; by default spaCy does.

    Raises:
        CatalogError: bad raw files, no tagger installed, or output_dir exists.
        StorageError: the disk is full; nothing is left under output_dir.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise CatalogError(f"{output_dir} exists; choose another --output_dir or remove it")
    files = find_raw_files(Path(raw_folder))
    records = read_records(files, num_products=num_products)
    products = list(check_records(records, files))
    if not products:
        raise CatalogError(f"{files['products']} holds no usable product; expected asins of 1 to 10 characters")
    if nouns is None or tagger is None:
        from recrl.webshop import tagger as spacy_tagger

        nouns, tagger = spacy_tagger.nouns, spacy_tagger.tagger_record()
    write_built(
        output_dir,
        products,
        nouns([product.title for product in products]),
        num_records=len(records),
        tagger=tagger,
        sources={role: {"name": path.name, "sha256": sha256_of(path)} for role, path in files.items()},
    )
    return output_dir


def catalog_info(catalog: Catalog) -> dict[str, Any]:
    """Counts and fingerprints of a catalogue, as `recrl catalog info` prints them."""
    prices = [product.price for product in catalog.products]
    splits = {
        f"{split} by {split_by}": split_size(catalog.goals, split, split_by)
        for split_by in SPLIT_BY
        for split in SPLITS
        if split != "all"
    }
    return {
        "num_products": len(catalog.products),
        "num_products_with_options": sum(bool(product.options) for product in catalog.products),
        "num_option_values": sum(len(values) for product in catalog.products for values in product.options.values()),
        "num_queries": len({product.query for product in catalog.products}),
        "categories": dict(Counter(product.category for product in catalog.products).most_common()),
        "price_dollars": {"lowest": min(prices), "median": float(np.median(prices)), "highest": max(prices)},
        "num_goals": len(catalog.goals),
        "num_target_products": len({goal.asin for goal in catalog.goals}),
        "goals": splits,
        "goal_seed": catalog.goal_seed,
        "human_goals": catalog.human_goals,
        "protocol": catalog.protocol(),
        "catalog_sha256": catalog.sha256,
        "goals_sha256": catalog.goals_sha256,
        "tagger": catalog.tagger,
    }

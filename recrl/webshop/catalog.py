"""The catalogue: products, goals and search, opened from the embedded data, a built folder or raw files."""

import bisect
import functools
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.files import sha256_of
from recrl.seals import MANIFEST, hash_of
from recrl.tables import Cell, Number, Table
from recrl.webshop.built import INDEX_FOLDER, is_built, open_goals
from recrl.webshop.goals import DEFAULT_SPLIT_BY, SPLIT_BY, SPLITS, check_split, check_wording, protocol_name
from recrl.webshop.lazy import LazySequence
from recrl.webshop.products import PRODUCTS_FILE, ProductStore
from recrl.webshop.rawfiles import DEFAULT_PRICE, find_raw_files
from recrl.webshop.sealed import cache_key, cached_folder, read_sealed
from recrl.webshop.search import MAX_HITS, SearchIndex

WEBSHOP_1K = (1000, 6910, 0)  # products, goals, goal seed
WEBSHOP_FULL_GOALS = 12087
SEARCHES_KEPT = 20_000  # results of queries, some 40 MB when full
LONGEST_QUERY_KEPT = 1_000  # characters; without a bound 20,000 queries of 100 kB would be 2 GB
PRODUCTS_KEPT = 4096  # made products, some 20 MB when full
POSITIONS_KEPT = 1 << 16  # of asins


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


class ProductList(LazySequence[Product]):
    """The products of a built catalogue in the order of the raw file, read when they are asked for."""

    def __init__(self, store: ProductStore, prices: np.ndarray) -> None:
        super().__init__(len(store), kept=PRODUCTS_KEPT, what="product")
        self._store, self._prices = store, prices

    def _make(self, position: int) -> Product:
        raw = self._store.raw(position)
        shared = {name: getattr(raw, name) for name in _SHARED_FIELDS}
        return Product(price=float(self._prices[position]), nouns=self._store.nouns(position), **shared)


_SHARED_FIELDS = tuple(field.name for field in fields(Product) if field.name not in ("price", "nouns"))


class Catalog:
    """Products, the goals on them, and search; all of it stays on the disk until it is read. Made by `load_catalog`.

    Attributes:
        products: in the order of the raw file; goals: in the order of the seed-233 shuffle.
        store: the products column by column.
        sha256: the fingerprint of products and nouns, whatever the goal seed.
        goals_sha256: the fingerprint of the goal list: texts, options, bounds, weights and order.
        template_goals_sha256: that of the same goals in the template's wording.
        goal_seed, human_goals: what prices and goals follow from; wording: what the goals are said in, template or
            reworded; tagger: name and version behind the nouns.
        is_embedded: whether it is the package's own catalogue with its own goals.
    """

    def __init__(self, folder: Path, *, goal_seed: int, human_goals: bool, wording: str, is_embedded: bool) -> None:
        manifest = read_sealed(folder)
        self.folder, self.goal_seed, self.human_goals, self.is_embedded = folder, goal_seed, human_goals, is_embedded
        self.wording = wording
        self.sha256: str = manifest["catalog_sha256"]
        self.tagger: dict[str, str] = manifest["tagger"]
        self.store = ProductStore(folder / PRODUCTS_FILE)
        self.goals, fingerprints = open_goals(
            folder, manifest, self.store, seed=goal_seed, human=human_goals, wording=wording
        )
        self.goals_sha256, self.template_goals_sha256 = fingerprints[wording], fingerprints["template"]
        self.products = ProductList(self.store, self.goals.prices)
        self._index = SearchIndex.load(folder / INDEX_FOLDER)
        self._search = functools.lru_cache(maxsize=SEARCHES_KEPT)(self._index.search)
        self._cumulative = functools.cache(self._sum_up)
        self._position = functools.lru_cache(maxsize=POSITIONS_KEPT)(self._find)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same folder and shares its memory."""
        return _open, (str(self.folder), self.goal_seed, self.human_goals, self.wording, self.is_embedded)

    def position(self, asin: str) -> int:
        """Where the product stands in `products`.

        Raises:
            CatalogError: there is none with this asin.
        """
        return self._position(asin)

    def _find(self, asin: str) -> int:
        by_asin = self._index.by_asin
        place = bisect.bisect_left(by_asin, asin, key=self.store.asin)
        if place == len(by_asin) or self.store.asin(by_asin[place]) != asin:
            raise CatalogError(f"no product has the asin {asin!r}; asins are upper-case")
        return int(by_asin[place])

    def product(self, asin: str) -> Product:
        """The product with this asin."""
        return self.products[self.position(asin)]

    def search(self, words: str, limit: int = MAX_HITS) -> list[int]:
        """Positions of the best products for ``words``, best first."""
        search = self._search if len(words) <= LONGEST_QUERY_KEPT else self._index.search
        return list(search(words, limit))

    def split(self, split: str, split_by: str = DEFAULT_SPLIT_BY) -> range | np.ndarray:
        """The goals of a split in evaluation order, see `recrl.webshop.goals`.

        Raises:
            CatalogError: an unknown name, or the split is empty.
        """
        check_split(split, split_by)
        indices = self.goals.split(split, split_by)
        if not len(indices):
            raise CatalogError(
                f"the {split} split by {split_by} of {len(self.goals)} goals is empty; use a larger catalogue"
            )
        return indices

    def cumulative_weights(self, split: str, split_by: str = DEFAULT_SPLIT_BY, draw: str = "weight") -> np.ndarray:
        """(goals of the split,) running sums of what they are drawn by, see `GoalList.chances`."""
        if draw == "weight":
            return self.goals.cumulative_weights(split, split_by)
        return self._cumulative(split, split_by, draw)

    def _sum_up(self, split: str, split_by: str, draw: str) -> np.ndarray:
        return np.cumsum(self.goals.chances(np.asarray(self.split(split, split_by)), draw))

    def protocol(self, split_by: str = DEFAULT_SPLIT_BY) -> str:
        """The name that every number on this catalogue carries; one of our own unless it is exactly a known one."""
        if self.is_embedded:
            name = "embedded"
        elif (len(self.products), len(self.goals), self.goal_seed) == WEBSHOP_1K and not self.human_goals:
            name = "webshop-1k"
        elif self.human_goals and len(self.goals) == WEBSHOP_FULL_GOALS and self.goal_seed == 0:
            name = "webshop-full"
        else:
            name = f"custom-{self.sha256[:8]}-{self.goals_sha256[:8]}"
        return protocol_name(name, split_by=split_by, wording=self.wording)


_opened: "weakref.WeakValueDictionary[tuple[str, str, int, bool, str, bool], Catalog]" = weakref.WeakValueDictionary()


def _open(folder: str | Path, goal_seed: int, human_goals: bool, wording: str, is_embedded: bool) -> Catalog:
    """Opens a built catalogue, or returns it while it is in use: the environments of a process share one."""
    manifest = (Path(folder) / MANIFEST).read_bytes() if (Path(folder) / MANIFEST).exists() else b""
    key = (str(folder), hash_of(manifest.decode("utf-8", "replace")), goal_seed, human_goals, wording, is_embedded)
    catalog = _opened.get(key)
    if catalog is None:
        catalog = Catalog(
            Path(folder), goal_seed=goal_seed, human_goals=human_goals, wording=wording, is_embedded=is_embedded
        )
        _opened[key] = catalog
    return catalog


CatalogSource = Catalog | str | Path | None


def load_catalog(
    source: CatalogSource = None,
    *,
    num_products: int | None = None,
    goal_seed: int = 0,
    human_goals: bool = False,
    wording: str = "template",
) -> Catalog:
    """Opens a catalogue.

    Args:
        source: None for the embedded one; a built catalogue's folder; a folder with raw files, which is built once into
            the user's cache; or an opened `Catalog`, which is returned as it is.
        num_products: the first N raw records only; such a catalogue is stored in the user's cache.
        goal_seed: of price draws and price bounds; what a seed gives is drawn once and stored beside the catalogue.
        human_goals: goals from human instructions instead of synthetic ones.
        wording: what synthetic goals are said in: template, as WebShop says them, or reworded, the same wishes as
            people say them (`recrl.webshop.wording`).

    Raises:
        CatalogError: the source is missing, incomplete, altered or invalid, or an opened one with other settings.
    """
    check_wording(wording, human_goals=human_goals)
    if isinstance(source, Catalog):
        _refuse_other_settings(
            source, num_products=num_products, goal_seed=goal_seed, human_goals=human_goals, wording=wording
        )
        return source
    is_embedded = source is None and num_products is None and goal_seed == 0 and not human_goals
    return _open(_built_folder(source, num_products).absolute(), goal_seed, human_goals, wording, is_embedded)


def _refuse_other_settings(
    catalog: Catalog, *, num_products: int | None, goal_seed: int, human_goals: bool, wording: str
) -> None:
    """An opened catalogue has its goals; defaults beside it mean "as it is", anything else must agree."""
    for name, asked, has, default in (
        ("num_products", num_products, len(catalog.products), None),
        ("goal_seed", goal_seed, catalog.goal_seed, 0),
        ("human_goals", human_goals, catalog.human_goals, False),
        ("wording", wording, catalog.wording, "template"),
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
        from recrl.webshop.building import build_catalog

        return cached_folder(
            cache_key(hashes, num_products),
            lambda folder: build_catalog(source, folder, num_products=num_products),
        )
    return folder if num_products is None else _derived(folder, num_products)


def _derived(folder: Path, num_products: int) -> Path:
    """The catalogue of the first ``num_products`` raw records of a built one, in the user's cache."""
    from recrl.webshop.building import derive_catalog

    key = cache_key(read_sealed(folder)["catalog_sha256"], num_products)
    return cached_folder(key, lambda target: derive_catalog(folder, target, num_products))


def num_at_default_price(store: ProductStore) -> int:
    """Products at `DEFAULT_PRICE`, which those have that state no price; a few may state just that."""
    is_range = ~np.isnan(store.numbers("price_high"))
    return int(((store.numbers("price_low") == DEFAULT_PRICE) & ~is_range).sum())


def catalog_info(catalog: Catalog) -> dict[str, Any]:
    """Counts and fingerprints of a catalogue, as `recrl catalog info` prints them."""
    prices, store = catalog.goals.prices, catalog.store
    splits = {
        f"{split} by {split_by}": len(catalog.goals.split(split, split_by))
        for split_by in SPLIT_BY
        for split in SPLITS
        if split != "all"
    }
    return {
        "num_products": len(catalog.products),
        "num_products_with_options": int((store.numbers("num_options") > 0).sum()),
        "num_option_values": int(store.numbers("num_values").sum()),
        "num_queries": len(store.texts("query").unique()),
        "categories": dict(Counter(store.texts("category").to_pylist()).most_common()),
        "price_dollars": {
            "lowest": float(prices.min()),
            "median": float(np.median(prices)),
            "highest": float(prices.max()),
        },
        "num_at_default_price": num_at_default_price(store),
        "num_goals": len(catalog.goals),
        "num_target_products": catalog.goals.num_targets,
        "goals": splits,
        "goal_seed": catalog.goal_seed,
        "human_goals": catalog.human_goals,
        "wording": catalog.wording,
        "protocol": catalog.protocol("goal"),
        "catalog_sha256": catalog.sha256,
        "goals_sha256": catalog.goals_sha256,
        "tagger": catalog.tagger,
    }


def info_table(info: Mapping[str, Any]) -> Table:
    """What `catalog_info` says as a table."""
    rows: list[tuple[Cell, Cell]] = []
    for name, value in info.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, cell in parts:
            shown: Cell = cell if type(cell) is int else Number(cell, form=".2f") if type(cell) is float else str(cell)
            rows.append((f"{name.replace('_', ' ')}{': ' if part else ''}{part}", shown))
    legend = {
        "num goals": "instructions, each with the product and the options that are wanted",
        "goals: train by product": "goals of the training split when the splits share no target products; by goal: "
        "when they share no goals, but products",
        "protocol": "the name of these products and goals in results",
        "sha256": "fingerprints; results with equal ones can be compared",
    }
    return Table(("what", "value"), rows, "", legend=legend)

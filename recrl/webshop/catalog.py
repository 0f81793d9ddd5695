"""The catalogue: products, goals and search index, built once from raw files and opened from a folder.

A built catalogue is a folder of ``products.arrow`` (Arrow IPC, memory-mapped), the search index's arrays and
``manifest.json``, which holds the format's version, the sources' hashes, the noun tagger's name and version, and the
SHA-256 of every other file. Prices and goals follow from the products and a seed, and are drawn when it is opened.
"""

import functools
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.files import cache_dir, replace_folder, sha256_of, write_json
from recrl.webshop.goals import SPLIT_BY, Goal, draw_prices, make_goals, split_goals
from recrl.webshop.rawfiles import RawProduct, find_raw_files, read_products
from recrl.webshop.search import MAX_HITS, SearchIndex

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
PRODUCTS = "products.arrow"
INDEX = "index"
WEBSHOP_1K = (1000, 6910, 0)  # products, goals, goal seed
WEBSHOP_FULL_GOALS = 12087
SEARCHES_KEPT = 100_000


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
            kind = "human" if human_goals else "synthetic"
            raise CatalogError(f"the catalogue has no {kind} goals; pass human_goals={not human_goals} or other files")
        self.sha256, self.tagger, self.goal_seed = sha256, tagger, goal_seed
        self.human_goals, self.is_embedded = human_goals, is_embedded
        self._positions = {product.asin: place for place, product in enumerate(self.products)}
        self._splits: dict[tuple[str, str], np.ndarray] = {}
        self._cumulative: dict[tuple[str, str], np.ndarray] = {}
        self._search = functools.lru_cache(maxsize=SEARCHES_KEPT)(index.search)

    @functools.cached_property
    def goals_sha256(self) -> str:
        """The fingerprint of the goal list: texts, options, bounds, weights and order."""
        digest = hashlib.sha256()
        for goal in self.goals:
            digest.update(json.dumps(asdict(goal), sort_keys=True, ensure_ascii=False).encode())
        return digest.hexdigest()

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


def _priced(raw: RawProduct, price: float, nouns: tuple[str, ...]) -> Product:
    names = [field.name for field in fields(Product) if field.name not in ("price", "nouns")]
    return Product(price=price, nouns=nouns, **{name: getattr(raw, name) for name in names})


def search_text(product: RawProduct) -> str:
    """What the search engine reads of a product."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join([product.title, product.description, product.bullet_points[0], options]).lower()


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
        num_products: the first N raw records only (of a built catalogue: a derived one, stored in the user's cache).
        goal_seed: of price draws and price bounds.
        human_goals: goals from human instructions instead of synthetic ones.

    Raises:
        CatalogError: the source is missing, incomplete, altered or invalid.
    """
    if isinstance(source, Catalog):
        return source
    embedded = source is None
    if source is None:
        from recrl.webshop.synthetic import embedded_catalog

        folder = embedded_catalog()
    else:
        folder = Path(source)
        if not (folder / MANIFEST).exists():
            folder = _cached_build(folder)
    if num_products is not None:
        folder = _derived(folder, num_products)
    manifest = read_manifest(folder)
    raw, nouns = _read_products(folder / PRODUCTS)
    return Catalog(
        raw,
        nouns,
        SearchIndex.load(folder / INDEX),
        sha256=manifest["catalog_sha256"],
        tagger=manifest["tagger"],
        goal_seed=goal_seed,
        human_goals=human_goals,
        is_embedded=embedded and num_products is None and goal_seed == 0 and not human_goals,
    )


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
    products = list(read_products(files, num_products=num_products))
    if not products:
        raise CatalogError(f"{files['products']} holds no usable product")
    if nouns is None or tagger is None:
        from recrl.webshop import tagger as spacy_tagger

        nouns, tagger = spacy_tagger.nouns, spacy_tagger.tagger_record()
    sources = {role: {"name": path.name, "sha256": sha256_of(path)} for role, path in files.items()}
    words = nouns([product.title for product in products])
    _write(output_dir, products, words, tagger, sources)
    return output_dir


def catalog_info(catalog: Catalog) -> dict[str, Any]:
    """Counts and fingerprints of a catalogue, as `recrl catalog info` prints them."""
    prices = [product.price for product in catalog.products]
    splits = {
        f"{split} by {split_by}": len(catalog.split(split, split_by))
        for split_by in SPLIT_BY
        for split in ("train", "dev", "test")
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


def _write(
    folder: Path,
    products: Sequence[RawProduct],
    nouns: Sequence[tuple[str, ...]],
    tagger: dict[str, str],
    sources: dict[str, dict[str, str]],
) -> None:
    """Writes products, search index and, last, the manifest, into a folder that appears when it is whole."""
    import pyarrow as pa

    rows = [json.dumps(asdict(product), ensure_ascii=False) for product in products]
    table = pa.table({"record": rows, "nouns": [list(words) for words in nouns]})
    fingerprint = hashlib.sha256()
    for row, words in zip(rows, nouns, strict=True):
        fingerprint.update(json.dumps([row, words], ensure_ascii=False).encode())
    with replace_folder(folder) as temporary:
        with pa.OSFile(str(temporary / PRODUCTS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        texts = [search_text(product) for product in products]
        SearchIndex.build(texts, [product.asin for product in products]).save(temporary / INDEX)
        written = sorted(path for path in temporary.rglob("*") if path.is_file())
        hashes = {path.relative_to(temporary).as_posix(): sha256_of(path) for path in written}
        manifest = {
            "format_version": FORMAT_VERSION,
            "catalog_sha256": fingerprint.hexdigest(),
            "num_products": len(products),
            "num_records": products[-1].record + 1,
            "tagger": tagger,
            "sources": sources,
            "files": hashes,
        }
        write_json(temporary / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built catalogue whose files are all there and unaltered.

    Raises:
        CatalogError: it is incomplete, of another format version or altered, with the reason.
    """
    again = "build it again with `recrl catalog build`"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CatalogError(f"{folder} is no built catalogue: {MANIFEST} cannot be read ({error}); {again}") from error
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CatalogError(
            f"{folder} has format version {manifest.get('format_version')}, this recrl reads {FORMAT_VERSION}; {again}"
        )
    for name, sha256 in manifest["files"].items():
        path = folder / name
        if not path.exists():
            raise CatalogError(f"{folder} is incomplete: {name} is missing; {again}")
        if sha256_of(path) != sha256:
            raise CatalogError(f"{folder} was altered: {name} has another SHA-256 than the manifest says; {again}")
    return manifest


def _read_products(path: Path) -> tuple[list[RawProduct], list[tuple[str, ...]]]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        raw = [_raw_product(json.loads(row)) for row in table["record"].to_pylist()]
        return raw, [tuple(words) for words in table["nouns"].to_pylist()]


def _raw_product(record: dict[str, Any]) -> RawProduct:
    for name in ("bullet_points", "pricing", "attributes", "instruction_attributes", "human_instructions"):
        record[name] = tuple(record[name])
    record["options"] = {name: tuple(values) for name, values in record["options"].items()}
    return RawProduct(**record)


def _cached_build(raw_folder: Path) -> Path:
    """The built catalogue of a raw folder in the user's cache, keyed by the files' hashes."""
    files = find_raw_files(raw_folder)
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, {r: sha256_of(p) for r, p in files.items()}]).encode()).hexdigest()
    folder = cache_dir() / "catalogs" / key[:24]
    if not (folder / MANIFEST).exists():
        build_catalog(raw_folder, folder)
    return folder


def _derived(folder: Path, num_products: int) -> Path:
    """The catalogue of the first ``num_products`` raw records of a built one, in the user's cache."""
    manifest = read_manifest(folder)
    if not 0 < num_products <= manifest["num_records"]:
        raise CatalogError(f"num_products={num_products}, but the catalogue was built from {manifest['num_records']}")
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, manifest["catalog_sha256"], num_products]).encode()).hexdigest()
    target = cache_dir() / "catalogs" / key[:24]
    if not (target / MANIFEST).exists():
        rows = zip(*_read_products(folder / PRODUCTS), strict=True)
        kept = [(product, words) for product, words in rows if product.record < num_products]
        products, nouns = [product for product, _ in kept], [words for _, words in kept]
        _write(target, products, nouns, manifest["tagger"], manifest["sources"])
    return target

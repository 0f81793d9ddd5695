"""The folder of a built catalogue: written whole or not at all, refused when it is not as it was written.

It holds ``products.arrow`` (Arrow IPC, read through a memory map), the search index's arrays, and ``manifest.json``:
the format's version, the sources' names and hashes, the noun tagger's name and version, counts, the fingerprint of
products and nouns, the SHA-256 of every other file, and one of the manifest itself. Prices and goals are not in it:
they follow from the products and a seed, and are drawn in memory when the catalogue is opened (under 0.2 s for 1,000
products and 7,000 goals), so one folder serves every seed.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.files import cache_dir, clear_disk_errors, replace_folder, sha256_of, write_json
from recrl.webshop.rawfiles import RawProduct
from recrl.webshop.search import SearchIndex

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
PRODUCTS = "products.arrow"
INDEX = "index"

_RAW_FIELDS = tuple(field.name for field in fields(RawProduct))
_TUPLES = ("bullet_points", "pricing", "attributes", "instruction_attributes", "human_instructions")


@dataclass(frozen=True, slots=True, eq=False)
class BuiltCatalog:
    """What the folder holds: the manifest, products and their nouns in the same order, and the search index."""

    manifest: dict[str, Any]
    products: list[RawProduct]
    nouns: list[tuple[str, ...]]
    index: SearchIndex


def is_built(folder: Path) -> bool:
    """Whether this is, or is what is left of, a built catalogue."""
    return (folder / MANIFEST).exists() or (folder / PRODUCTS).exists()


def write_built(
    folder: Path,
    products: Sequence[RawProduct],
    nouns: Sequence[tuple[str, ...]],
    *,
    num_records: int,
    tagger: dict[str, str],
    sources: dict[str, dict[str, str]],
) -> None:
    """Writes a built catalogue into a folder that appears when it is whole.

    Args:
        folder: must not exist, or is replaced.
        products, nouns: one of each per product, in the order of the raw file.
        num_records: how many raw records they were chosen from.
        tagger: name and version of what found the nouns; sources: role -> name and sha256 of a raw file.

    Raises:
        StorageError: the disk is full or not writable; nothing is left under ``folder``.
    """
    import pyarrow as pa

    rows = [_to_row(product) for product in products]
    table = pa.table(
        {"record": pa.array(rows, pa.string()), "nouns": pa.array(map(list, nouns), pa.list_(pa.string()))}
    )
    fingerprint = hashlib.sha256()
    for row, words in zip(rows, nouns, strict=True):
        fingerprint.update(json.dumps([row, words], ensure_ascii=False).encode())
    with replace_folder(folder) as temporary:
        with pa.OSFile(str(temporary / PRODUCTS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        texts = [search_text(product) for product in products]
        SearchIndex.build(texts, [product.asin for product in products]).save(temporary / INDEX)
        written = sorted(path for path in temporary.rglob("*") if path.is_file())
        manifest = {
            "format_version": FORMAT_VERSION,
            "catalog_sha256": fingerprint.hexdigest(),
            "num_products": len(products),
            "num_records": num_records,
            "tagger": tagger,
            "sources": sources,
            "files": {path.relative_to(temporary).as_posix(): sha256_of(path) for path in written},
        }
        write_json(temporary / MANIFEST, manifest | {"manifest_sha256": _hash_of(manifest)})


def search_text(product: RawProduct) -> str:
    """What the search engine reads of a product."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join([product.title, product.description, product.bullet_points[0], options]).lower()


def read_built(folder: Path) -> BuiltCatalog:
    """Reads the folder; raises as `read_manifest` does."""
    import pyarrow as pa

    manifest = read_manifest(folder)
    with pa.memory_map(str(folder / PRODUCTS)) as source:
        table = pa.ipc.open_file(source).read_all()
        products = [_from_row(row) for row in table["record"].to_pylist()]
        nouns = [tuple(words) for words in table["nouns"].to_pylist()]
    return BuiltCatalog(manifest, products, nouns, SearchIndex.load(folder / INDEX))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built catalogue whose files are all there and unaltered.

    Raises:
        CatalogError: it is incomplete, of another format version or altered, with the reason.
    """
    again = "remove the folder, then build it again with `recrl catalog build` (one in the cache is built on next use)"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(f"{folder} is incomplete: {MANIFEST} is missing; {again}") from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{folder} is no built catalogue: {MANIFEST} cannot be read ({error}); {again}") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise CatalogError(f"{folder} has format version {version}, this recrl reads {FORMAT_VERSION}; {again}")
    if manifest.pop("manifest_sha256", None) != _hash_of(manifest):
        raise CatalogError(f"{folder} was altered: {MANIFEST} is not as it was written; {again}")
    for name, sha256 in manifest["files"].items():
        path = folder / name
        if not path.exists():
            raise CatalogError(f"{folder} is incomplete: {name} is missing; {again}")
        if sha256_of(path) != sha256:
            raise CatalogError(f"{folder} was altered: {name} has another SHA-256 than the manifest says; {again}")
    return manifest


def cached_folder(name: str, build: Callable[[Path], object]) -> Path:
    """The built catalogue of that name in the user's cache; ``build(folder)`` makes it if there is none.

    Of several processes that ask at once, one builds and the others wait for it.
    """
    folder = cache_dir() / "catalogs" / name
    if (folder / MANIFEST).exists():
        return folder
    from filelock import FileLock

    lock = cache_dir() / "locks" / f"{name}.lock"
    with clear_disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not (folder / MANIFEST).exists():
                build(folder)
    return folder


def cache_key(*parts: Any) -> str:
    """A name in the cache for a catalogue that follows from ``parts``, which JSON can hold."""
    return _hash_of([FORMAT_VERSION, *parts])[:24]


def _hash_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _to_row(product: RawProduct) -> str:
    return json.dumps({name: getattr(product, name) for name in _RAW_FIELDS}, ensure_ascii=False)


def _from_row(row: str) -> RawProduct:
    record = json.loads(row)
    for name in _TUPLES:
        record[name] = tuple(record[name])
    record["options"] = {name: tuple(values) for name, values in record["options"].items()}
    return RawProduct(**record)

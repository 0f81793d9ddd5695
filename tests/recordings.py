"""Reading the recordings of the original environment, and the raw products they were made with.

The raw files are read here in the shortest way that works, independently of `recrl.webshop.catalog`.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RecordedProduct:
    """What search, reward and tagger read of a product, taken from the raw files and the recordings."""

    asin: str
    title: str
    description: str
    bullet_points: tuple[str, ...]
    product_category: str
    query: str
    attributes: tuple[str, ...]
    nouns: tuple[str, ...]
    search_text: str


def read_recording(folder: Path, name: str) -> list[dict[str, Any]]:
    """The records of one recording, such as ``searches``."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def recorded_products(items_file: Path, recordings: Path) -> list[RecordedProduct]:
    """The products of a raw items file that the original keeps, in order."""
    prices = {record["asin"]: record for record in read_recording(recordings, "prices")}
    nouns = {record["asin"]: tuple(record["nouns"]) for record in read_recording(recordings, "nouns")}
    products: dict[str, RecordedProduct] = {}
    for raw in json.loads(items_file.read_text(encoding="utf-8")):
        asin = raw["asin"]
        if asin in products or asin not in prices:
            continue
        bullets = raw["small_description"]
        bullets = tuple(bullets) if isinstance(bullets, list) else (bullets,)
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in prices[asin]["options"].items())
        products[asin] = RecordedProduct(
            asin=asin,
            title=raw["name"],
            description=raw["full_description"],
            bullet_points=bullets,
            product_category=raw["product_category"],
            query=prices[asin]["query"],
            attributes=tuple(prices[asin]["Attributes"]),
            nouns=nouns[asin],
            search_text=f"{raw['name']} {raw['full_description']} {bullets[0]} {options}".lower(),
        )
    assert len(products) == len(prices)
    return list(products.values())


def recorded_catalogs(webshop_dir: Path, golden_dir: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> (raw items file, folder of recordings)."""
    return {
        "real": (webshop_dir / "items_shuffle_1000.json", golden_dir / "real"),
        "quirks": (golden_dir / "quirks" / "catalog" / "items_shuffle.json", golden_dir / "quirks"),
    }

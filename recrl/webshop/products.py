"""The products of a built catalogue: one memory-mapped Arrow file, read a product or a column at a time.

A product's row holds everything as JSON; the columns beside it repeat what is needed of all products at once.
"""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recrl.webshop.rawfiles import RawProduct

RECORDS_KEPT = 64
PRODUCTS_FILE = "products.arrow"
MOST_COMBINATIONS = 1 << 62  # a number of option combinations that a column can hold; more are no use to anybody
ROWS_PER_BATCH = 8192

SCHEMA = pa.schema(
    [
        ("asin", pa.string()),
        ("row", pa.string()),
        ("nouns", pa.list_(pa.string())),
        ("record", pa.int64()),
        ("price_low", pa.float64()),
        ("price_high", pa.float64()),  # nan unless the price is a range
        ("query", pa.string()),
        ("category", pa.string()),
        ("num_options", pa.int64()),  # groups
        ("num_values", pa.int64()),  # of all groups
        ("num_combinations", pa.int64()),  # of one value of each group; the synthetic goals of an instruction
        ("has_attribute_record", pa.bool_()),
        ("has_instruction", pa.bool_()),
        ("instruction_attributes", pa.list_(pa.string())),
        ("num_human", pa.int64()),  # human instructions that make a goal
    ]
)

_RAW_FIELDS = tuple(field.name for field in fields(RawProduct))
_TUPLES = ("bullet_points", "pricing", "attributes", "instruction_attributes", "human_instructions")


def to_row(product: RawProduct) -> str:
    """A product as JSON; the fingerprint of a catalogue is made of these texts."""
    return json.dumps({name: getattr(product, name) for name in _RAW_FIELDS}, ensure_ascii=False)


def from_row(row: str) -> RawProduct:
    """The product that `to_row` wrote."""
    record = json.loads(row)
    for name in _TUPLES:
        record[name] = tuple(record[name])
    record["options"] = {name: tuple(values) for name, values in record["options"].items()}
    return RawProduct(**record)


def human_entries(product: RawProduct) -> list[dict[str, Any]]:
    """The human instructions of a product that make a goal: those with attributes."""
    return [entry for entry in product.human_instructions if entry["instruction_attributes"]]


def product_batch(products: Sequence[RawProduct], nouns: Sequence[tuple[str, ...]]) -> pa.RecordBatch:
    """Products with the nouns of their titles as a batch of `SCHEMA`."""
    columns: dict[str, list[Any]] = {
        "asin": [product.asin for product in products],
        "row": [to_row(product) for product in products],
        "nouns": [list(words) for words in nouns],
        "record": [product.record for product in products],
        "price_low": [product.pricing[0] for product in products],
        "price_high": [product.pricing[1] if len(product.pricing) > 1 else math.nan for product in products],
        "query": [product.query for product in products],
        "category": [product.category for product in products],
        "num_options": [len(product.options) for product in products],
        "num_values": [sum(map(len, product.options.values())) for product in products],
        "num_combinations": [
            min(math.prod(map(len, product.options.values())), MOST_COMBINATIONS) for product in products
        ],
        "has_attribute_record": [product.has_attribute_record for product in products],
        "has_instruction": [product.instruction is not None for product in products],
        "instruction_attributes": [list(product.instruction_attributes) for product in products],
        "num_human": [len(human_entries(product)) for product in products],
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


class ProductStore:
    """The products of a built catalogue, in the order of the raw file.

    Args:
        path: the Arrow file, a sequence of batches of `SCHEMA`; it stays on the disk until it is read.
    """

    def __init__(self, path: Path) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        self.table = table
        batches = table.to_batches()
        self._starts = np.cumsum([0] + [batch.num_rows for batch in batches])
        place = {name: SCHEMA.get_field_index(name) for name in ("asin", "row", "nouns")}
        self._asins, self._rows, self._nouns = (
            [batch.column(place[name]) for batch in batches] for name in ("asin", "row", "nouns")
        )
        # A product with thousands of options has as many goals, and its record is as long: it comes again and again.
        self.raw = functools.lru_cache(maxsize=RECORDS_KEPT)(self._decode)

    def __len__(self) -> int:
        return self.table.num_rows

    def _read(self, columns: list[pa.Array], position: int) -> Any:
        batch = int(np.searchsorted(self._starts, position, side="right")) - 1
        return columns[batch][position - int(self._starts[batch])].as_py()

    def asin(self, position: int) -> str:
        return self._read(self._asins, position)

    def row(self, position: int) -> str:
        return self._read(self._rows, position)

    def _decode(self, position: int) -> RawProduct:
        return from_row(self.row(position))

    def nouns(self, position: int) -> tuple[str, ...]:
        """The noun tokens of the product's title, lower-cased, repeats kept."""
        return tuple(self._read(self._nouns, position))

    def numbers(self, column: str) -> np.ndarray:
        """(products,) one of the columns of numbers or truth values."""
        return self.table.column(column).to_numpy()

    def texts(self, column: str) -> pa.ChunkedArray:
        """(products,) one of the other columns."""
        return self.table.column(column)

"""A raw catalogue of a few products, written by hand so that each rule of the environment has an example."""

import json
from pathlib import Path
from typing import Any


def item(asin: str, name: str, /, **changed: Any) -> dict[str, Any]:
    """A raw product; keyword arguments replace fields, a value of `...` leaves the field out."""
    record = {
        "asin": asin,
        "name": name,
        "full_description": f"{name}, described at length.",
        "small_description": [f"Bullet one of {name}", "soft sole"],
        "pricing": "$15.00",
        "images": ["https://example.org/1.jpg"],
        "product_category": "Clothing › Shoes › Sandals",
        "category": "fashion",
        "query": "Sandals ",
        "customization_options": "",
    }
    return {field: value for field, value in (record | changed).items() if value is not ...}


def options(**groups: list[str] | None) -> dict[str, Any]:
    """Customization options in the raw form."""
    return {name: None if values is None else [{"value": value} for value in values] for name, values in groups.items()}


ITEMS = [
    item(
        "B000000001", "Red leather sandal", customization_options=options(Color=["Red / Blue", " GREEN "], Size=["8"])
    ),
    item("B000000002", "Blue canvas sandal", pricing="$10.00 - $30.00", customization_options=options(Color=["blue"])),
    item("B000000003", "Wool winter hat", query="hats", product_category="Clothing › Hats", pricing=""),
    item("B000000001", "A repeated asin, left out"),
    item("nan", "No asin, left out"),
    item("B0000000011", "An asin of eleven characters, left out"),
    item("B000000004", "Dear red leather boot", pricing="$1,234.50", query="boots"),
]
ATTRIBUTES = {
    "B000000001": {
        "attributes": ["soft sole", "leather"],
        "instruction": "find me sandals with soft sole",
        "instruction_attributes": ["soft sole"],
    },
    "B000000002": {
        "attributes": ["canvas"],
        "instruction": "find me canvas sandals",
        "instruction_attributes": ["canvas"],
    },
    "B000000003": {"attributes": ["wool"]},
    "B000000004": {
        "attributes": ["leather"],
        "instruction": "i want a leather boot",
        "instruction_attributes": ["leather"],
    },
}
HUMAN = {
    "B000000003": [
        {"asin": "B000000003", "instruction": "a warm wool hat.", "instruction_attributes": ["wool"],
         "instruction_options": ["red"]},
        {"asin": "B000000003", "instruction": "left out", "instruction_attributes": [], "instruction_options": []},
    ]
}  # fmt: skip


def write_catalog(
    folder: Path,
    items: list[Any] = ITEMS,
    attributes: Any = ATTRIBUTES,
    human: Any = HUMAN,
) -> Path:
    """Writes the raw files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("items_shuffle", items), ("items_ins_v2", attributes), ("items_human_ins", human)):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def plain_nouns(titles: Any) -> list[tuple[str, ...]]:
    """Every word as a noun: a tagger for tests that need none."""
    return [tuple(title.lower().split()) for title in titles]

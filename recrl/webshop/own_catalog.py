"""A shop's own export as a catalogue: what `recrl catalog import` does.

A table with a product a row becomes the raw WebShop files, which everything else reads. Columns are found by their
names or named. What a shop does not have is made, and said: attributes are phrases that recur in its texts
(`recrl.webshop.phrases`), and an instruction is made of some of them in the frame of the goals that recrl makes
elsewhere (`recrl.webshop.made_goals`). All problems of a file are reported together; nothing is defaulted without a
word.
"""

import base64
import contextlib
import hashlib
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.files import replace_folder, sha256_of, write_json
from recrl.webshop import actions
from recrl.webshop.amounts import currencies, has_decimal_comma, read_amounts
from recrl.webshop.made_goals import MOST_ATTRIBUTES, read_wording, word
from recrl.webshop.own_catalog_config import COLUMNS, CatalogImportConfig
from recrl.webshop.pages import ITEM_BUTTONS
from recrl.webshop.phrases import find_phrases
from recrl.webshop.reward import CATEGORY_SEPARATOR
from recrl.webshop.tables import Row, read_table

REPORT_FILE = "import.json"
NEEDED = ("id", "title", "price")
_LEVELS = re.compile(f"[>/{CATEGORY_SEPARATOR}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SHOWN = 3  # examples of a problem
LONGEST_ID = 10  # characters, as WebShop's; a longer one is left out when raw files are read


@dataclass
class _Problems:
    """What is wrong with rows, by kind: the rows, from 1, with what was found."""

    found: dict[str, list[str]] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)

    def add(self, kind: str, row: int, what: str = "") -> None:
        self.found.setdefault(kind, []).append(f"row {row}" + (f": {what}" if what else ""))
        self.rows.add(row)

    def __str__(self) -> str:
        return "; ".join(
            f"{len(rows)} {kind} ({', '.join(rows[:SHOWN])}{', ...' if len(rows) > SHOWN else ''})"
            for kind, rows in self.found.items()
        )


def import_catalog(config: CatalogImportConfig) -> dict[str, Any]:
    """Reads a table of products and writes the raw files, all or nothing.

    Returns:
        the report that is also written, as `REPORT_FILE`: counts, and what was defaulted, dropped or made.

    Raises:
        CatalogError: the folder exists, the table cannot be read, lacks a column, or has invalid rows.
    """
    folder = Path(config.output_dir)
    if folder.exists():
        raise CatalogError(f"{folder} exists; choose another --output_dir or remove it")
    rows = read_table(config.source, config.encoding)
    columns = find_columns(rows, config)
    items, problems, notes = _products(rows, columns, config)
    if problems.rows and (not config.skip_invalid or not items):
        raise CatalogError(
            f"{len(problems.rows)} of {len(rows)} rows of {config.source} are invalid: {problems}. Correct them, leave "
            "them out with --skip_invalid, or name other columns with --columns"
        )
    entries = _attributes(items, config.seed, notes)
    report = {
        "config": asdict(config),
        "source_sha256": sha256_of(config.source) if Path(config.source).is_file() else None,
        "columns": columns,
        "num_rows": len(rows),
        "num_products": len(items),
        "num_goal_products": sum("instruction" in entry for entry in entries.values()),
        "left_out": problems.found,
        "notes": notes,
        "ids": {item["asin"]: item["own_id"] for item in items if item["asin"] != item["own_id"]},
    }
    with replace_folder(folder) as temporary:
        write_json(temporary / "items_shuffle.json", items)
        write_json(temporary / "items_ins_v2.json", entries)
        write_json(temporary / REPORT_FILE, report)
    return report


def find_columns(rows: Sequence[Row], config: CatalogImportConfig) -> dict[str, str]:
    """What a product has -> its column.

    Raises:
        CatalogError: a named column is not there, or one that is needed cannot be found.
    """
    there = list(dict.fromkeys(name for row in rows for name in row))
    shown = ", ".join(map(repr, there))
    found = config.named_columns()
    for column in (*found.values(), *config.named_options()):
        if column not in there:
            raise CatalogError(f"{config.source} has no column {column!r}; it has {shown}")
    by_name = {str(name).strip().lower(): name for name in reversed(there)}
    for name, synonyms in COLUMNS.items():
        known = next((by_name[one] for one in synonyms if one in by_name), None)
        if name not in found and known is not None:
            found[name] = known
    missing = [name for name in NEEDED if name not in found]
    if config.default_price is not None and "price" in missing:
        missing.remove("price")
    if missing:
        advice = ", or give all products one with --default_price" if "price" in missing else ""
        advice += ". The first line must name the columns" if len(missing) == len(NEEDED) else ""
        raise CatalogError(
            f"{config.source} has no column for {' and '.join(missing)}; it has {shown}: name it with --columns "
            f"{missing[0]}=COLUMN{advice}"
        )
    return found


def _products(
    rows: Sequence[Row], columns: Mapping[str, str], config: CatalogImportConfig
) -> tuple[list[dict[str, Any]], _Problems, list[str]]:
    """The raw products of the valid rows, what is wrong with the others, and what is to be said."""
    problems = _Problems()
    prices = [row.get(columns["price"]) if "price" in columns else None for row in rows]
    comma, signs = has_decimal_comma(prices), currencies(prices)
    seen: dict[str, int] = {}
    items: list[dict[str, Any]] = []
    counts = dict.fromkeys(("default", "id", "category", "image", "description"), 0)
    for number, row in enumerate(rows, start=1):
        value = {name: row.get(column) for name, column in columns.items()}
        own_id, title = _text(value.get("id")), _text(value.get("title"))
        for name in ("id", "title"):
            if isinstance(value.get(name), bool | list | tuple | Mapping):
                problems.add(f"whose {name} is no text or number", number, f"{value[name]!r:.40}")
        if not own_id:
            problems.add("without an id", number)
        elif own_id in seen:
            problems.add("with an id that another row has", number, f"{own_id!r} of row {seen[own_id]}")
        if not title:
            problems.add("without a title", number)
        try:
            amounts = read_amounts(value.get("price"), decimal_comma=comma)
        except ValueError as error:
            problems.add("with an unreadable price", number, str(error))
            amounts = (1.0,)
        if not amounts and config.default_price is None:
            problems.add("without a price", number)
        try:
            options = _options(value.get("options")) | {
                name.strip().lower(): _list(row.get(name)) for name in config.named_options()
            }
        except ValueError as error:
            problems.add("with unreadable options", number, str(error))
            options = {}
        if number in problems.rows:
            continue
        seen[own_id] = number
        levels = [level.strip() for level in _LEVELS.split(_text(value.get("category"))) if level.strip()]
        asin = own_id if _fits(own_id) else _made_id(own_id)
        images, description = _list(value.get("image")), _text(value.get("description"))
        for name, lacks in (
            ("default", not amounts),
            ("id", asin != own_id),
            ("category", not levels),
            ("image", not images),
            ("description", not description),
        ):
            counts[name] += lacks
        items.append(
            {
                "asin": asin,
                "own_id": own_id,
                "name": title,
                "full_description": description,
                "small_description": _list(value.get("features")) or [""],
                "pricing": " to ".join(f"${amount:.2f}" for amount in amounts or (config.default_price,)),
                "images": images or [""],
                "product_category": f" {CATEGORY_SEPARATOR} ".join(levels),
                "category": levels[0].lower() if levels else "all",
                "query": levels[-1].lower() if levels else title.split()[-1].lower(),
                "customization_options": {
                    name: [{"value": option} for option in values] for name, values in options.items() if values
                },
                "own_attributes": _list(value.get("attributes")),
            }
        )
    said = {
        "default": f"products state no price and cost {config.default_price}",
        "id": f"ids are longer than {LONGEST_ID} characters or in lower case, and were replaced: see {REPORT_FILE}",
        "category": "products have no category: the last word of the title stands for what they are",
        "image": "products have no image",
        "description": "products have no description",
    }
    notes = [f"{counts[name]} {text}" for name, text in said.items() if counts[name]]
    amounts_read = [float(price) for item in items for price in re.findall(r"[0-9.]+", item["pricing"])]
    if amounts_read:
        notes.append(f"prices go from {min(amounts_read):.2f} to {max(amounts_read):.2f}")
    unclickable = [
        value["value"]
        for item in items
        for values in item["customization_options"].values()
        for value in values
        if value["value"].lower() in ITEM_BUTTONS or not actions.can_be_clicked(value["value"].lower())
    ]
    if unclickable:
        notes.append(
            f"{len(unclickable)} values of options cannot be clicked, as they hold [ or are named as a button is, such "
            f"as {unclickable[0]!r:.40}"
        )
    if signs and signs != ["$"]:
        notes.append(f"prices are in {', '.join(signs)}; pages show them with $, nothing is converted")
    if problems.rows:
        notes.append(f"{len(problems.rows)} rows are left out: {problems}")
    return items, problems, notes


def _attributes(items: list[dict[str, Any]], seed: int, notes: list[str]) -> dict[str, dict[str, Any]]:
    """The attributes file: own attributes or found ones, and a made instruction for every product that has some."""
    texts = [[item["name"], *item["small_description"], item["full_description"]] for item in items]
    found = find_phrases(texts, [item["query"] for item in items])
    entries: dict[str, dict[str, Any]] = {}
    num_found, wording = 0, read_wording(())
    for item, parts, phrases in zip(items, texts, found, strict=True):
        own = item.pop("own_attributes")
        attributes = [name.lower() for name in own] or list(phrases)
        num_found += bool(not own and phrases)
        text = " ".join(parts).lower()
        wishable = [name for name in dict.fromkeys(attributes) if name in text and name != item["query"]]
        entry: dict[str, Any] = {"attributes": attributes}
        if wishable:
            rng = random.Random(f"{seed} {item['asin']}")  # by id, so that other products do not matter
            size = rng.randint(1, min(MOST_ATTRIBUTES - 1, len(wishable)))
            wanted = tuple(rng.sample(wishable, size))
            instruction = word(wording, item["query"], wanted, rng)
            entry |= {"instruction": instruction, "instruction_attributes": list(wanted), "made": True}
        entries[item["asin"]] = entry
    with_goals = sum("instruction" in entry for entry in entries.values())
    if num_found:
        notes.append(f"{num_found} products have attributes that were found in the shop's texts")
    notes.append(f"{with_goals} instructions were made of attributes; nobody said them")
    if with_goals < len(items):
        notes.append(f"{len(items) - with_goals} products have no attribute that their texts hold, and so no goals")
    return entries


def _text(value: Any) -> str:
    """A value on one line, control characters as blanks; a whole number that was stored as a float without its .0."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(_CONTROL.sub(" ", str(value)).split())


def _list(value: Any) -> list[str]:
    """The texts of a list, or of a text that separates them by | ; or a comma, or is a JSON list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):  # a text that begins with a bracket
            value = json.loads(value)
    if isinstance(value, str):
        separator = next((sign for sign in "|;," if sign in value), "|")
        value = value.split(separator)
    if value is None or (isinstance(value, float) and value != value):
        return []
    values: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(text for text in map(_text, values) if text))


def _options(value: Any) -> dict[str, list[str]]:
    """Group -> values, of an object, its JSON, or ``color: red|blue; size: S|M``."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value!r:.60} is no JSON") from error
    if isinstance(value, str):
        groups = [group.partition(":") for group in value.split(";") if group.strip()]
        if any(not sign for _, sign, _ in groups):
            raise ValueError(f"{value!r:.60}, expected 'color: red|blue; size: S|M' or a JSON object")
        value = {name: values for name, _, values in groups}
    if value is None or value != value:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r:.60}, expected group: values")
    for values in value.values():
        if any(
            isinstance(one, bool | list | tuple | Mapping) for one in (values if isinstance(values, list) else [values])
        ):
            raise ValueError(f"{values!r:.60}, expected texts or numbers as values")
    return {str(name).strip().lower(): _list(values) for name, values in value.items() if values is not None}


def _fits(own_id: str) -> bool:
    """Whether an id can stand for a product as it is."""
    return len(own_id) <= LONGEST_ID and own_id.lower().upper() == own_id and own_id.lower() != "nan"


def _made_id(own_id: str) -> str:
    """An id of ten characters that follows from a longer one."""
    return "X" + base64.b32encode(hashlib.sha256(own_id.encode()).digest()).decode()[: LONGEST_ID - 1]

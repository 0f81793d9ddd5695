"""Reading WebShop's published raw files, plain or gzip, into checked records."""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError

PRODUCT_FILES = ("items_shuffle.json", "items_shuffle_1000.json")
ATTRIBUTE_FILES = ("items_ins_v2.json", "items_ins_v2_1000.json")
HUMAN_FILES = ("items_human_ins.json",)
HUMAN_FIELDS = ("instruction", "instruction_attributes", "instruction_options")  # a text, two lists of texts
DEFAULT_PRICE = 100.0  # of a product that states none
_NOT_PRICE = re.compile(r"[^\d.]")


@dataclass(frozen=True, slots=True)
class RawProduct:
    """A product of the raw files after every rule that does not depend on a seed.

    Attributes:
        record: its place in the raw list; has_attribute_record: whether the attributes file knows it, without which
            synthetic goals are refused; the others as in `recrl.webshop.catalog.Product`.
    """

    record: int
    asin: str
    title: str
    description: str
    bullet_points: tuple[str, ...]
    pricing: tuple[float, ...]
    price_tag: str
    options: dict[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    category: str
    product_category: str
    query: str
    image: str
    instruction: str | None
    instruction_attributes: tuple[str, ...]
    has_attribute_record: bool
    human_instructions: tuple[dict[str, Any], ...]


def find_raw_files(folder: Path) -> dict[str, Path]:
    """The raw files of a folder: ``products``, ``attributes`` and, where present, ``human``.

    Raises:
        CatalogError: the folder or a needed file is missing, or two files answer to one role.
    """
    if not folder.is_dir():
        raise CatalogError(f"{folder} is no folder; expected one with {' or '.join(PRODUCT_FILES)}, plain or .gz")
    found: dict[str, Path] = {}
    for role, names in (("products", PRODUCT_FILES), ("attributes", ATTRIBUTE_FILES), ("human", HUMAN_FILES)):
        present = [folder / f"{name}{ending}" for name in names for ending in ("", ".gz")]
        present = [path for path in present if path.exists()]
        if len(present) > 1:
            both = " and ".join(path.name for path in present)
            raise CatalogError(f"{folder} holds {both}; expected one file of {role}, move the others away")
        if present:
            found[role] = present[0]
        elif role != "human":
            raise CatalogError(f"{folder} lacks a file of {role}; expected {' or '.join(names)}, plain or .gz")
    return found


def read_json(path: Path) -> Any:
    """Reads a JSON file, plain or gzip.

    Raises:
        CatalogError: it cannot be read, is truncated or is no JSON.
    """
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: neither UTF-8 nor JSON
        raise CatalogError(f"{path} cannot be read as JSON ({error}); it may be truncated, fetch it again") from error


def read_products(files: Mapping[str, Path], *, num_products: int | None = None) -> Iterator[RawProduct]:
    """Yields the products of the raw files that the environment keeps; see `read_records` and `check_records`."""
    return check_records(read_records(files, num_products=num_products), files)


def read_records(files: Mapping[str, Path], *, num_products: int | None = None) -> list[Any]:
    """The raw list of products as it stands in the file, cut to the first ``num_products``.

    Raises:
        CatalogError: the file cannot be read, is no list, or holds fewer.
    """
    records = _read_as(list, files["products"])
    if num_products is None:
        return records
    if not 0 < num_products <= len(records):
        raise CatalogError(
            f"num_products={num_products}, but {files['products']} holds {len(records)} records; ask for 1 to "
            f"{len(records)}"
        )
    return records[:num_products]


def check_records(records: Iterable[Any], files: Mapping[str, Path]) -> Iterator[RawProduct]:
    """Yields a product for every record that the environment keeps, in order: valid asins, the first of equal ones.

    Args:
        records: from `read_records`; files: from `find_raw_files`.

    Raises:
        CatalogError: a record on which the original environment would crash; names file, record, asin and field.
    """
    attributes = _read_as(dict, files["attributes"])
    human = _read_as(dict, files["human"]) if "human" in files else {}
    seen: set[str] = set()
    for number, record in enumerate(records):
        reader = _RecordReader(files["products"], number, record)
        asin = reader.asin = reader.text("asin")
        if asin == "nan" or len(asin) > 10 or asin in seen:
            continue
        seen.add(asin)
        yield reader.product(asin, attributes.get(asin), human.get(asin, []), files)


def _read_as(kind: type, path: Path) -> Any:
    value = read_json(path)
    if not isinstance(value, kind):
        raise CatalogError(f"{path}: expected a JSON {kind.__name__}, got {type(value).__name__}; fetch it again")
    return value


def _is_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


class _RecordReader:
    """One raw record; its errors name the place."""

    def __init__(self, path: Path, number: int, record: Any) -> None:
        self.path, self.number, self.record, self.asin = path, number, record, "?"
        if not isinstance(record, dict):
            raise self.error("record", f"expected a JSON object, got {type(record).__name__}")

    def error(self, field: str, what: str, path: Path | None = None) -> CatalogError:
        return CatalogError(
            f"{path or self.path}: record {self.number} (asin {self.asin}), field {field!r}: {what}; "
            "correct or remove the record"
        )

    def text(self, field: str) -> str:
        if field not in self.record:
            raise self.error(field, "is missing")
        value = self.record[field]
        if not isinstance(value, str):
            raise self.error(field, f"expected text, got {value!r:.60}")
        return value

    def product(self, asin: str, attributes: Any, human: Any, files: Mapping[str, Path]) -> RawProduct:
        if asin.lower().upper() != asin:
            raise self.error("asin", "expected no lower-case letters, and only such whose lower case leads back")
        pricing, tag = self.pricing()
        entry = self.attribute_entry(attributes, files["attributes"])
        return RawProduct(
            record=self.number,
            asin=asin,
            title=self.text("name"),
            description=self.text("full_description"),
            bullet_points=self.bullets(),
            pricing=pricing,
            price_tag=tag,
            options=self.options(),
            attributes=entry["attributes"],
            category=self.text("category"),
            product_category=self.text("product_category"),
            query=self.text("query").lower().strip(),
            image=self.image(),
            instruction=entry["instruction"],
            instruction_attributes=entry["instruction_attributes"],
            has_attribute_record=attributes is not None,
            human_instructions=self.human_entries(human, files.get("human")),
        )

    def bullets(self) -> tuple[str, ...]:
        value = self.record.get("small_description")
        bullets = value if isinstance(value, list) else [value]
        if not bullets or not _is_texts(bullets):
            raise self.error("small_description", f"expected text or a list of texts, got {value!r:.60}")
        return tuple(bullets)

    def pricing(self) -> tuple[tuple[float, ...], str]:
        value = self.record.get("pricing")
        if not value:
            return (DEFAULT_PRICE,), f"${DEFAULT_PRICE}"
        if not isinstance(value, str) or "$" not in value:
            raise self.error("pricing", f"expected a price with '$' such as '$5.99', got {value!r:.60}")
        try:
            prices = tuple(float(_NOT_PRICE.sub("", piece)) for piece in value.split("$")[1:])[:2]
        except ValueError:
            raise self.error("pricing", f"expected one number after each '$', got {value!r:.60}") from None
        return prices, f"${prices[0]}" if len(prices) == 1 else f"${prices[0]} to ${prices[1]}"

    def options(self) -> dict[str, tuple[str, ...]]:
        customization = self.record.get("customization_options")
        if not customization:
            return {}
        if not isinstance(customization, dict):
            raise self.error("customization_options", f"expected an object, got {customization!r:.60}")
        options: dict[str, tuple[str, ...]] = {}
        for name, contents in customization.items():
            if contents is None:
                continue
            if not isinstance(contents, list | dict | str):  # an empty one of any kind is a group without values
                raise self.error("customization_options", f"expected a list of {name!r}, got {contents!r:.60}")
            values = []
            for content in contents:
                if not isinstance(content, dict) or not isinstance(content.get("value"), str):
                    raise self.error("customization_options", f"an option of {name!r} has no text 'value'")
                values.append(content["value"].strip().replace("/", " | ").lower())
            options[name.lower()] = tuple(values)
        return options

    def image(self) -> str:
        images = self.record.get("images")
        if not isinstance(images, list) or not images:
            raise self.error("images", f"expected at least one image address, got {images!r:.60}")
        return str(images[0])  # a null one is kept, as in the original

    def attribute_entry(self, entry: Any, path: Path) -> dict[str, Any]:
        if entry is None:
            return {"attributes": ("DUMMY_ATTR",), "instruction": None, "instruction_attributes": ()}
        if not isinstance(entry, dict):
            raise self.error("entry", f"expected a JSON object, got {entry!r:.60}", path)
        attributes = entry.get("attributes", ["DUMMY_ATTR"])
        instruction = entry.get("instruction")
        wanted = entry.get("instruction_attributes") or []
        if not isinstance(attributes, list):
            raise self.error("attributes", f"expected a list, got {attributes!r:.60}", path)
        if instruction is not None and not isinstance(instruction, str):
            raise self.error("instruction", f"expected text, got {instruction!r:.60}", path)
        if not _is_texts(wanted):
            raise self.error("instruction_attributes", f"expected a list of texts, got {wanted!r:.60}", path)
        if instruction is not None and not wanted:
            raise self.error("instruction_attributes", "an instruction needs at least one", path)
        return {
            "attributes": tuple(map(str, attributes)),  # the reward compares them as text, whatever they are
            "instruction": instruction,
            "instruction_attributes": tuple(wanted),
        }

    def human_entries(self, entries: Any, path: Path | None) -> tuple[dict[str, Any], ...]:
        if not isinstance(entries, list):
            raise self.error("human instructions", f"expected a list, got {entries!r:.60}", path)
        kept = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise self.error("human instructions", f"expected JSON objects, got {entry!r:.60}", path)
            if not isinstance(entry.get("instruction"), str):
                raise self.error("instruction", f"expected text, got {entry.get('instruction')!r:.60}", path)
            for field in HUMAN_FIELDS[1:]:
                if not _is_texts(entry.get(field)):
                    raise self.error(field, f"expected a list of texts, got {entry.get(field)!r:.60}", path)
            kept.append({field: entry[field] for field in HUMAN_FIELDS})
        return tuple(kept)

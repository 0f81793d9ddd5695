"""Reading WebShop's published raw files, plain or gzip, into checked records."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.webshop.jsonstream import stream_list, stream_object

PRODUCT_FILES = ("items_shuffle.json", "items_shuffle_1000.json")
ATTRIBUTE_FILES = ("items_ins_v2.json", "items_ins_v2_1000.json")
HUMAN_FILES = ("items_human_ins.json",)
HUMAN_FIELDS = ("instruction", "instruction_attributes", "instruction_options")  # a text, two lists of texts
DEFAULT_PRICE = 100.0  # of a product that states none
_OTHER_PRICES = ("price", "cost", "Price", "Pricing")  # where a file of another kind may state it
_NOT_PRICE = re.compile(r"[^\d.]")
_SURROGATE = re.compile("[\ud800-\udfff]")


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


class RawEntries:
    """The entries of a raw file that holds one object, by asin, kept as compact JSON: a million fit into memory."""

    def __init__(self, path: Path | None) -> None:
        self._entries: dict[str, bytes] = {}
        if path is not None:
            for asin, entry in stream_object(path):
                self._entries[asin] = json.dumps(entry, separators=(",", ":")).encode()

    def get(self, asin: str, default: Any = None) -> Any:
        """The entry of a product, or the default if there is none."""
        entry = self._entries.get(asin)
        return default if entry is None else json.loads(entry)


class KeptRecords:
    """Iterates over the products that the environment keeps: with a valid asin, and the first of equal ones.

    Args:
        files: from `find_raw_files`.
        num_products: only the first of the raw list, counted before anything is left out.
        skip_invalid: leave out what cannot be used, as if it were not in the file, and remember why.

    Attributes:
        num_read: raw records read so far; share_read: the same as a share of all, 0 to 1.
        skipped: what was left out as invalid: record, asin, reason.

    Raises:
        CatalogError: a file cannot be read or holds fewer records; or, unless skip_invalid, a record on which the
            original environment would crash: names file, record, asin and field.
    """

    def __init__(
        self, files: Mapping[str, Path], *, num_products: int | None = None, skip_invalid: bool = False
    ) -> None:
        if num_products is not None and num_products < 1:
            raise CatalogError(f"num_products={num_products}, expected at least 1")
        self.files, self.num_products, self.skip_invalid = files, num_products, skip_invalid
        self.num_read, self._share_of_file = 0, 0.0
        self.skipped: list[dict[str, Any]] = []

    @property
    def share_read(self) -> float:
        return self.num_read / self.num_products if self.num_products else self._share_of_file

    def _note_share(self, share: float) -> None:
        self._share_of_file = share

    def __iter__(self) -> Iterator[RawProduct]:
        attributes, human = RawEntries(self.files["attributes"]), RawEntries(self.files.get("human"))
        seen: set[str] = set()
        for record in stream_list(self.files["products"], self._note_share):
            if self.num_read == self.num_products:
                return
            reader = _RecordReader(self.files, self.num_read, record)
            self.num_read += 1
            try:
                asin = reader.asin_text()
                if asin == "nan" or len(asin) > 10 or asin in seen:
                    continue
                product = reader.product(attributes.get(asin), human.get(asin, []))
            except CatalogError as error:
                if not self.skip_invalid:
                    raise
                self.skipped.append({"record": reader.number, "asin": reader.shown_asin, "reason": str(error)})
            else:
                seen.add(asin)
                yield product
        if self.num_products is not None and self.num_read < self.num_products:
            raise CatalogError(
                f"num_products={self.num_products}, but {self.files['products']} holds {self.num_read} records; ask "
                f"for 1 to {self.num_read}"
            )


def read_products(files: Mapping[str, Path], *, num_products: int | None = None) -> Iterator[RawProduct]:
    """Yields the products of the raw files that the environment keeps; see `KeptRecords`."""
    return iter(KeptRecords(files, num_products=num_products))


def _is_unicode(value: Any) -> bool:
    """Whether every text in it can be written as UTF-8."""
    if isinstance(value, str):
        return value.isascii() or not _SURROGATE.search(value)
    if isinstance(value, dict):
        return all(_is_unicode(name) and _is_unicode(part) for name, part in value.items())
    return not isinstance(value, tuple | list) or all(map(_is_unicode, value))


def _is_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


class _RecordReader:
    """One raw record; its errors name the place."""

    def __init__(self, files: Mapping[str, Path], number: int, record: Any) -> None:
        self.files, self.number, self.record, self.asin = files, number, record, "?"

    @property
    def shown_asin(self) -> str:
        return self.asin.encode("utf-8", "backslashreplace").decode()

    def error(self, field: str, what: str, role: str = "products") -> CatalogError:
        return CatalogError(
            f"{self.files[role]}: record {self.number} (asin {self.shown_asin}), field {field!r}: {what}; "
            "correct or remove the record, or leave such records out: `recrl catalog build RAW --skip_invalid "
            "--output_dir BUILT`, then use BUILT"
        )

    def asin_text(self) -> str:
        if not isinstance(self.record, dict):
            raise self.error("record", f"expected a JSON object, got {type(self.record).__name__}")
        self.asin = self.text("asin")
        return self.asin

    def text(self, field: str) -> str:
        if field not in self.record:
            raise self.error(field, "is missing")
        value = self.record[field]
        if not isinstance(value, str):
            raise self.error(field, f"expected text, got {value!r:.60}")
        return value

    def product(self, attributes: Any, human: Any) -> RawProduct:
        if self.asin.lower().upper() != self.asin:
            raise self.error("asin", "expected no lower-case letters, and only such whose lower case leads back")
        pricing, tag = self.pricing()
        entry = self.attribute_entry(attributes)
        product = RawProduct(
            record=self.number,
            asin=self.asin,
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
            human_instructions=self.human_entries(human),
        )
        for field in fields(product):
            if not _is_unicode(getattr(product, field.name)):
                raise self.error(
                    field.name, "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
                )
        return product

    def bullets(self) -> tuple[str, ...]:
        value = self.record.get("small_description")
        bullets = value if isinstance(value, list) else [value]
        if not bullets or not _is_texts(bullets):
            raise self.error("small_description", f"expected text or a list of texts, got {value!r:.60}")
        return tuple(bullets)

    def pricing(self) -> tuple[tuple[float, ...], str]:
        value = self.record.get("pricing")
        other = next((name for name in _OTHER_PRICES if self.record.get(name)), None)
        if "pricing" not in self.record and other is not None:
            raise self.error(
                other,
                f"{self.record[other]!r:.40} is not read: WebShop's files have the price in 'pricing', as '$5.99'; "
                "`recrl catalog import` reads other tables",
            )
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

    def attribute_entry(self, entry: Any) -> dict[str, Any]:
        if entry is None:
            return {"attributes": ("DUMMY_ATTR",), "instruction": None, "instruction_attributes": ()}
        if not isinstance(entry, dict):
            raise self.error("entry", f"expected a JSON object, got {entry!r:.60}", "attributes")
        attributes = entry.get("attributes", ["DUMMY_ATTR"])
        instruction = entry.get("instruction")
        wanted = entry.get("instruction_attributes") or []
        if not isinstance(attributes, list):
            raise self.error("attributes", f"expected a list, got {attributes!r:.60}", "attributes")
        if instruction is not None and not isinstance(instruction, str):
            raise self.error("instruction", f"expected text, got {instruction!r:.60}", "attributes")
        if not _is_texts(wanted):
            raise self.error("instruction_attributes", f"expected a list of texts, got {wanted!r:.60}", "attributes")
        if instruction is not None and not wanted:
            raise self.error("instruction_attributes", "an instruction needs at least one", "attributes")
        return {
            "attributes": tuple(map(str, attributes)),  # the reward compares them as text, whatever they are
            "instruction": instruction,
            "instruction_attributes": tuple(wanted),
        }

    def human_entries(self, entries: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(entries, list):
            raise self.error("human instructions", f"expected a list, got {entries!r:.60}", "human")
        kept = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise self.error("human instructions", f"expected JSON objects, got {entry!r:.60}", "human")
            if not isinstance(entry.get("instruction"), str):
                raise self.error("instruction", f"expected text, got {entry.get('instruction')!r:.60}", "human")
            for field in HUMAN_FIELDS[1:]:
                if not _is_texts(entry.get(field)):
                    raise self.error(field, f"expected a list of texts, got {entry.get(field)!r:.60}", "human")
            kept.append({field: entry[field] for field in HUMAN_FIELDS})
        return tuple(kept)

"""What can be set when a shop's own table is imported; apart from the import, so that `--help` starts quickly."""

import re
from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.settings import check_values, nearest, to_seed

COLUMNS = {  # what a product has -> the names of columns that are taken for it, in lower case
    "id": ("asin", "sku", "isbn", "isbn13", "ean", "gtin", "id", "product_id", "handle", "artikelnummer"),
    "title": ("title", "name", "product_name", "titel", "bezeichnung"),
    "price": ("price", "preis", "cost", "pricing"),
    "description": ("description", "beschreibung", "full_description", "body", "text"),
    "features": ("features", "bullet_points", "bullets", "merkmale"),
    "category": ("category", "categories", "product_category", "kategorie"),
    "options": ("options", "optionen"),
    "attributes": ("attributes", "tags", "attribute"),
    "image": ("image", "images", "image_url", "bild"),
}
_NEXT_FIELD = re.compile(r",(?=\w+=)")  # a column's name may hold commas


@dataclass(frozen=True, kw_only=True)
class CatalogImportConfig:
    """What is imported."""

    source: str = field(
        metadata={
            "help": "Table of products: .csv, .jsonl or .parquet, or a dataset's folder or Hub id.",
            "positional": True,
        }
    )
    output_dir: str = field(metadata={"help": "Folder that the raw files are written to; use it with --catalog."})
    columns: tuple[str, ...] = field(
        default=(),
        metadata={"help": f"Columns whose names do not say it, as title=NAME price=NAME; of {', '.join(COLUMNS)}."},
    )
    option_columns: tuple[str, ...] = field(
        default=(), metadata={"help": "Columns that are each a group of options, with values separated by | ; or ,."}
    )
    default_price: float | None = field(
        default=None, metadata={"help": "Price of products that state none; without it they are a problem."}
    )
    encoding: str = field(
        default="utf-8",
        metadata={"help": "Encoding of a .csv or .jsonl file, such as cp1252, which Windows programs write."},
    )
    skip_invalid: bool = field(
        default=False, metadata={"help": "Leave invalid rows out and list them, instead of refusing the file."}
    )
    seed: int = field(default=0, metadata={"help": "Seed of what instructions ask for.", "type": to_seed})

    def __post_init__(self) -> None:
        check_values(self)
        if self.default_price is not None and not self.default_price > 0:
            raise ConfigError(f"default_price={self.default_price}, expected more than 0")

    def named_columns(self) -> dict[str, str]:
        """What a product has -> the column that was named for it.

        Raises:
            ConfigError: a product has no such thing.
        """
        found: dict[str, str] = {}
        for text in (part for one in self.columns for part in _NEXT_FIELD.split(one)):
            name, _, column = text.partition("=")
            if name in found:
                raise ConfigError(f"columns names {name} twice: {found[name]!r} and {column!r}")
            if name not in COLUMNS or not column:
                meant = nearest(name, COLUMNS)
                hint = f"; did you mean {meant!r}?" if meant else ""
                raise ConfigError(f"columns {text!r}, expected FIELD=COLUMN with one of {', '.join(COLUMNS)}{hint}")
            found[name] = column
        return found

    def named_options(self) -> tuple[str, ...]:
        """The columns that are groups of options."""
        return tuple(part for one in self.option_columns for part in one.split(","))

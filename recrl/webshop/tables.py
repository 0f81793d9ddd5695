"""Reading a shop's export: CSV, JSON lines, Parquet, or anything that `datasets` opens."""

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.files import is_unicode
from recrl.pretrained import refused
from recrl.saved_datasets import check_rows, load_saved
from recrl.seals import check_folder

Row = dict[str, Any]


def read_table(source: str, encoding: str = "utf-8") -> list[Row]:
    """The rows of a file or dataset. Values of a CSV file stay texts, so that an ISBN keeps its leading zeros.

    Args:
        encoding: of a text file.

    Raises:
        CatalogError: it is missing, empty, or cannot be read; the message names the line.
    """
    path = Path(source)
    texts = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    readers = (*texts, ".parquet")
    if path.is_file() and path.suffix.lower() not in readers:
        raise CatalogError(f"{source} has the ending {path.suffix!r}, expected {', '.join(readers)}")
    if not path.exists() and path.suffix.lower() in readers:
        raise CatalogError(f"{source}: no such file")
    try:
        if path.is_file() and path.suffix.lower() in texts:
            rows = texts[path.suffix.lower()](path, _text(path, encoding))
        else:
            rows = _parquet(path) if path.is_file() else _dataset(source)
    except LookupError as error:
        raise CatalogError(f"encoding {encoding!r} is unknown; expected such as utf-8, cp1252 or utf-16") from error
    except UnicodeError as error:
        where = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise CatalogError(
            f"{source} is not in {encoding} ({getattr(error, 'reason', error)}{where}); say what it is in, such as "
            "--encoding cp1252 for what Windows writes, or save it as UTF-8"
        ) from error
    except OSError as error:
        raise CatalogError(f"{source} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise CatalogError(f"{source} holds no rows")
    return rows


def _text(path: Path, encoding: str) -> str:
    """The text of a file, its line ends as they are, without a byte-order mark."""
    return path.read_bytes().decode(encoding).removeprefix("\ufeff")


def _csv(path: Path, text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[Row] = []
    try:
        names = list(reader.fieldnames or ())
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise CatalogError(f"{path} has {names.count(twice)} columns named {twice!r}; give each a name of its own")
        for row in reader:
            if None in row or None in row.values():
                raise CatalogError(
                    f"{path}, line {reader.line_num}: expected {len(names)} values separated by "
                    f"{reader.reader.dialect.delimiter!r}, as in the first line; quote values that hold it. Is the "
                    "file cut off?"
                )
            rows.append(row)
    except csv.Error as error:
        last = f"the row that begins in line {reader.line_num + 1}" if rows else "the first row"
        raise CatalogError(f"{path}, {last}: {error}; is a quotation mark left open, or the file cut off?") from error
    return rows


def _delimiter(text: str) -> str:
    """Of the signs that split the first line, the one that splits most of the next lines into as many values."""

    def fit(sign: str) -> tuple[bool, float, int]:
        try:
            widths = [
                len(row) for row in itertools.islice(csv.reader(io.StringIO(text, newline=""), delimiter=sign), 20)
            ]
        except csv.Error:  # said when the rows are read
            widths = [len(text.partition("\n")[0].split(sign))]
        first = widths[0] if widths else 0
        return first > 1, sum(width == first for width in widths) / max(1, len(widths)), first

    return max(",;\t|", key=fit)


def _json_lines(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CatalogError(f"{path}, line {number} is no JSON ({error}); is the file cut off?") from error
            if not isinstance(row, dict):
                raise CatalogError(f"{path}, line {number}: expected a JSON object, got {row!r:.60}")
            if not is_unicode(row):
                raise CatalogError(f"{path}, line {number} holds half of a surrogate pair, which is no character")
            rows.append(row)
    return rows


def _parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise CatalogError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _dataset(source: str) -> list[Row]:
    from datasets import Dataset, load_dataset

    folder = Path(source)
    if folder.exists():
        check_folder(folder, CatalogError, "copy it again from where it was made")
    with refused(CatalogError, f"{source} cannot be opened by `datasets`"):
        dataset = load_saved(folder) if folder.exists() else load_dataset(source, split="train")
        if not isinstance(dataset, Dataset):
            raise CatalogError(f"{source} holds the splits {', '.join(map(str, dataset))}; name the folder of one")
        check_rows(dataset)
    return [dict(row) for row in dataset]

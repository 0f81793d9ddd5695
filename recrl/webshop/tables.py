"""Reading a shop's export: CSV, JSON lines, Parquet, or anything that `datasets` opens."""

import csv
import json
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.files import read_text
from recrl.pretrained import refused
from recrl.saved_datasets import check_rows, load_saved
from recrl.seals import check_folder

Row = dict[str, Any]


def read_table(source: str) -> list[Row]:
    """The rows of a file or dataset. Values of a CSV file stay texts, so that an ISBN keeps its leading zeros.

    Raises:
        CatalogError: it is missing, empty, or cannot be read; the message names the line.
    """
    path = Path(source)
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    if path.is_file() and path.suffix.lower() not in readers:
        raise CatalogError(f"{source} has the ending {path.suffix!r}, expected {', '.join(readers)}")
    if not path.exists() and path.suffix.lower() in readers:
        raise CatalogError(f"{source}: no such file")
    try:
        rows = readers[path.suffix.lower()](path) if path.is_file() else _dataset(source)
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{source} is not in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise CatalogError(f"{source} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise CatalogError(f"{source} holds no rows")
    return rows


def _csv(path: Path) -> list[Row]:
    text = read_text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise CatalogError(
                    f"{path}, line {reader.line_num}: expected {len(reader.fieldnames or ())} values separated by "
                    f"{delimiter!r}, as in the first line; quote values that hold it. Is the file cut off?"
                )
            rows.append(row)
    except csv.Error as error:
        raise CatalogError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def _json_lines(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CatalogError(f"{path}, line {number} is no JSON ({error}); is the file cut off?") from error
            if not isinstance(row, dict):
                raise CatalogError(f"{path}, line {number}: expected a JSON object, got {row!r:.60}")
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

"""Opening a stored `datasets` dataset: one split, by folder or Hub id, with the columns that are needed."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from recrl.errors import DatasetError, HubError
from recrl.hub import find_source
from recrl.pretrained import refused
from recrl.saved_datasets import check_rows, is_saved, load_saved
from recrl.seals import check_folder

if TYPE_CHECKING:
    from datasets import Dataset

FILE_READERS = {".parquet": "from_parquet", ".json": "from_json", ".jsonl": "from_json", ".csv": "from_csv"}


def open_dataset(source: str | Path, columns: Collection[str], what: str) -> "Dataset":
    """Opens a folder of `datasets.Dataset.save_to_disk`, or the train split of a dataset on the Hub.

    Args:
        columns: which it must have; what: names what was expected, for errors.

    Raises:
        DatasetError: it is missing, corrupt, empty, of several splits or without one of the columns; the message says
            what was found.
    """
    from datasets import Dataset, DatasetDict, load_dataset

    expected = f"expected {what}, got {str(source)!r}"
    try:
        found = find_source(source, "dataset")
    except HubError as error:
        raise DatasetError(f"{expected}: {error}") from error
    folder = Path(found)
    saved = Path(source).exists() or is_saved(folder)
    if Path(source).is_file():
        reader = FILE_READERS.get(Path(source).suffix, "from_...")
        raise DatasetError(
            f"{expected}, which is a file; make a folder of it with `datasets.Dataset.{reader}({str(source)!r})"
            ".save_to_disk(FOLDER)`"
        )
    if saved:
        check_folder(folder, DatasetError, f"{expected}; make it again, or copy it again from where it was made")
    with refused(DatasetError, expected):
        try:
            dataset = load_saved(folder) if saved else load_dataset(found, split="train")
        except IndexError as error:  # what `datasets` makes of a folder without rows
            raise DatasetError(f"{expected}: it is empty") from error
        if not saved and isinstance(dataset, Dataset):
            check_rows(dataset)
    if isinstance(dataset, DatasetDict):
        folders = " or ".join(str(Path(source) / split) for split in dataset)
        raise DatasetError(
            f"{expected}: it holds the splits {', '.join(map(str, dataset))}; name one of them: {folders}"
        )
    if not isinstance(dataset, Dataset):
        raise DatasetError(f"{expected}: it holds a {type(dataset).__name__}")
    missing = [name for name in columns if name not in dataset.column_names]
    if missing:
        raise DatasetError(
            f"{expected}: it lacks the columns {', '.join(missing)}; it has {', '.join(dataset.column_names)}"
        )
    if not len(dataset):
        raise DatasetError(f"{expected}: it is empty")
    return dataset

"""Opening a stored `datasets` dataset: one split, by folder or Hub id, with the columns that are needed."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from recrl.errors import DatasetError, HubError
from recrl.hub import find_source

if TYPE_CHECKING:
    from datasets import Dataset


def open_dataset(source: str | Path, columns: Collection[str], what: str) -> "Dataset":
    """Opens a folder of `datasets.Dataset.save_to_disk`, or the train split of a dataset on the Hub.

    Args:
        columns: which it must have; what: names what was expected, for errors.

    Raises:
        DatasetError: it is missing, corrupt, empty, of several splits or without one of the columns; the message says
            what was found.
    """
    import pyarrow as pa
    from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

    expected = f"expected {what}, got {str(source)!r}"
    try:
        found = find_source(source, "dataset")
        local = Path(source).exists()
        dataset = load_from_disk(found) if local else load_dataset(found, split="train")
    except HubError as error:
        raise DatasetError(f"{expected}: {error}") from error
    except IndexError as error:  # what `datasets` makes of a folder without rows
        raise DatasetError(f"{expected}: it is empty") from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(f"{expected}: {str(error).strip().splitlines()[0][:200]}") from error
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

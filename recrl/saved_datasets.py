"""Folders that `datasets.Dataset.save_to_disk` wrote, whoever called it: nothing outside of them is read, and rows lie
within their files.
"""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from recrl.files import read_json

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

FILES_OF = "state.json"  # the list of a dataset's data files
SPLITS_OF = "dataset_dict.json"  # the list of the datasets of a folder of several


def is_saved(folder: Path) -> bool:
    """Whether a folder holds such a dataset, or several."""
    return (folder / FILES_OF).is_file() or (folder / SPLITS_OF).is_file()


def load_saved(folder: Path) -> "Dataset | DatasetDict":
    """Opens a folder.

    Raises:
        ValueError: a list in it names a file or folder that lies elsewhere.
        Exception: whatever `datasets` and pyarrow raise for damaged files.
    """
    from datasets import DatasetDict, load_from_disk

    for listed, name in _named(folder):
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise ValueError(f"{listed} names {name!r}, which is not in it")
    found = load_from_disk(str(folder))
    for dataset in found.values() if isinstance(found, DatasetDict) else [found]:
        check_rows(dataset)
    return found


def check_rows(dataset: "Dataset") -> None:
    """Refuses rows that point outside of their file, where reading crashes.

    Raises:
        pyarrow.ArrowInvalid: there are such rows.
    """
    dataset.data.validate(full=True)


def _named(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every list of a folder with each name in it."""
    if (folder / SPLITS_OF).is_file():
        for name in read_json(folder / SPLITS_OF)["splits"]:
            yield folder / SPLITS_OF, name
            if not PurePath(name).is_absolute() and ".." not in PurePath(name).parts:
                yield from _named(folder / name)
    if (folder / FILES_OF).is_file():
        for entry in read_json(folder / FILES_OF)["_data_files"]:
            yield folder / FILES_OF, entry["filename"]

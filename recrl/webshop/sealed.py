"""Seals (`recrl.seals`) of built catalogues and goals, which have a format version of their own; the cache of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.files import cache_dir, clear_disk_errors
from recrl.seals import MANIFEST, hash_of, read_manifest, write_manifest

FORMAT_VERSION = 3
AGAIN = "remove the folder, then build it again with `recrl catalog build` (one in the cache is built on next use)"


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest of a folder whose other files are complete."""
    write_manifest(folder, {"format_version": FORMAT_VERSION, **manifest})


def read_sealed(folder: Path) -> dict[str, Any]:
    """The manifest of a folder whose files are all there and unaltered, with its own hash as ``manifest_sha256``.

    Raises:
        CatalogError: it is incomplete, of another format version or altered, with the reason.
    """
    return read_manifest(folder, FORMAT_VERSION, CatalogError, AGAIN)


def cached_folder(name: str, build: Callable[[Path], object]) -> Path:
    """The folder of that name in the user's cache; ``build(folder)`` makes it if there is none.

    Of several processes that ask at once, one builds and the others wait for it.
    """
    folder = cache_dir() / "catalogs" / name
    made_once(folder, cache_dir() / "locks" / f"{name}.lock", build)
    return folder


def made_once(folder: Path, lock: Path, build: Callable[[Path], object]) -> None:
    """Sees to it that the folder is there: of all that ask, the one that holds the lock calls ``build(folder)``.

    Raises:
        StorageError: it cannot be written there.
    """
    with clear_disk_errors(folder):
        if (folder / MANIFEST).exists():
            return
    from filelock import FileLock

    with clear_disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not (folder / MANIFEST).exists():
                build(folder)


def cache_key(*parts: Any) -> str:
    """A name in the cache for what follows from ``parts``, which JSON can hold."""
    return hash_of([FORMAT_VERSION, *parts])[:24]


def map_array(path: Path) -> np.ndarray:
    """An array on the disk, as a plain one over the same memory, which is faster to index than a `numpy.memmap`.

    Raises:
        CatalogError: it is missing or cannot be read.
    """
    try:
        array = np.load(path) if path.stat().st_size <= 128 else np.load(path, mmap_mode="r")  # empty: no mapping
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read ({error}); build the catalogue again") from error
    return array.view(np.ndarray)

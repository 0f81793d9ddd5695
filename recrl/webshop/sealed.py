"""Folders that are written whole and refused when they are not as they were written.

``manifest.json`` holds what the folder is, the SHA-256 of every other file, and one of itself. Hashing gigabytes at
every
start would be slow: once all files were found unaltered, their sizes, inodes and times of change are noted in the
user's cache, and files of which these are the same are not read again.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError, StorageError
from recrl.files import cache_dir, clear_disk_errors, read_json, sha256_of, write_json

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
AGAIN = "remove the folder, then build it again with `recrl catalog build` (one in the cache is built on next use)"


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest of a folder whose other files are complete."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    whole = {"format_version": FORMAT_VERSION, **manifest, "files": hashes}
    write_json(folder / MANIFEST, whole | {"manifest_sha256": hash_of(whole)})


def read_sealed(folder: Path) -> dict[str, Any]:
    """The manifest of a folder whose files are all there and unaltered, with its own hash as ``manifest_sha256``.

    Raises:
        CatalogError: it is incomplete, of another format version or altered, with the reason.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except FileNotFoundError as error:
        raise CatalogError(f"{folder} is incomplete: {MANIFEST} is missing; {AGAIN}") from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{folder} is no built catalogue: {MANIFEST} cannot be read ({error}); {AGAIN}") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise CatalogError(f"{folder} has format version {version}, this recrl reads {FORMAT_VERSION}; {AGAIN}")
    seal_hash = manifest.pop("manifest_sha256", None)
    if seal_hash != hash_of(manifest):
        raise CatalogError(f"{folder} was altered: {MANIFEST} is not as it was written; {AGAIN}")
    marks = {name: _mark(folder, name) for name in manifest["files"]}
    stamp = cache_dir() / "verified" / f"{hash_of([str(folder.resolve()), seal_hash])[:24]}.json"
    if _read_stamp(stamp) != marks:
        for name, sha256 in manifest["files"].items():
            if sha256_of(folder / name) != sha256:
                raise CatalogError(f"{folder} was altered: {name} has another SHA-256 than the manifest says; {AGAIN}")
        _write_stamp(stamp, marks)
    return manifest | {"manifest_sha256": seal_hash}


def _mark(folder: Path, name: str) -> list[int]:
    """What changes when a file is written to."""
    try:
        status = (folder / name).stat()
    except OSError as error:
        raise CatalogError(f"{folder} is incomplete: {name} is missing; {AGAIN}") from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read_stamp(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):  # none, or none that can be used: then the files are read
        return None


def _write_stamp(path: Path, marks: dict[str, list[int]]) -> None:
    try:
        write_json(path, marks)
    except (OSError, StorageError):  # a cache that cannot be written to only costs time
        return


def cached_folder(name: str, build: Callable[[Path], object]) -> Path:
    """The folder of that name in the user's cache; ``build(folder)`` makes it if there is none.

    Of several processes that ask at once, one builds and the others wait for it.
    """
    folder = cache_dir() / "catalogs" / name
    made_once(folder, cache_dir() / "locks" / f"{name}.lock", build)
    return folder


def made_once(folder: Path, lock: Path, build: Callable[[Path], object]) -> None:
    """Sees to it that the folder is there: of all that ask, the one that holds the lock calls ``build(folder)``."""
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


def hash_of(value: Any) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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

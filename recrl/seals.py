"""Seals: a finished thing says what it was when it was finished, and is refused when it is no longer that.

A folder carries ``manifest.json``: what it is, the versions of the libraries that made it, the SHA-256 of every file,
and one of the manifest itself. A JSON file carries its own SHA-256 as its last field. What has no seal, because an
earlier recrl or another tool wrote it, is read as it is, and that is said once.

Hashing gigabytes at every start would be slow: once all files were found unaltered, their sizes, inodes and times of
change are noted in the user's cache, and files of which these are the same are not read again.
"""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from recrl.errors import RecrlError, StorageError
from recrl.files import cache_dir, json_text, read_json, sha256_of, umask, write_json, write_text
from recrl.version import versions

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1  # of manifests but those of catalogues, which have versions of their own
MANIFEST = "manifest.json"
OWN_HASH = "manifest_sha256"
CHECKSUM = "sha256"  # the field of a JSON file
VERIFY = "`recrl verify` lists what is damaged"

# What a seal does not cover: pages that are rewritten, locks, journals (whose lines have checksums of their own), and
# what only a running training needs, which is not published either.
UNSEALED = (
    "README.md", "report.html", MANIFEST, ".*", "journal.jsonl", "training_args.bin", "checkpoint-*", "runs", "best",
    "round_*",
)  # fmt: skip

_said: set[Path] = set()


def seal_folder(
    folder: Path,
    kind: str,
    *,
    command: str | None = None,
    pending: Mapping[str, str] | None = None,
    made_from: Mapping[str, str] | None = None,
) -> None:
    """Writes the manifest of a finished folder, and lets others read its files as far as the user's mask does.

    Args:
        kind: what the folder is, in words: "training run".
        command: what made it, and would make it again: "recrl compare".
        pending: texts of files that will be written last, by name: what marks the folder as finished.
        made_from: files of others without a checksum of their own, by name -> their SHA-256.

    Raises:
        StorageError: the disk is full or not writable.
    """
    for path in sealed_files(folder):
        _share(path)
    about: dict[str, Any] = {"format_version": FORMAT_VERSION, "kind": kind, "versions": versions()}
    about |= {} if command is None else {"command": command}
    about |= {} if made_from is None else {"made_from": dict(made_from)}
    write_manifest(folder, about, pending=pending)


def write_manifest(folder: Path, about: Mapping[str, Any], *, pending: Mapping[str, str] | None = None) -> None:
    """Writes a manifest with the fields ``about``, and the hashes of all files; see `seal_folder`."""
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in sealed_files(folder)}
    hashes |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (pending or {}).items()}
    parts = {part.relative_to(folder).as_posix(): _own_hash(part) for part in sealed_parts(folder)}
    whole = {**about, "files": dict(sorted(hashes.items()))} | ({"parts": parts} if parts else {})
    write_json(folder / MANIFEST, whole | {OWN_HASH: hash_of(whole)})


def sealed_files(folder: Path) -> list[Path]:
    """The files that a seal of the folder covers, in order; parts with a seal of their own are left out."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if any(fnmatch(entry.name, pattern) for pattern in UNSEALED):
            continue
        if entry.is_file():
            yield Path(entry.path)
        elif entry.is_dir() and not (Path(entry.path) / MANIFEST).exists():
            yield from _files(Path(entry.path))


def sealed_parts(folder: Path) -> list[Path]:
    """The folders inside that have a seal of their own, outermost only, in order."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir() and not any(fnmatch(entry.name, pattern) for pattern in UNSEALED):
            inside = Path(entry.path)
            found += [inside] if (inside / MANIFEST).exists() else sealed_parts(inside)
    return found


def check_folder(folder: Path, kind: type[RecrlError], advice: str) -> dict[str, Any] | None:
    """The manifest of a folder whose files are all there and unaltered; None, said once, where there is no seal.

    Args:
        kind: the error to raise; advice: what to do about a damaged folder.

    Raises:
        RecrlError: of that kind: the folder is incomplete or altered, with the reason.
    """
    if not (folder / MANIFEST).exists():
        place = folder.resolve()
        if place not in _said:
            _said.add(place)
            logger.info("%s has no seal (%s): its files are taken as they are", folder, MANIFEST)
        return None
    return read_manifest(folder, FORMAT_VERSION, kind, advice)


def read_manifest(folder: Path, version: int, kind: type[RecrlError], advice: str) -> dict[str, Any]:
    """The manifest of a folder whose files are all there and unaltered, with its own hash.

    Args:
        version: the format version that is expected; kind, advice: see `check_folder`.

    Raises:
        RecrlError: of that kind: it is missing, of another version, or the folder is incomplete or altered.
    """

    def refuse(reason: str) -> RecrlError:
        return kind(f"{folder} {reason}; {advice}")

    manifest = load_manifest(folder, version, refuse)
    own = manifest[OWN_HASH]
    marks = {name: _mark(folder, name, refuse) for name in manifest["files"]}
    stamp = cache_dir() / "verified" / f"{hash_of([str(folder.resolve()), own])[:24]}.json"
    if _read_stamp(stamp) != marks:
        for name, sha256 in manifest["files"].items():
            if sha256_of(folder / name) != sha256:
                raise refuse(f"was altered: {name} has another SHA-256 than {MANIFEST} says")
        _write_stamp(stamp, marks)
    return manifest


def load_manifest(folder: Path, version: int, refuse: Callable[[str], RecrlError]) -> dict[str, Any]:
    """A manifest that is as it was written; nothing is said about the files that it lists.

    Args:
        refuse: makes the error of a reason.

    Raises:
        RecrlError: what ``refuse`` makes.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except FileNotFoundError as error:
        raise refuse(f"is incomplete: {MANIFEST} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(f"was altered: {MANIFEST} cannot be read ({error})") from error
    found = manifest.get("format_version") if isinstance(manifest, dict) else None
    if found != version:
        raise refuse(f"has format version {found}, this recrl reads {version}")
    own = manifest.pop(OWN_HASH, None)
    names = manifest.get("files")
    if own != hash_of(manifest) or not isinstance(names, dict):
        raise refuse(f"was altered: {MANIFEST} is not as it was written")
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise refuse(f"was altered: {MANIFEST} lists {name!r}, which is not in the folder")
    return manifest | {OWN_HASH: own}


def damages(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with the files and parts that a manifest lists, a line each; every file is read."""
    found = []
    for name, sha256 in manifest["files"].items():
        path = folder / name
        if not path.exists():
            found.append(f"{name} is missing")
        elif not path.is_file():
            found.append(f"{name} is no file")
        elif sha256_of(path) != sha256:
            found.append(f"{name} was altered")
    for name, own in manifest.get("parts", {}).items():
        if (folder / name / MANIFEST).exists() and _own_hash(folder / name) != own:
            found.append(f"{name} is another than when the folder was finished")
    return found


def _own_hash(folder: Path) -> Any:
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return None
    return manifest.get(OWN_HASH) if isinstance(manifest, dict) else None


def _mark(folder: Path, name: str, refuse: Callable[[str], RecrlError]) -> list[int]:
    """What changes when a file is written to."""
    try:
        status = (folder / name).stat()
    except OSError as error:
        raise refuse(f"is incomplete: {name} is missing") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device might never end
        raise refuse(f"was altered: {name} is no file")
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


def _share(path: Path) -> None:
    """Gives a file the mode of any other new one: safetensors makes files that only their owner can read."""
    wanted = 0o666 & ~umask()
    if stat.S_IMODE(path.stat().st_mode) & wanted != wanted:
        path.chmod(wanted)


def hash_of(value: Any) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sealed_text(value: Mapping[str, Any]) -> str:
    """A JSON object as the text of a file that carries its own checksum."""
    return json_text({**value, CHECKSUM: hash_of(_as_read(value))})


def write_sealed_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object with its checksum, atomically; see `recrl.files.write_json`."""
    write_text(path, sealed_text(value))


def read_sealed_json(path: str | Path) -> Any:
    """The value of a JSON file, without the checksum that `write_sealed_json` added; of others the value as it is.

    Raises:
        ValueError: it is no JSON, or was altered.
    """
    return unsealed(read_json(path))


def unsealed(value: Any) -> Any:
    """What `write_sealed_json` was given; an object without a checksum, or anything else, is returned as it is.

    Raises:
        ValueError: the checksum is another than that of the other fields.
    """
    if not isinstance(value, dict) or CHECKSUM not in value:
        return value
    fields = {name: inner for name, inner in value.items() if name != CHECKSUM}
    if value[CHECKSUM] != hash_of(fields):
        raise ValueError(f"its content has another checksum than its field {CHECKSUM!r} says: it was altered")
    return fields


def _as_read(value: Any) -> Any:
    """The value as it comes back from JSON, where names are texts and tuples are lists."""
    return json.loads(json.dumps(value))

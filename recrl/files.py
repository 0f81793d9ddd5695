"""Writing files so that a crash leaves either the old content or the new one, never half of it."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recrl.errors import StorageError


def cache_dir() -> Path:
    """The folder for what can be made again: ``RECRL_CACHE``, or ``~/.cache/recrl``."""
    return Path(os.environ.get("RECRL_CACHE") or Path.home() / ".cache" / "recrl")


def is_unicode(value: Any) -> bool:
    """Whether all texts of a JSON value can be written: JSON can spell halves of surrogate pairs, which are none."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file with or without a byte-order mark; Windows line ends become ours."""
    return Path(path).read_text(encoding="utf-8-sig")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file, see `read_text`.

    Raises:
        ValueError: it is no JSON, or no UTF-8.
    """
    return json.loads(read_text(path))


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def clear_disk_errors(target: str | Path) -> Iterator[None]:
    """Turns "no space left", "quota exceeded", "read-only" and the like into a StorageError that names the target; so
    also what says that nothing can be at the target's place, such as below a file or a link that leads nowhere.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in PLACE_ERRORS and _is_at(error.filename, Path(target)):
            raise StorageError(
                f"could not write {target}: {error.strerror}: {error.filename}. A file, or a link that leads nowhere, "
                "is in the way, or the name is too long; choose another place."
            ) from error
        reason = disk_error(error)
        if reason is None:
            raise
        raise StorageError(
            f"could not write {target}: {reason}; nothing half-written was left under that name. "
            "Free space or choose another folder, then run the same command again."
        ) from error


def _is_at(name: Any, target: Path) -> bool:
    """Whether a file's name is the target, above or in it, or what is written beside it: other files may be read."""
    if not isinstance(name, (str, os.PathLike)):
        return False
    path = Path(name)
    beside = path.parent == target.parent and path.name.startswith(f".{target.name}.")
    return beside or target.is_relative_to(path) or path.is_relative_to(target)


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_ERRORS = (*FULL, errno.EROFS, errno.EACCES)
PLACE_ERRORS = (errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR)


def disk_error(error: BaseException) -> str | None:
    """What the disk said, if that is what an error is about; safetensors and torch have errors of their own for it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror if error.errno in DISK_ERRORS else None
    text = str(error)
    for number in DISK_ERRORS:
        if f"(os error {number})" in text:  # what Rust says
            return os.strerror(number)
    if "PytorchStreamWriter" in text or "inline_container" in text:  # torch does not say why it could not write
        return "no space left, or it cannot be written to"
    return None


def write_text(path: str | Path, text: str) -> None:
    """Writes ``text`` beside ``path``, flushes it to the disk and renames it onto ``path``.

    Raises:
        StorageError: the disk is full or not writable; ``path`` keeps its former content.
    """
    path = Path(path)
    with clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        descriptor, temporary = _locked(path, _new_file)
        try:
            with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


def write_json(path: str | Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically; see `write_text`.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON does not have; see `finite_or_none`.
    """
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite_or_none(value: Any) -> Any:
    """A value for JSON with None in place of every NaN and infinity, in lists and objects too."""
    if isinstance(value, dict):
        return {name: finite_or_none(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def replace_folder(path: str | Path) -> Iterator[Path]:
    """Yields an empty folder beside ``path``; on success it takes the place of ``path``, on an error it is removed.

    Raises:
        StorageError: the disk is full or not writable; ``path`` keeps its former content.
    """
    path = Path(path)
    with clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        held, temporary = _locked(path, _new_folder)
        try:
            os.chmod(temporary, 0o777 & ~umask())
            yield temporary
            if path.exists():
                held_too, retired = _locked(path, _new_folder, "old")
                try:
                    os.replace(path, retired / RETIRED)
                    os.replace(temporary, path)
                    shutil.rmtree(retired)
                finally:
                    os.close(held_too)
            else:
                os.replace(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            os.close(held)


LEFTOVER = r"\.(?:{})\.(?:tmp|old)-[a-z0-9_]{{8}}"  # of names; what a killed process may leave beside them
RETIRED = "content"  # the name of what is being replaced, in a folder of its own


def _locked(path: Path, make: Callable[[Path, str], str], mark: str = "tmp") -> tuple[int, Path]:
    """A new file or folder beside a path, with a descriptor that locks it as long as it is open.

    Args:
        make: makes it in a folder under a name that begins so.
    """
    while True:
        made = Path(make(path.parent, f".{path.name}.{mark}-"))
        try:
            descriptor = os.open(made, os.O_RDONLY if made.is_dir() else os.O_RDWR)
        except FileNotFoundError:  # another process took it for a leftover before it was locked
            continue
        if _lock(descriptor) and made.exists():
            return descriptor, made
        os.close(descriptor)


def _new_folder(folder: Path, prefix: str) -> str:
    return tempfile.mkdtemp(prefix=prefix, dir=folder)


def _new_file(folder: Path, prefix: str) -> str:
    descriptor, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    os.close(descriptor)
    return name


def _lock(descriptor: int) -> bool:
    """Locks an open file or folder without waiting; False if another process has the lock."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a network file system without locks: nothing is taken for a leftover
        return True
    return True


def _remove_leftovers(path: Path) -> None:
    """Removes what killed processes have left beside a path; what living ones write there is locked.

    A folder that was put aside by a process which was killed before the new one took its place is put back.
    """
    try:
        import fcntl
    except ImportError:
        return
    ours = re.compile(LEFTOVER.format(re.escape(path.name)))
    for entry in [entry for entry in os.scandir(path.parent) if ours.fullmatch(entry.name)]:
        with contextlib.suppress(OSError):  # it is another's, or is gone
            descriptor = os.open(entry.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (Path(entry.path) / RETIRED).exists() and not path.exists():
                    os.replace(Path(entry.path) / RETIRED, path)
                if entry.is_dir():
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            finally:
                os.close(descriptor)


def umask() -> int:
    """The process's file mode creation mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

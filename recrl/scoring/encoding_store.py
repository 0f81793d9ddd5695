"""Encodings of texts on the disk: what one process has encoded, later ones read.

All are in one SQLite file under `recrl.files.cache_dir`. SQLite makes it safe: several processes read and write it, a
write is whole or absent after a crash, and opening it reads nothing of its content. An encoding is found by the token
ids and by all that its last digit depends on: the encoder's weights and configuration, the versions of the packages,
threads and CPU. So what is read is, bit for bit, what would be computed. Beyond its size the oldest are deleted.

``RECRL_ENCODINGS_MB`` is the size, in megabytes; 0 keeps nothing on the disk.
"""

import atexit
import functools
import hashlib
import json
import logging
import os
import platform
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from recrl.errors import ConfigError
from recrl.files import cache_dir
from recrl.version import versions

logger = logging.getLogger(__name__)

Text = tuple[int, ...]  # token ids
SIZE_VARIABLE = "RECRL_ENCODINGS_MB"
DEFAULT_MB = 1000
WAITING_TEXTS = 256  # written together, because a write waits for the disk
LOCK_SECONDS = 5.0  # how long another process's write is waited for
READ_AT_ONCE = 500  # texts asked for in one query


def tensors_sha256(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """The SHA-256 of named tensors with their names, shapes and types, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def encoder_key(encoder: PreTrainedModel) -> str:
    """All that the last digit of an encoding depends on besides the token ids, as a SHA-256 in hexadecimal."""
    config = encoder.config
    parts = {
        "weights": tensors_sha256(sorted(encoder.state_dict().items())),
        "config": config.to_json_string(use_diff=False),
        "attention": config._attn_implementation,
        "precision": torch.get_float32_matmul_precision(),
        "processor": _processor(),
        **versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def _processor() -> str:
    """The model of the CPU, by which matrix products choose how they sum up."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def size_from_environment() -> int:
    """The size of the file in bytes, see the module's docstring.

    Raises:
        ConfigError: the variable is no whole number of at least 0.
    """
    text = os.environ.get(SIZE_VARIABLE, str(DEFAULT_MB))
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{SIZE_VARIABLE}={text!r}, expected a whole number of megabytes; 0 keeps none on the disk")
    return int(text) * 1_000_000


class EncodingStore:
    """Encodings by key and token ids. A file that cannot be used is said so once, and nothing more is kept on the disk.

    Args:
        path: the file, made when first needed.
        max_bytes: of the file; it may be exceeded by what is written together.
    """

    def __init__(self, path: str | Path, max_bytes: int) -> None:
        self.path, self.max_bytes = Path(path), max_bytes
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._failed = False
        self._waiting: dict[bytes, np.ndarray] = {}
        atexit.register(self.flush)

    def __deepcopy__(self, memo: dict[int, object]) -> "EncodingStore":
        """Copies of a model share the file."""
        return self

    def read(self, key: str, texts: Sequence[Text]) -> dict[Text, np.ndarray]:
        """(tokens, hidden) float32 of those texts that are known under the key."""
        ids = {_id(key, text): text for text in texts}
        found = {ids[one]: rows for one, rows in self._waiting.items() if one in ids}
        wanted = [one for one in ids if one not in self._waiting]
        try:
            for start in range(0, len(wanted), READ_AT_ONCE):
                some = wanted[start : start + READ_AT_ONCE]
                connection = self._open()
                if connection is None:
                    break
                marks = ",".join("?" * len(some))
                query = f"SELECT id, hidden, numbers FROM encodings WHERE id IN ({marks})"
                for one, hidden, numbers in connection.execute(query, some):
                    found[ids[one]] = np.frombuffer(bytearray(numbers), np.float32).reshape(-1, hidden)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return found

    def write(self, key: str, encodings: Mapping[Text, np.ndarray]) -> None:
        """Adds encodings, (tokens, hidden) float32 of each text; they reach the disk with `flush` at the latest.

        Raises:
            TypeError: they have another type, so that less would be read than was computed.
        """
        for text, rows in encodings.items():
            if rows.dtype != np.float32:
                raise TypeError(f"encodings of type {rows.dtype}, expected float32, which is kept as it is")
            self._waiting[_id(key, text)] = rows
        if len(self._waiting) >= WAITING_TEXTS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits, in one transaction."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            connection = self._open()
            if connection is None:
                return
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT OR IGNORE INTO encodings (id, hidden, numbers) VALUES (?, ?, ?)",
                    [(one, rows.shape[1], np.ascontiguousarray(rows).tobytes()) for one, rows in waiting.items()],
                )
                self._shrink(connection)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Deletes the oldest until at most 9 tenths of the size are in use; their place in the file is used again."""
        [pages], [free], [page_size] = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        surplus = (pages - free) * page_size - self.max_bytes
        if surplus <= 0:
            return
        surplus += self.max_bytes // 10
        oldest = []
        for place, size in connection.execute("SELECT place, length(numbers) FROM encodings ORDER BY place"):
            oldest.append((place,))
            surplus -= size
            if surplus <= 0:
                break
        connection.executemany("DELETE FROM encodings WHERE place = ?", oldest)

    def _open(self) -> sqlite3.Connection | None:
        """The connection of this process; None after a failure. One that was opened before a fork is not used."""
        if self._failed:
            return None
        if self._connection is None or self._process != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA mmap_size={self.max_bytes}")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS encodings"
                " (place INTEGER PRIMARY KEY, id BLOB UNIQUE NOT NULL, hidden INTEGER NOT NULL, numbers BLOB NOT NULL)"
            )
            self._connection, self._process = connection, os.getpid()
        return self._connection

    def _give_up(self, error: Exception) -> None:
        self._failed, self._connection, self._waiting = True, None, {}
        logger.warning(
            "%s cannot be used (%s): texts are encoded anew. Delete the file, or set %s=0 to do without it.",
            self.path,
            error,
            SIZE_VARIABLE,
        )


def _id(key: str, text: Text) -> bytes:
    """What an encoding is found by."""
    return hashlib.sha256(key.encode() + b"\n" + np.asarray(text, "<i8").tobytes()).digest()


@functools.cache
def _store_at(path: Path, max_bytes: int) -> EncodingStore:
    return EncodingStore(path, max_bytes)


def default_store() -> EncodingStore | None:
    """The store in `recrl.files.cache_dir`, one of a process; None where ``RECRL_ENCODINGS_MB`` is 0."""
    size = size_from_environment()
    return _store_at(cache_dir() / "encodings.sqlite3", size) if size else None

"""Journals: what a run has done so far, one JSON object a line, each on the disk before the next one is begun.

A line ends with a checksum of its record and all before it. So a line that was altered, left out, put in or moved is
found, and named; the last line alone may be torn, by a kill, and is dropped. A journal that an earlier recrl began
without checksums is read as it is, and goes on with them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError
from recrl.files import clear_disk_errors

CHECKSUM = "checksum"
LENGTH = 16  # hexadecimal digits


class Journal:
    """The journal of a run.

    Args:
        path: its file, which is made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size, self._hash = -1, hashlib.sha256()  # of the file that was read or written last, and its records

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes a record and waits until it is on the disk.

        Raises:
            StorageError: the disk is full or not writable; the records before are kept.
            DatasetError: a record before is damaged.
        """
        if self._size != _size(self.path):
            self.read()
        after = _added(self._hash, record)
        rest = memoryview((_text({**record, CHECKSUM: after.hexdigest()[:LENGTH]}) + "\n").encode())
        # Without a buffer: closing would write the rest of a half line, for which the truncation has just made room.
        with clear_disk_errors(self.path), open(self.path, "ab", buffering=0) as file:
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, max(self._size, 0))  # what follows a half line could not be read
                raise
            self._size, self._hash = file.tell(), after

    def read(self) -> list[dict[str, Any]]:
        """All records, none if there is no file. A last line that a kill cut off is removed from the file.

        Raises:
            DatasetError: any other line is damaged.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        records = self.records_of(whole)
        if len(whole) < len(content):
            with clear_disk_errors(self.path):
                os.truncate(self.path, len(whole))
        self._size = len(whole) if self.path.exists() else -1
        return records

    def records_of(self, whole: bytes) -> list[dict[str, Any]]:
        """The records of whole lines; touches nothing.

        Raises:
            DatasetError: a line is damaged.
        """
        records: list[dict[str, Any]] = []
        found, has_checksums = hashlib.sha256(), False
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise self.damaged(number, str(error)) from error
            if not isinstance(record, dict):
                raise self.damaged(number, "expected a JSON object")
            checksum = record.pop(CHECKSUM, None)
            found = _added(found, record)
            has_checksums = has_checksums or checksum is not None
            if has_checksums and checksum != found.hexdigest()[:LENGTH]:
                raise self.damaged(number, "another checksum is written there: it, or a line before it, was altered")
            records.append(record)
        self._hash = found
        return records

    def damaged(self, line: int, reason: str) -> DatasetError:
        """The error for a record that cannot be used, for callers to raise too; lines count from 1."""
        return DatasetError(
            f"{self.path} is corrupt in line {line} ({reason}); remove {self.path.parent} and start again"
        )


def _size(path: Path) -> int:
    """Bytes; -1 of a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _added(before: Any, record: Mapping[str, Any]) -> Any:
    """The running hash of records with one more."""
    after = before.copy()
    after.update(f"{_text(record)}\n".encode())
    return after

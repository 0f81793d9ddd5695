"""A run folder: the one place where a command keeps its settings, its progress and its result.

The first run of a command claims the folder by recording its settings there. Until the result is written the run is
interrupted, and the same command goes on from what it finds; with the result it is complete. One process at a time
works in a folder. A folder that holds anything else is refused before it is touched.

Every step is safe against a kill. The folder is made, locked, and the settings are written atomically, which is the
claim; a README.md explains the folder; records of progress go to a journal, each flushed to the disk; the result is
written last and marks the run as complete. A lock ends with the process that holds it, however that ends.
"""

import contextlib
import enum
import functools
import json
import logging
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError, DatasetError, RecrlError, StorageError
from recrl.files import LEFTOVER, clear_disk_errors, write_text
from recrl.journals import Journal
from recrl.same_settings import refuse_other_settings
from recrl.seals import MANIFEST, read_sealed_json, seal_folder, sealed_text, write_sealed_json
from recrl.version import __version__

logger = logging.getLogger(__name__)

JOURNAL_FILE = "journal.jsonl"
README_FILE = "README.md"
LOCK_FILE = ".recrl.lock"
README_MARK = "<!-- Written by recrl for this run. A README.md without this line is left as it is. -->"


class RunState(enum.Enum):
    """How far the run in a folder is."""

    NEW = "new"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


@dataclass(frozen=True)
class RunFolder:
    """A folder for one run of a command.

    Attributes:
        path: the folder.
        kind: what runs in it, for messages: "comparison".
        command: how it is called, for the README: "recrl compare".
        settings: what determines the result, as JSON can hold it: fields, or groups of fields.
        free: names of settings that may differ when the run goes on.
        settings_file, result_file: JSON files; the first is the claim, the second marks the run as complete.
        files: what is in the folder, for the README: name -> explanation.
        shown: the settings that the README lists; None for all.
        scratch: names of what a run makes at its start and would make again; they are no progress.
    """

    path: Path
    kind: str
    command: str
    settings: Mapping[str, Any]
    settings_file: str
    result_file: str
    files: Mapping[str, str] = field(default_factory=dict)
    free: Sequence[str] = ()
    shown: Mapping[str, Any] | None = None
    scratch: Sequence[str] = ()

    @functools.cached_property
    def journal(self) -> Journal:
        """The run's journal; its file is made with the first record."""
        return Journal(self.path / JOURNAL_FILE)

    def state(self) -> RunState:
        """How far this run is. Only reads.

        Raises:
            ConfigError: the folder holds something else, or a run with other settings.
            DatasetError: the recorded settings are damaged.
        """
        refuse_no_folder(self.path)
        recorded, wanted = self._recorded(), self._wanted()
        foreign = self._contents() if recorded is None else len(recorded.keys() & wanted.keys()) < len(wanted) / 2
        if foreign:
            raise ConfigError(f"{self.path} is not empty and holds no {self.kind}; choose another --output_dir")
        if recorded is None:
            return RunState.NEW
        state = RunState.COMPLETE if (self.path / self.result_file).exists() else RunState.INTERRUPTED
        refuse_other_settings(f"{self.path} holds {_a(state)} {self.kind}", recorded, wanted, self.free)
        return state

    @contextlib.contextmanager
    def claim(self) -> Iterator[RunState]:
        """Holds the folder for this process, records the settings, and yields how far the run was before.

        A command that is refused (any `RecrlError` but a full disk) before it has done anything takes its claim back,
        so that the corrected command finds the folder free.

        Raises:
            ConfigError: see `state`; or another process works in the folder.
            DatasetError: see `state`.
            StorageError: the disk is full or not writable.
        """
        self.state()  # refuses before anything is touched
        was_there = self.path.exists()
        try:
            with held(self.path, self.kind):
                state = self.state()  # again: now no other process changes it
                for leftover in self._leftovers():
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
                if state is not RunState.COMPLETE:  # whose settings are sealed: they stay what it was made with
                    self._record_settings()
                    self._explain()
                try:
                    yield state
                except StorageError:
                    raise
                except RecrlError:
                    if not self._has_progress():
                        self._take_back()
                    raise
        finally:
            if not was_there:
                with contextlib.suppress(OSError):  # it holds the run, or is gone
                    self.path.rmdir()

    def complete(self, result: Mapping[str, Any], outcome: str | None = None) -> None:
        """Seals the folder (`recrl.seals`), writes the result, which marks the run as complete, then the README.

        Args:
            outcome: Markdown that says what came out; None for a list of the result's numbers and texts.
        """
        text = sealed_text(result)
        self._record_settings()  # of a complete run that went on
        seal_folder(self.path, self.kind, command=self.command, pending={self.result_file: text})
        write_text(self.path / self.result_file, text)
        self._explain(outcome_of(result) if outcome is None else outcome)

    def readme(self, outcome: str | None = None) -> str:
        """The README: what was run, how to go on or what came out, and what each file is.

        Args:
            outcome: Markdown that says what came out; None for a run that is not complete.
        """
        if outcome is not None:
            state = [f"This {self.kind} is complete.", "", "## Result", "", outcome.strip()]
        else:
            state = [
                f"This {self.kind} is not complete as long as `{self.result_file}` is missing. To go on from where it "
                f"stopped, run `{self.command}` again with the settings below. Other settings are refused"
                + (f", except for {', '.join(sorted(self.free))}." if self.free else "."),
            ]
        files = dict(self.files) | {README_FILE: "this page"}
        if outcome is None:
            files[LOCK_FILE] = "names the process that works here; what a killed process left does no harm"
        lines = [
            README_MARK,
            f"# {self.kind[0].upper()}{self.kind[1:]}",
            "",
            f"Made by `{self.command}`, recrl {__version__}.",
            "",
            *state,
            "",
            "## Settings",
            "",
            *_listed(self._wanted() if self.shown is None else self.shown),
            "",
            f"All settings are in `{self.settings_file}`.",
            "",
            "## Files",
            "",
            *(f"- `{name}`: {text}" for name, text in files.items()),
        ]
        return "\n".join(lines) + "\n"

    def _record_settings(self) -> None:
        if self._recorded() != self._wanted():
            write_sealed_json(self.path / self.settings_file, self._wanted())

    def _wanted(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.settings))

    def _recorded(self) -> dict[str, Any] | None:
        """The settings that the folder holds, None if it was not claimed."""
        try:
            return read_object(self.path / self.settings_file, self.path)
        except FileNotFoundError:
            return None

    def _contents(self) -> list[Path]:
        """What is in the folder and is not left of a claim that was killed."""
        ours = {self.path / LOCK_FILE, *self._leftovers()}
        return [path for path in _entries(self.path) if path not in ours]

    def _leftovers(self) -> list[Path]:
        """The temporary files and folders of `recrl.files` that a killed process has left, of this run's names only."""
        names = [self.settings_file]
        if (self.path / self.settings_file).exists():
            names += [self.result_file, MANIFEST, README_FILE, *self.files, *self.scratch]
        ours = re.compile(LEFTOVER.format("|".join(map(re.escape, names))))
        return [path for path in _entries(self.path) if ours.fullmatch(path.name)]

    def _has_progress(self) -> bool:
        """Whether the folder holds a file beside the claim and what would be made again."""
        ours = (self.settings_file, *self.scratch)
        kept = [path for path in self._contents() if path.name not in ours and not _is_ours(path)]
        return any(path.is_file() or any(inner.is_file() for inner in path.rglob("*")) for path in kept)

    def _take_back(self) -> None:
        """Empties a folder without progress; the settings go last, because what is left without them is foreign."""
        claim = self.path / self.settings_file
        for path in self._contents():
            if path != claim:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        claim.unlink()

    def _explain(self, outcome: str | None = None) -> None:
        path = self.path / README_FILE
        if may_write_readme(self.path):
            write_text(path, self.readme(outcome))


def refuse_no_folder(path: Path) -> None:
    """Only reads; a path that is not there is one that a folder can be made at.

    Raises:
        ConfigError: the path, or one above it, is a file, or a link to nothing, or has a name that is too long.
    """
    for place in (path, *path.parents):
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{place}: {error.strerror}; choose another --output_dir") from error
        if stat.S_ISLNK(mode) and not place.exists():
            raise ConfigError(
                f"{place} is a link to {os.readlink(place)}, which is not there; choose another --output_dir"
            )
        if not (stat.S_ISDIR(mode) or place.is_dir()):
            raise ConfigError(f"{place} is no folder; choose another --output_dir")
        return


def read_object(path: Path, folder: Path) -> dict[str, Any]:
    """The JSON object in a file of a run.

    Raises:
        DatasetError: it is damaged; the message advises to remove ``folder``.
    """
    try:
        value = read_sealed_json(path)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path} is corrupt ({error}); choose another --output_dir, or remove {folder} and start again"
        ) from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected a JSON object; choose another --output_dir")
    return value


def outcome_of(result: Mapping[str, Any]) -> str:
    """The numbers and texts of a result as a Markdown list."""
    plain = {name: value for name, value in result.items() if isinstance(value, (str, int, float))}
    return "\n".join(_listed({name: round(v, 4) if isinstance(v, float) else v for name, v in plain.items()}))


def may_write_readme(folder: Path) -> bool:
    """Whether the folder has no README, or a run's page; a card, or a person's own page, is left as it is."""
    path = folder / README_FILE
    return not path.exists() or _is_ours(path)


def _listed(settings: Mapping[str, Any]) -> list[str]:
    """Markdown lines for settings that are not None; a group is a line with its fields below it."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += [f"- {name}:", *(f"  {line}" for line in _listed(value))]
        elif value is not None:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"- {name}: {shown}")
    return lines


def _a(state: RunState) -> str:
    return f"an {state.value}" if state is RunState.INTERRUPTED else f"a {state.value}"


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_ours(path: Path) -> bool:
    """Whether the file is a README that a run wrote."""
    if path.name != README_FILE:
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n") == README_MARK


@contextlib.contextmanager
def held(folder: Path, kind: str) -> Iterator[None]:
    """Makes the folder and holds its lock file, which names this process.

    Raises:
        ConfigError: another process holds it.
    """
    path = folder / LOCK_FILE
    descriptor = _take_lock(path, kind)
    try:
        with clear_disk_errors(path):
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        if _is_at(descriptor, path):
            path.unlink()
        os.close(descriptor)


def _take_lock(path: Path, kind: str) -> int:
    """The descriptor of the locked file. Its earlier holder may remove the file meanwhile; then a new one is made."""
    while True:
        with clear_disk_errors(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except (FileExistsError, FileNotFoundError):  # another process removed the folder just now
                refuse_no_folder(path.parent)
                continue
        if not _try_lock(descriptor, path):
            owner = os.read(descriptor, 1000).decode("utf-8", "replace") or "another process"
            os.close(descriptor)
            raise ConfigError(
                f"{path.parent} is in use: {owner} works on this {kind}; wait for its end, or choose another "
                "--output_dir"
            )
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    """Locks without waiting; False if another process has the lock."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:  # Windows, or a network file system without locks
        logger.warning("%s cannot be locked (%s); run only one process in that folder", path.parent, error)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one with that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False

"""What a folder or file is, what of it is damaged or missing, and how to make that again: what `recrl verify` says.

Only reads. Every file is hashed, whatever was noted about it before.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError, HubError
from recrl.files import read_json
from recrl.hub import is_path, pull
from recrl.journals import Journal
from recrl.seals import CHECKSUM, FORMAT_VERSION, MANIFEST, damages, load_manifest, unsealed

JOURNAL_ENDING = ".jsonl"
CATALOG_VERSION = 3


@dataclass(frozen=True)
class Found:
    """What was found at a place.

    Attributes:
        path: the folder or file; what: in words; checked: whether it carries what it can be checked against.
        damage: what is wrong, a line each; again: how to make it again.
    """

    path: Path
    what: str
    checked: bool = True
    damage: list[str] = field(default_factory=list)
    again: str = ""


def verify(source: str | Path) -> list[Found]:
    """What there is at a path or Hub id, outermost first.

    Raises:
        DatasetError: there is no such path or repository, or nothing that recrl writes or reads.
    """
    path = Path(source) if Path(source).exists() or is_path(str(source)) else _pulled(str(source))
    if not path.exists():
        raise DatasetError(f"{source}: no such file or folder; expected what recrl has written, or a Hub id")
    try:
        found = list(_in_folder(path) if path.is_dir() else _in_file(path))
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror}") from error
    if not found:
        raise DatasetError(f"{source} holds nothing that recrl has written: no {MANIFEST}, no journal, no result")
    return found


def _pulled(source: str) -> Path:
    """A copy of a model or dataset on the Hub."""
    try:
        return pull(source)
    except HubError as no_model:
        try:
            return pull(source, repo_type="dataset")
        except HubError:
            raise DatasetError(str(no_model)) from no_model


def _in_folder(folder: Path) -> Iterator[Found]:
    listed: set[Path] = set()
    if (folder / MANIFEST).exists():
        listed = {folder / name for name in (MANIFEST, *_listed(folder))}
        yield _sealed_folder(folder)
    elif (folder / "config.json").exists() or (folder / "state.json").exists():
        yield Found(folder, "a folder without a seal, whose files cannot be checked", checked=False)
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith(".cache"):
            yield from _in_folder(entry)
        elif (
            entry.is_file() and entry.suffix in (".json", JOURNAL_ENDING) and entry not in {*listed, folder / MANIFEST}
        ):
            yield from _in_file(entry, only_ours=True)


def _sealed_folder(folder: Path) -> Found:
    try:
        version = _version(folder)
        manifest = load_manifest(folder, version, lambda reason: DatasetError(reason))
    except DatasetError as error:
        again = "without its manifest the folder is read unchecked; copy it again from where it was made"
        return Found(folder, "a sealed folder", damage=[f"it {error}"], again=again)
    what = manifest.get("kind") or ("built catalogue" if "num_records" in manifest else "goals of a catalogue")
    found = damages(folder, manifest)
    return Found(folder, f"{what}, {len(manifest['files'])} files", damage=found, again=_again(folder, what, manifest))


def _listed(folder: Path) -> list[str]:
    """The files of a manifest; none of one that cannot be read."""
    try:
        return list(read_json(folder / MANIFEST)["files"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def _version(folder: Path) -> int:
    """The format version that the manifest says, if it is one that this recrl knows; else the current one."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError, RecursionError):
        return FORMAT_VERSION
    known = (FORMAT_VERSION, CATALOG_VERSION)
    found = manifest.get("format_version") if isinstance(manifest, dict) else None
    return found if found in known else FORMAT_VERSION


def _again(folder: Path, what: str, manifest: dict[str, Any]) -> str:
    """How to make a damaged folder again."""
    if what == "checkpoint":
        return f"remove {folder}: the run goes on from the checkpoint before, or from its start"
    if what == "built catalogue":
        return f"remove {folder} and build it again: recrl catalog build RAW_FOLDER --output_dir {folder}"
    if what.startswith("goals"):
        return f"remove {folder}: the goals are drawn again on next use"
    command = manifest.get("command")
    if command is None:
        return "copy it again from where it was made"
    return f"copy it again, or remove {folder} and make it again: {command} with the same settings"


def _in_file(path: Path, *, only_ours: bool = False) -> Iterator[Found]:
    if path.suffix == JOURNAL_ENDING:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        torn = "; the last line was cut off and will be dropped" if len(whole) < len(content) else ""
        try:
            yield Found(path, f"journal of {len(Journal(path).records_of(whole))} records{torn}")
        except DatasetError as error:
            yield Found(path, "journal", damage=[str(error)], again=f"remove {path.parent} and run its command again")
        return
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        has_checksum = isinstance(value, dict) and CHECKSUM in value
        unsealed(value)
    except (ValueError, RecursionError) as error:
        yield Found(path, "JSON file", damage=[str(error)], again="make it again with the command that wrote it")
        return
    if has_checksum:
        yield Found(path, "JSON file with a checksum")
    elif not only_ours:
        yield Found(path, "a JSON file without a checksum", checked=False)

"""A trajectory as a record holds it, before its pages are rebuilt, and the reading of files of records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError
from recrl.files import is_unicode
from recrl.webshop import actions

FORMATS = {  # name -> the fields by which a record of it is known
    "webshop_sessions": ("page", "goal"),
    "webshop_il": ("states", "available_actions", "action_idxs"),
    "jsonl": ("steps", "goal_index"),
}
PEOPLE = "people"  # the policy's name of what people did


class MisfitError(Exception):
    """Why one trajectory cannot become an episode; the others can.

    Attributes:
        reason: the kind of misfit, equal for equal kinds; detail: what was found; step: where, from 0, None if it is
            about the whole trajectory.
    """

    def __init__(self, reason: str, detail: str = "", *, step: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.step = reason, detail, step


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One action.

    Attributes:
        action: its text in the environment's grammar.
        record: the place in the record, from 0, for messages.
        is_filled_in: whether the record lacks it, see `recrl.importing.sessions`.
        results: the asins on the results page to which it led; None if it led elsewhere, or the record does not say.
        observation, valid_actions: the page before the action as the record shows it; None where it shows none.
    """

    action: str
    record: int
    is_filled_in: bool = False
    results: tuple[str, ...] | None = None
    observation: str | None = None
    valid_actions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One trajectory, up to its purchase.

    Attributes:
        name: where it was found, for messages and the dataset.
        instruction: the shopper's words, with their price clause.
        steps: at least one, the last is the purchase.
        reward: of the purchase; None if the record does not say.
        target_asin, bought_asin: of the wanted and the bought product; None if the record does not say.
        goal_index: of the goal in its catalogue; None where it has to be found by its words.
    """

    name: str
    instruction: str
    steps: tuple[RecordedStep, ...]
    reward: float | None = None
    target_asin: str | None = None
    bought_asin: str | None = None
    goal_index: int | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise MisfitError("it has no steps")
        if self.steps[-1].action != actions.BUY_NOW:
            raise MisfitError(
                "it ends without a purchase",
                f"its last action is {self.steps[-1].action!r}",
                step=self.steps[-1].record,
            )
        if self.reward is not None and not 0 <= self.reward <= 1:
            raise MisfitError("its reward is impossible", f"{self.reward}, expected 0 to 1")


def find_files(source: Path, ending: str = ".jsonl") -> list[Path]:
    """The files of a source: itself, or all of a folder with this ending, sorted.

    Raises:
        DatasetError: there are none.
    """
    if source.is_file():
        return [source]
    files = sorted(path for path in source.rglob(f"*{ending}") if path.is_file()) if source.is_dir() else []
    if not files:
        what = f"a folder without {ending} files" if source.is_dir() else "no file or folder"
        raise DatasetError(f"{source} is {what}; expected a {ending} file, or a folder of them")
    return files


def read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number from 1 -> what the line holds: a JSON object, or the `MisfitError` that says why not.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _object(number, line)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def read_records(source: Path, named: str) -> Iterator[tuple[str, Any]]:
    """Name of each line of the files -> what it holds, as `read_lines` gives it.

    Raises:
        DatasetError: there is no file, or one is of another format than the one that was named.
    """
    for path in find_files(source):
        is_checked = False
        for number, record in read_lines(path):
            if not is_checked and not isinstance(record, MisfitError):
                check_format(named, record, path)
                is_checked = True
            yield f"{path.name}:{number}", record


def _object(number: int, line: str) -> Any:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        cut_off = not line.endswith("\n")
        return MisfitError(
            "a line is cut off" if cut_off else "a line is no JSON", f"line {number}: {error}", step=number - 1
        )
    if not isinstance(record, dict):
        return MisfitError("a line is no JSON object", f"line {number}: {record!r:.60}", step=number - 1)
    if not is_unicode(record):  # bytes that are no UTF-8 were read as halves of surrogate pairs
        return MisfitError("a line is not in UTF-8, or spells half a character", f"line {number}", step=number - 1)
    return record


def check_format(named: str, record: dict[str, Any], path: Path) -> None:
    """Refuses a file of another format than the one that was named, by its first record.

    Raises:
        DatasetError: see above; the message names the format that it seems to have.
    """
    if all(field in record for field in FORMATS[named]):
        return
    seems = [name for name, fields in FORMATS.items() if all(field in record for field in fields)]
    advice = f"it looks like {seems[0]}: say --format {seems[0]}" if seems else f"it has {', '.join(record)[:200]}"
    raise DatasetError(
        f"{path} is no file of the format {named}, whose records have {', '.join(FORMATS[named])}; {advice}"
    )

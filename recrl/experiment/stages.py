"""Stages: each is made once, in a place of its own, and the journal of the experiment says when and how long.

A stage that is complete is never made again. One whose settings are others now, or that was made from an earlier stage
which was made anew since, is refused instead: it would not be what the report says of it.
"""

import contextlib
import functools
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError
from recrl.journals import Journal
from recrl.rollouts.collecting import JOURNAL_ENDING
from recrl.same_settings import refuse_other_settings


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of an experiment.

    Attributes:
        name: also its path inside the experiment's folder.
        kind: stages of one kind take about equally long.
        marker: the file, below its path, that is written last; empty if the path is a file itself.
        needs: names of the stages that must be complete before.
        settings: what it is made with, as JSON can hold it.
        make: makes it, or goes on with it.
    """

    name: str
    kind: str
    marker: str
    needs: tuple[str, ...]
    settings: Mapping[str, Any]
    make: Callable[[], None]


@functools.cache
def commit() -> str | None:
    """The commit of the code that runs, with ``-dirty`` if it was changed since; None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


class StageLog:
    """Which stages of a folder are complete, and what the journal says of them.

    Args:
        folder: of the experiment; journal: its records are ``{stage, begun, fresh, settings, commit}`` and, when the
            stage ends, ``{stage, minutes}``; ``begun`` in seconds since 1970.
    """

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder, self.journal, self.records = folder, journal, journal.read()
        for line, record in enumerate(self.records, start=1):
            if not isinstance(record.get("stage"), str):
                raise journal.damaged(line, "expected the name of a stage")

    def path(self, name: str) -> Path:
        """Where a stage is."""
        return self.folder / name

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage is complete."""
        return (self.path(stage.name) / stage.marker if stage.marker else self.path(stage.name)).exists()

    def run(self, stage: Stage) -> None:
        """Makes a stage, with a record before and after."""
        path = self.path(stage.name)
        fresh = not (path.exists() or path.with_name(path.name + JOURNAL_ENDING).exists())
        started = time.monotonic()
        self._append(
            {
                "stage": stage.name,
                "begun": time.time(),
                "fresh": fresh,
                "settings": dict(stage.settings),
                "commit": commit(),
            }
        )
        try:
            stage.make()
        finally:
            self._append({"stage": stage.name, "minutes": (time.monotonic() - started) / 60})

    def _append(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self.records.append(record)

    def _of(self, name: str) -> list[tuple[int, dict[str, Any]]]:
        """The places and records of a stage since it was last begun with nothing there."""
        found = [(place, record) for place, record in enumerate(self.records) if record["stage"] == name]
        fresh = [number for number, (_, record) in enumerate(found) if record.get("fresh")]
        return found[fresh[-1] :] if fresh else found

    def minutes(self, name: str) -> float | None:
        """How long the making of a stage has taken; None if that is not known.

        A part that a kill has ended counts up to the last file that it wrote.
        """
        total, begun = 0.0, None
        records = [record for _, record in self._of(name)]
        for record in [*records, {"begun": None}]:
            if "minutes" in record:
                total, begun = total + record["minutes"], None
            else:
                total += 0.0 if begun is None else max(0.0, self._last_written(name, begun) - begun) / 60
                begun = record["begun"]
        return total if records else None

    def _last_written(self, name: str, since: float) -> float:
        """The time of the last file of a stage that was cut off, and so was begun again or is being made no more."""
        later = [record["begun"] for _, record in self._of(name) if record.get("begun", 0.0) > since]
        path = self.path(name)
        folders = (path, path.with_name(path.name + JOURNAL_ENDING))
        files = [file for folder in folders for file in (folder, *folder.rglob("*")) if file.is_file()]
        times = [file.stat().st_mtime for file in files]
        until = min(later, default=float("inf"))
        return max((one for one in times if since <= one <= until), default=since)

    def commit_of(self, name: str) -> str | None:
        """The commit of the code that made a stage."""
        return next((record["commit"] for _, record in reversed(self._of(name)) if "commit" in record), None)

    def check(self, stages: Sequence[Stage]) -> None:
        """Refuses complete stages that are not what they would be now.

        Raises:
            ConfigError: a stage has other settings, or what it was made from was made anew.
        """
        for stage in filter(self.is_done, stages):
            begun = [(place, record) for place, record in self._of(stage.name) if "settings" in record]
            if not begun:
                continue
            holds = f"{self.path(stage.name)} is complete"
            refuse_other_settings(holds, begun[-1][1]["settings"], stage.settings)
            for need in stage.needs:
                made = [place for place, record in self._of(need) if record.get("fresh")]
                if made and made[-1] > begun[0][0]:
                    raise ConfigError(
                        f"{holds}, but was made from an earlier {self.path(need)}; remove it, and what was made from "
                        "it in turn"
                    )

    def expected(self, stage: Stage, guesses: Mapping[str, float], stages: Sequence[Stage]) -> float:
        """Minutes that a stage will take: as others of its kind that are complete, else as guessed, else 0.

        What was done of an interrupted one is taken off.
        """
        of_kind = [self.minutes(one.name) for one in stages if one.kind == stage.kind and self.is_done(one)]
        known = [minutes for minutes in of_kind if minutes is not None]
        guess = guesses.get(stage.kind, guesses.get("evaluation", 0.0) if "evaluation" in stage.kind else 0.0)
        whole = sum(known) / len(known) if known else float(guess)
        return max(0.0, whole - (self.minutes(stage.name) or 0.0))


def run_stages(
    stages: Sequence[Stage],
    log: StageLog,
    *,
    budget_minutes: float | None,
    expected_minutes: Mapping[str, float],
    say: Callable[[str], None],
) -> list[Stage]:
    """Makes the stages that are not complete, in their order, within a budget.

    Args:
        stages: each after those that it needs; `StageLog.check` has let them pass.

    Returns:
        the stages that are missing at the end.

    Raises:
        RecrlError: see the stages.
    """
    started = time.monotonic()
    missing = [stage for stage in stages if not log.is_done(stage)]
    for number, stage in enumerate(missing):
        expected = log.expected(stage, expected_minutes, stages)
        about = f", about {expected:.1f} minutes" if expected >= 0.1 else ""
        if budget_minutes is not None:
            left = budget_minutes - (time.monotonic() - started) / 60
            if left <= 0 or expected > left:
                say(
                    f"{stage.name}{about}, does not fit into the {max(left, 0.0):.1f} minutes that are left of "
                    f"budget_minutes={budget_minutes:g}; the same command goes on from here"
                )
                return missing[number:]
        say(f"{number + 1}/{len(missing)} {stage.name}{about}")
        log.run(stage)
    return []

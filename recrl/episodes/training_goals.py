"""Which goals something was trained on, so that it is not scored on them by mistake.

A checkpoint's configuration lists what its training took its episodes from, that of its start included. A split is
recorded by its name, and by what tells whether a catalogue has the same one; goals of a dataset that names no split are
recorded one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recrl.environments.protocols import GoalSource
from recrl.errors import CheckpointError
from recrl.seals import read_sealed_json
from recrl.webshop.goals import read_protocol

SUMMARY_FILE = "trajectories.json"  # beside a collection's dataset: its settings and counts


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGoals:
    """Goals that something was trained on.

    Attributes:
        protocol, catalog_sha256, goals_sha256: what a goal's index refers to.
        split_by: of the protocol; split: the split, None if it is not known.
        goal_seed, human_goals: what prices and goals follow from; None if they are not known.
        goal_indices: the goals themselves; empty where the split is known.
    """

    protocol: str
    catalog_sha256: str
    goals_sha256: str
    split_by: str
    split: str | None = None
    goal_seed: int | None = None
    human_goals: bool | None = None
    goal_indices: tuple[int, ...] = ()

    @classmethod
    def of_split(cls, catalog: GoalSource, split: str, split_by: str) -> "TrainingGoals":
        """A split of a catalogue, or of another source of goals."""
        return cls(
            protocol=catalog.protocol(split_by),
            catalog_sha256=catalog.sha256,
            goals_sha256=catalog.goals_sha256,
            split_by=split_by,
            split=split,
            goal_seed=catalog.goal_seed,
            human_goals=catalog.human_goals,
        )

    def indices(self, catalog: GoalSource) -> np.ndarray | None:
        """(goals,) their indices in a catalogue; None where they cannot be told, because it has other goals.

        Another goal seed changes prices and bounds only, another wording the texts: goal by goal the list is the same.
        """
        alike = self.human_goals is not None and self.human_goals == catalog.human_goals
        alike = alike or self.goals_sha256 in (catalog.goals_sha256, catalog.template_goals_sha256)
        if self.catalog_sha256 != catalog.sha256 or not alike:
            return None
        return np.asarray(self.goal_indices if self.split is None else catalog.split(self.split, self.split_by))

    def __str__(self) -> str:
        if self.split is None:
            return f"{len(self.goal_indices)} goals of {self.protocol}"
        return f"the {self.split} split by {self.split_by} of {self.protocol}"


class _Row(Protocol):
    """An episode or a preference pair, which say of which goal they are."""

    @property
    def goal_index(self) -> int: ...
    @property
    def protocol(self) -> str: ...
    @property
    def catalog_sha256(self) -> str: ...
    @property
    def goals_sha256(self) -> str: ...


TrainedOn = tuple[TrainingGoals | None, ...]  # None: something that is not known


def training_goals(rows: Sequence[_Row], source: str | Path | None = None) -> TrainedOn:
    """What episodes or pairs are about, in the order of their first rows.

    Args:
        source: the folder of `recrl generate-trajectories` that holds them: its summary names the split.
    """
    config = _collected(source)
    found: dict[tuple[str, str, str], set[int]] = {}
    for row in rows:
        found.setdefault((row.protocol, row.catalog_sha256, row.goals_sha256), set()).add(row.goal_index)
    listed = []
    for (protocol, catalog_sha256, goals_sha256), indices in found.items():
        split_by, wording = read_protocol(protocol)
        known = config.get(goals_sha256) or {"goal_indices": tuple(sorted(indices))}
        if wording == "reworded":  # only synthetic goals are
            known = known | {"human_goals": False}
        listed.append(
            TrainingGoals(
                protocol=protocol,
                catalog_sha256=catalog_sha256,
                goals_sha256=goals_sha256,
                split_by=split_by,
                **known,
            )
        )
    return tuple(listed)


def _collected(source: str | Path | None) -> dict[str, dict[str, Any]]:
    """Fingerprint of the goals -> split and settings, as the summary of a collection names them; else nothing."""
    path = None if source is None else Path(source) / SUMMARY_FILE
    if path is None or not path.is_file():
        return {}
    try:
        summary = read_sealed_json(path)
        return {
            summary["goals_sha256"]: {name: summary["config"][name] for name in ("split", "goal_seed", "human_goals")}
        }
    except (ValueError, KeyError, TypeError):
        return {}  # of something else: the rows say what is to be known


def merged(*parts: Iterable[TrainingGoals | None]) -> TrainedOn:
    """What came of several trainings, each entry once; goals of one list without a split in one entry."""
    found: dict[Any, TrainingGoals | None] = {}
    for goals in (goals for part in parts for goals in part):
        key = goals if goals is None or goals.split is not None else (goals.protocol, goals.goals_sha256)
        earlier = found.get(key)
        if goals is not None and earlier is not None and goals.split is None:
            both = sorted({*earlier.goal_indices, *goals.goal_indices})
            goals = TrainingGoals(**(asdict(goals) | {"goal_indices": tuple(both)}))
        found[key] = goals
    return tuple(found.values())


def to_config(trained_on: TrainedOn) -> list[dict[str, Any] | None]:
    """As JSON can hold it, in a model's configuration or a dataset's summary."""
    return [
        None
        if goals is None
        else {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(goals).items()}
        for goals in trained_on
    ]


def from_config(recorded: Sequence[dict[str, Any] | None] | None) -> TrainedOn:
    """The inverse of `to_config`; of None, which older and foreign things have, it is not known.

    Raises:
        CheckpointError: it cannot be read.
    """
    if recorded is None:
        return (None,)
    try:
        return tuple(
            None
            if goals is None
            else TrainingGoals(**(goals | {"goal_indices": tuple(goals.get("goal_indices") or ())}))
            for goals in recorded
        )
    except (TypeError, AttributeError) as error:
        raise CheckpointError(
            f"trained_on cannot be read ({error}); expected what `recrl` records of a training"
        ) from error

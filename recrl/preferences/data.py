"""Preference pairs as data: one pair, its row in a `datasets` dataset, and resampling by weight.

Each side of a pair is a sequence of moves: one for a pair of actions on the same page, several for a pair of episodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value

from recrl.episodes.decisions import (
    Decision,
    check_action_index,
    decision_features,
    decision_to_row,
    row_to_decision,
)
from recrl.episodes.stored import open_dataset
from recrl.errors import DatasetError

MOVE_FEATURES = {
    **decision_features(),
    "action_index": Value("int64"),
    "log_prob": Value("float64"),  # the reference policy's, when the pair was made
}
PREFERENCE_FEATURES = Features(
    {
        "goal_index": Value("int64"),
        "catalog_sha256": Value("string"),
        "goals_sha256": Value("string"),
        "protocol": Value("string"),
        "instruction": Value("string"),
        "chosen": Value("string"),  # the actions of the preferred side, a line each
        "rejected": Value("string"),
        "chosen_outcome": Value("float64"),  # (mean) reward of the episodes with this side; None if it was not tried
        "rejected_outcome": Value("float64"),
        "origin": Value("string"),  # the name of the builder that made the pair
        "weight": Value("float64"),
        "chosen_moves": List(MOVE_FEATURES),
        "rejected_moves": List(MOVE_FEATURES),
    }
)
SIDES = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class Move:
    """A decision on a side of a pair, and the action that the side takes.

    Attributes:
        log_prob: the reference policy's, when the pair was made.
    """

    decision: Decision
    action_index: int
    log_prob: float

    def __post_init__(self) -> None:
        check_action_index(self.action_index, self.decision.valid_actions)
        if not self.log_prob <= 0:
            raise DatasetError(f"log_prob={self.log_prob}, expected a log-probability, 0 or less")

    @property
    def action(self) -> str:
        """The action's text."""
        return self.decision.valid_actions[self.action_index]

    @property
    def seen(self) -> tuple[str, tuple[str, ...]]:
        """What was shown and could be done."""
        return self.decision.observation, self.decision.valid_actions


@dataclass(frozen=True, slots=True)
class Preference:
    """One pair; the fields are columns of `PREFERENCE_FEATURES`."""

    goal_index: int
    catalog_sha256: str
    goals_sha256: str
    protocol: str
    instruction: str
    chosen_moves: tuple[Move, ...]
    rejected_moves: tuple[Move, ...]
    chosen_outcome: float | None
    rejected_outcome: float | None
    origin: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.chosen_moves and self.rejected_moves):
            raise DatasetError(
                f"{len(self.chosen_moves)} chosen and {len(self.rejected_moves)} rejected moves, expected some of each"
            )
        if self.chosen == self.rejected:
            raise DatasetError(f"both sides of a pair are {self.chosen!r}; they must differ")
        outcomes = (self.chosen_outcome, self.rejected_outcome)
        if outcomes[0] is not None and outcomes[1] is not None and not outcomes[0] > outcomes[1]:
            raise DatasetError(f"the chosen side's outcome {outcomes[0]} is not above the rejected one's {outcomes[1]}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise DatasetError(f"weight={self.weight}, expected a positive, finite number")

    @property
    def chosen(self) -> str:
        """The actions of the preferred side, a line each."""
        return "\n".join(move.action for move in self.chosen_moves)

    @property
    def rejected(self) -> str:
        """The actions of the other side, a line each."""
        return "\n".join(move.action for move in self.rejected_moves)

    @property
    def log_probs(self) -> tuple[float, float]:
        """The reference policy's log-probabilities of the chosen and of the rejected side."""
        return sum(move.log_prob for move in self.chosen_moves), sum(move.log_prob for move in self.rejected_moves)

    @property
    def parting(self) -> Move:
        """The chosen side's first move that the rejected side does not make."""
        together = 0
        for ours, theirs in zip(self.chosen_moves, self.rejected_moves, strict=False):
            if (ours.seen, ours.action_index) != (theirs.seen, theirs.action_index):
                break
            together += 1
        return self.chosen_moves[min(together, len(self.chosen_moves) - 1)]


def preferences_to_dataset(pairs: Sequence[Preference]) -> Dataset:
    """Pairs -> a dataset with a readable row per pair."""
    rows = []
    for pair in pairs:
        row = {name: getattr(pair, name) for name in PREFERENCE_FEATURES}
        for side in SIDES:
            row[f"{side}_moves"] = [move_to_row(move) for move in row[f"{side}_moves"]]
        rows.append(row)
    return Dataset.from_list(rows, features=PREFERENCE_FEATURES)


def dataset_to_preferences(dataset: Dataset) -> list[Preference]:
    """The inverse of `preferences_to_dataset`; checks every row.

    Raises:
        DatasetError: a row is no valid pair; the message has its number.
    """
    pairs = []
    for number, row in enumerate(dataset):
        what = f"row {number} of the preference dataset"
        absent = [name for name, value in row.items() if value is None and not name.endswith("_outcome")]
        if absent:
            raise DatasetError(f"{what}: {absent[0]} has no value")
        texts = {side: row.pop(side) for side in SIDES}
        try:
            for side in SIDES:
                row[f"{side}_moves"] = tuple(row_to_move(fields) for fields in row[f"{side}_moves"])
            pair = Preference(**row)
        except DatasetError as error:
            raise DatasetError(f"{what}: {error}") from error
        for side, text in texts.items():
            if getattr(pair, side) != text:
                raise DatasetError(f"{what}: {side}={text!r}, but its moves are {getattr(pair, side)!r}")
        pairs.append(pair)
    return pairs


def move_to_row(move: Move) -> dict[str, Any]:
    """A move as plain JSON values, as `MOVE_FEATURES` describes them."""
    return decision_to_row(move.decision) | {"action_index": move.action_index, "log_prob": move.log_prob}


def row_to_move(row: dict[str, Any]) -> Move:
    """The inverse of `move_to_row`.

    Raises:
        DatasetError: a value is missing or impossible.
    """
    absent = [name for name in ("action_index", "log_prob") if row.get(name) is None]
    if absent:
        raise DatasetError(f"{absent[0]} of a move has no value")
    return Move(row_to_decision(row), row["action_index"], row["log_prob"])


def load_preferences(path: str | Path) -> Dataset:
    """Loads a saved preference dataset and checks every row.

    Raises:
        DatasetError: it is missing, of another kind, corrupt or empty.
    """
    what = "a preference dataset (a folder of `recrl build-preferences`, or a Hub id)"
    dataset = open_dataset(path, PREFERENCE_FEATURES, what)
    dataset = dataset.select_columns(list(PREFERENCE_FEATURES))
    lacking = set(MOVE_FEATURES) - set(getattr(dataset.features["chosen_moves"], "feature", {}))
    if lacking:
        raise DatasetError(f"{path}: its moves lack {', '.join(sorted(lacking))}; make the pairs again")
    try:
        if dataset.features != PREFERENCE_FEATURES:
            dataset = dataset.cast(PREFERENCE_FEATURES)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: a column has another type: {str(error).strip().splitlines()[0]}") from error
    dataset_to_preferences(dataset)
    return dataset


def resample_by_weight(pairs: Sequence[Preference], rng: np.random.Generator) -> list[Preference]:
    """As many pairs, each as often as its weight says, within one copy; for losses that know no weights.

    Systematic resampling: pair i, with the share w_i of all weights, is taken floor(n w_i) or ceil(n w_i) times, on
    average n w_i times, so that the mean loss has the expectation of the weighted mean. The copies weigh 1. Equal
    weights change nothing.
    """
    weights = np.array([pair.weight for pair in pairs])
    if len(set(weights.tolist())) <= 1:
        return list(pairs)
    ends = len(weights) * weights.cumsum() / weights.sum()
    places = np.searchsorted(ends, np.arange(len(weights)) + rng.random(), side="right")
    return [replace(pairs[place], weight=1.0) for place in np.minimum(places, len(weights) - 1).tolist()]

"""Preference pairs as data: one pair, its row in a `datasets` dataset, and counts about many."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, Features, List, Value, load_from_disk

from recrl.errors import DatasetError
from recrl.pagetext import Page, read_page

PREFERENCE_FEATURES = Features(
    {
        "goal_index": Value("int64"),
        "catalog_sha256": Value("string"),
        "goals_sha256": Value("string"),
        "protocol": Value("string"),
        "instruction": Value("string"),
        "observation": Value("string"),
        "valid_actions": List(Value("string")),
        "previous_actions": List(Value("string")),  # of the episode, oldest first
        "chosen": Value("string"),
        "rejected": Value("string"),
        "chosen_index": Value("int64"),
        "rejected_index": Value("int64"),
        "chosen_outcome": Value("float64"),  # (mean) reward of the episodes with this action here; None if not tried
        "rejected_outcome": Value("float64"),
        "chosen_log_prob": Value("float64"),  # the reference policy's, when the pair was made
        "rejected_log_prob": Value("float64"),
        "weight": Value("float64"),
        "origin": Value("string"),  # "trajectory" or "contrast"
    }
)


@dataclass(frozen=True, slots=True)
class Preference:
    """One pair; the fields are the columns of `PREFERENCE_FEATURES`."""

    goal_index: int
    catalog_sha256: str
    goals_sha256: str
    protocol: str
    instruction: str
    observation: str
    valid_actions: tuple[str, ...]
    previous_actions: tuple[str, ...]
    chosen_index: int
    rejected_index: int
    chosen_log_prob: float
    rejected_log_prob: float
    chosen_outcome: float | None
    rejected_outcome: float | None
    origin: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("chosen_index", "rejected_index"):
            index = getattr(self, name)
            if not 0 <= index < len(self.valid_actions):
                raise DatasetError(f"{name}={index} is not an index into {len(self.valid_actions)} valid actions")
        if self.chosen == self.rejected:
            raise DatasetError(f"both actions of a pair are {self.chosen!r}; they must differ")
        outcomes = (self.chosen_outcome, self.rejected_outcome)
        if outcomes[0] is not None and outcomes[1] is not None and not outcomes[0] > outcomes[1]:
            raise DatasetError(
                f"the chosen action's outcome {outcomes[0]} is not above the rejected one's {outcomes[1]}"
            )
        for name in ("chosen_log_prob", "rejected_log_prob"):
            if not getattr(self, name) <= 0:
                raise DatasetError(f"{name}={getattr(self, name)}, expected a log-probability, 0 or less")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise DatasetError(f"weight={self.weight}, expected a positive, finite number")

    @property
    def chosen(self) -> str:
        """The text of the preferred action."""
        return self.valid_actions[self.chosen_index]

    @property
    def rejected(self) -> str:
        """The text of the other action."""
        return self.valid_actions[self.rejected_index]


def describe_preferences(pairs: Sequence[Preference]) -> dict[str, Any]:
    """Counts and mean reference probabilities: of all pairs, and by kind of page, kind of action and origin.

    A mean probability of the chosen action near 1 says that the reference already does what the pairs teach.
    """
    groups: dict[str, dict[str, list[Preference]]] = {name: defaultdict(list) for name in ("page", "action", "origin")}
    for pair in pairs:
        page = read_page(pair.observation)
        groups["page"][page.kind].append(pair)
        groups["action"][_action_kind(page, pair.chosen)].append(pair)
        groups["origin"][pair.origin].append(pair)
    summary: dict[str, Any] = {
        "num_goals": len({(pair.goals_sha256, pair.goal_index) for pair in pairs}),
        **_summary(pairs),
    }
    for name, group in groups.items():
        summary[f"by_{name}"] = {kind: _summary(members) for kind, members in sorted(group.items())}
    return summary


def _summary(pairs: Sequence[Preference]) -> dict[str, float]:
    return {
        "num_pairs": len(pairs),
        "mean_chosen_probability": float(np.mean([math.exp(pair.chosen_log_prob) for pair in pairs])),
        "mean_rejected_probability": float(np.mean([math.exp(pair.rejected_log_prob) for pair in pairs])),
    }


def _action_kind(page: Page, action: str) -> str:
    if action.startswith("search["):
        return "search"
    value = action.removeprefix("click[").removesuffix("]")
    if value == "buy now":
        return "buy"
    if any(listed.asin.lower() == value for listed in page.listing):
        return "product"
    return "option" if any(value in values for values in page.options.values()) else "navigation"


def preferences_to_dataset(pairs: Sequence[Preference]) -> Dataset:
    """Pairs -> a dataset with a readable row per pair."""
    return Dataset.from_list(
        [{name: getattr(pair, name) for name in PREFERENCE_FEATURES} for pair in pairs], features=PREFERENCE_FEATURES
    )


def dataset_to_preferences(dataset: Dataset) -> list[Preference]:
    """The inverse of `preferences_to_dataset`; checks every row.

    Raises:
        DatasetError: a row is no valid pair; the message has its number.
    """
    pairs = []
    for number, row in enumerate(dataset):
        absent = [name for name, value in row.items() if value is None and not name.endswith("_outcome")]
        if absent:
            raise DatasetError(f"row {number} of the preference dataset: {absent[0]} has no value")
        texts = {name: row.pop(name) for name in ("chosen", "rejected")}
        row |= {name: tuple(row[name]) for name in ("valid_actions", "previous_actions")}
        try:
            pair = Preference(**row)
        except DatasetError as error:
            raise DatasetError(f"row {number} of the preference dataset: {error}") from error
        for name, text in texts.items():
            if getattr(pair, name) != text:
                raise DatasetError(
                    f"row {number} of the preference dataset: {name}={text!r}, but {name}_index points to "
                    f"{getattr(pair, name)!r}"
                )
        pairs.append(pair)
    return pairs


def load_preferences(path: str | Path) -> Dataset:
    """Loads a saved preference dataset and checks every row.

    Raises:
        DatasetError: it is missing, of another kind, corrupt or empty.
    """
    what = f"expected a folder with a preference dataset (recipes/dpo.py makes one from trajectories), got {path}"
    try:
        dataset = load_from_disk(str(path))
    except IndexError as error:  # `datasets` cannot open a saved dataset without rows
        raise DatasetError(f"{what}: it is empty") from error
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{what}: {str(error).strip().splitlines()[0]}") from error
    if isinstance(dataset, DatasetDict):
        raise DatasetError(f"{what}: it holds the splits {', '.join(map(str, dataset))}; name the folder of one")
    missing = [name for name in PREFERENCE_FEATURES if name not in dataset.column_names]
    if missing:
        raise DatasetError(
            f"{what}: columns {', '.join(missing)} are missing; it has {', '.join(dataset.column_names)}"
        )
    if not len(dataset):
        raise DatasetError(f"{what}: it is empty")
    dataset = dataset.select_columns(list(PREFERENCE_FEATURES))
    try:
        if dataset.features != PREFERENCE_FEATURES:
            dataset = dataset.cast(PREFERENCE_FEATURES)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{what}: a column has another type: {str(error).strip().splitlines()[0]}") from error
    dataset_to_preferences(dataset)
    return dataset

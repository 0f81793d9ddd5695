"""A decision: what is known at one step of one episode. It is one type from the environment to the logit."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recrl.episodes.notes import Notes, notes_features, notes_to_row, row_to_notes
from recrl.errors import DatasetError
from recrl.webshop.pages import Page, page_features, page_to_row, row_to_page
from recrl.webshop.reading import read_page

if TYPE_CHECKING:
    from recrl.environments.protocols import Environment

PROBABILITY_TOLERANCE = 1e-3  # by which the probabilities of a page may miss 1, being rounded


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy sees at one step of one episode.

    Attributes:
        observation: the page's text, mode ``text_rich``; page: the same as a typed value.
        valid_actions: what can be done; a policy answers with an index into them.
        previous_actions: the episode's actions so far, oldest first.
        steps_left: actions that may still be taken, this one included.
        notes: what was seen so far, this page included.
        memory: the policy's own notes on this episode, empty at its start.
        env: the environment, for policies that ask for it with ``knows_goal``; None for all others.
    """

    observation: str
    page: Page
    valid_actions: tuple[str, ...]
    previous_actions: tuple[str, ...]
    steps_left: int
    notes: Notes
    memory: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    env: "Environment | None" = field(default=None, compare=False, repr=False)

    @property
    def instruction(self) -> str:
        """The shopper's words."""
        return self.page.instruction


@dataclass(frozen=True, slots=True)
class LabelledDecision:
    """A decision with the actions that are right there, equally so: one or more, ascending, as indices into its valid
    actions.
    """

    decision: Decision
    right_actions: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.right_actions:
            raise DatasetError("right_actions is empty, expected at least one action to learn")
        check_right_actions(self.right_actions, self.decision.valid_actions)


def check_action_index(action_index: int, valid_actions: Sequence[str]) -> None:
    """Raises DatasetError unless the index is one into the valid actions."""
    if not 0 <= action_index < len(valid_actions):
        raise DatasetError(f"action_index={action_index} is no index into {len(valid_actions)} actions")


def check_right_actions(right_actions: Sequence[int], valid_actions: Sequence[str]) -> None:
    """Raises DatasetError unless these are indices into the valid actions, ascending and each once."""
    ascending = all(one < following for one, following in itertools.pairwise(right_actions))
    if not ascending or not all(0 <= index < len(valid_actions) for index in right_actions):
        raise DatasetError(
            f"right_actions={right_actions!r}: expected ascending indices into {len(valid_actions)} actions, each once"
        )


def check_probabilities(probabilities: Sequence[float], valid_actions: Sequence[str]) -> None:
    """Raises DatasetError unless there are none, or one from 0 to 1 for each valid action, adding up to 1."""
    if not probabilities:
        return
    total = math.fsum(probabilities)
    if (
        len(probabilities) != len(valid_actions)
        or not all(0 <= one <= 1 for one in probabilities)
        or not math.isclose(total, 1, abs_tol=PROBABILITY_TOLERANCE)
    ):
        raise DatasetError(
            f"{len(probabilities)} probabilities that add up to {total:.4f}: expected one from 0 to 1 for each of "
            f"{len(valid_actions)} actions, adding up to 1"
        )


DECISION_COLUMNS = ("observation", "page", "valid_actions", "previous_actions", "steps_left", "notes")


def decision_features() -> dict[str, Any]:
    """The `datasets` features of a decision inside a row."""
    from datasets import List, Value

    return {
        "observation": Value("string"),
        "page": page_features(),
        "valid_actions": List(Value("string")),
        "previous_actions": List(Value("string")),  # of the episode, oldest first
        "steps_left": Value("int64"),
        "notes": notes_features(),
    }


def decision_to_row(decision: Decision) -> dict[str, Any]:
    """A decision as plain JSON values, as `decision_features` describes them."""
    return {
        "observation": decision.observation,
        "page": page_to_row(decision.page),
        "valid_actions": list(decision.valid_actions),
        "previous_actions": list(decision.previous_actions),
        "steps_left": decision.steps_left,
        "notes": notes_to_row(decision.notes),
    }


def row_to_decision(row: dict[str, Any]) -> Decision:
    """The inverse of `decision_to_row`.

    Raises:
        DatasetError: a value is missing or impossible.
    """
    absent = [name for name in DECISION_COLUMNS if row.get(name) is None and name != "page"]
    if absent:
        raise DatasetError(f"{absent[0]} of a decision has no value")
    try:
        notes = row_to_notes(row["notes"])
    except ValueError as error:
        raise DatasetError(str(error)) from error
    return Decision(
        row["observation"],
        stored_page(row),
        tuple(row["valid_actions"]),
        tuple(row["previous_actions"]),
        row["steps_left"],
        notes,
    )


def stored_page(row: dict[str, Any]) -> Page:
    """The page of a row; it is read back from the observation where the row holds the text alone.

    Raises:
        DatasetError: the page is damaged.
    """
    if row.get("page") is None:
        return read_page(row["observation"])
    try:
        return row_to_page(row["page"])
    except ValueError as error:
        raise DatasetError(str(error)) from error

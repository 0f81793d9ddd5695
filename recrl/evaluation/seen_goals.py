"""Goals that a policy may have been trained on: counted before it plays, and refused unless that is meant."""

from collections.abc import Sequence

import numpy as np

from recrl.environments.protocols import GoalSource
from recrl.errors import PolicyError
from recrl.evaluation.result_types import UNKNOWN_SEEN
from recrl.policies.base import Policy, trained_on

SeenGoals = int | str | None  # a number, or `UNKNOWN_SEEN`; None for a policy that was not trained


def count_seen_goals(policy: Policy, catalog: GoalSource, goals: Sequence[int] | np.ndarray) -> SeenGoals:
    """How many of the goals belong to what the policy was trained on.

    Where that is not known, or is of another catalogue, what is known is counted; if that is none of them, the number
    is unknown.
    """
    sources = trained_on(policy)
    if not sources:
        return None
    indices = [None if source is None else source.indices(catalog) for source in sources]
    known = [of_source for of_source in indices if of_source is not None]
    seen = int(np.isin(goals, np.concatenate(known)).sum()) if known else 0
    return seen if seen or len(known) == len(indices) else UNKNOWN_SEEN


def check_seen_goals(
    policy: Policy, catalog: GoalSource, goals: Sequence[int] | np.ndarray, *, asked: str, allowed: bool
) -> SeenGoals:
    """The same number; refuses one above 0 unless that is allowed.

    Args:
        asked: names the goals in the message: "the test split by goal".

    Raises:
        PolicyError: see above; the message says what the policy was trained on.
    """
    seen = count_seen_goals(policy, catalog, goals)
    if isinstance(seen, int) and seen and not allowed:
        sources = [source for source in trained_on(policy) if source is not None]
        learned = " and ".join(dict.fromkeys(str(source) for source in sources))
        ways = " or ".join(dict.fromkeys(f"--split_by {source.split_by}" for source in sources))
        raise PolicyError(
            f"{policy.name!r} was trained on {learned}: {seen} of the {len(goals)} goals of {asked} are among its "
            f"training goals. Take held-out goals ({ways}, with the split test or dev), or say --allow_seen_goals"
        )
    return seen


def most_seen(counts: Sequence[SeenGoals]) -> SeenGoals:
    """What is to be said of several trainings of one method: the highest number, or else that one is unknown."""
    numbers = [count for count in counts if isinstance(count, int)]
    highest = max(numbers, default=0)
    if highest:
        return highest
    return UNKNOWN_SEEN if UNKNOWN_SEEN in counts else 0 if numbers else None


def seen_goals_notes(counts: dict[str, SeenGoals], num_goals: int) -> str:
    """Sentences for a table's caption, with a blank before each; nothing where no goal was seen."""
    notes = [
        f" {count} of the {num_goals} goals are training goals of {name}."
        for name, count in counts.items()
        if isinstance(count, int) and count
    ]
    unknown = [name for name, count in counts.items() if count == UNKNOWN_SEEN]
    if unknown:
        notes.append(f" Whether these are training goals is not known of {', '.join(unknown)}.")
    return "".join(notes)

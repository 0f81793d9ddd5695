"""What picks an action: the protocol that every policy follows.

A policy keeps nothing between calls: what it needs to know of an episode is in the `Decision`, whose ``memory`` is a
dictionary of its own that lives as long as the episode. Only a policy that says ``knows_goal = True``, as the
demonstrator does, also gets the environment, with the hidden goal in it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import TrainedOn
from recrl.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Choice:
    """An action and its log-probability under the policy (0.0 for a deterministic one).

    Attributes:
        log_prob: None where it is not known, as of actions that someone else chose.
        right_actions: ascending indices of the actions that are equally right, from a policy that knows the goal;
            empty from all others.
        probabilities: (actions,) of every valid action under the policy; empty where it has none.
        value: the return that the policy expects from here on; None where it has learned no values.
        text: from a policy that writes its actions: what it wrote, where that is none of the valid actions;
            ``action_index`` is then -1. The environment is given the text as it stands.
    """

    action_index: int
    log_prob: float | None
    right_actions: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    value: float | None = None
    text: str | None = None


Answer = Choice | int | str  # a choice, or the action alone: its index among the valid ones, or its text


@runtime_checkable
class Policy(Protocol):
    """What picks actions for a batch of decisions.

    Attributes:
        name: for reports and datasets.
        catalog_sha256: the catalogue that it was trained on, None if untrained.

    A policy may also have ``knows_goal``; without it, it does not know the goal. And ``trained_on``: which goals it was
    trained on, see `recrl.episodes.training_goals`; without it these are not known, unless it was not trained at all.
    """

    @property
    def name(self) -> str: ...

    @property
    def catalog_sha256(self) -> str | None: ...

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> Sequence[Answer]:
        """One answer per decision; ``rngs[i]`` is for decision i, ``greedy`` asks for the best action."""
        ...


def knows_goal(policy: Policy) -> bool:
    """Whether the policy asks for the environment, and so for the goal that is hidden from all others."""
    return bool(getattr(policy, "knows_goal", False))


def needs_shop(policy: Policy) -> bool:
    """Whether the policy reads the pages of a shop, and so plays in nothing else."""
    return bool(getattr(policy, "needs_shop", False))


def trained_on(policy: Policy) -> TrainedOn:
    """What the policy was trained on; empty for one that was not trained."""
    unsaid = () if policy.catalog_sha256 is None else (None,)
    return tuple(getattr(policy, "trained_on", unsaid))


def deterministic(decision: Decision, action: str, right_actions: Sequence[str] = ()) -> Choice:
    """The choice of an action by its text, and with it those that are equally right.

    Raises:
        PolicyError: an action is not valid on this page.
    """

    def index(text: str) -> int:
        try:
            return decision.valid_actions.index(text)
        except ValueError:
            raise PolicyError(f"{text!r} is not among the page's actions {decision.valid_actions}") from None

    return Choice(index(action), 0.0, tuple(sorted({index(text) for text in right_actions})))


def sample(log_probs: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn from (actions,) log-probabilities."""
    cumulative = np.exp(log_probs.astype(np.float64)).cumsum()
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return min(place, int(np.flatnonzero(np.isfinite(log_probs))[-1]))


def tempered(log_probs: np.ndarray, temperature: float, *, without: Collection[int] = ()) -> np.ndarray:
    """(actions,) log-probabilities at a temperature; the actions ``without`` get none, unless that would be all."""
    scores = log_probs / temperature
    if without and len(without) < len(scores):
        scores[list(without)] = -np.inf
    top = scores.max()
    return scores - top - np.log(np.exp(scores - top).sum())

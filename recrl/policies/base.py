"""What picks an action: the protocol that every policy follows, and the lookup by name, folder, Hub id or code.

A policy keeps nothing between calls: what it needs to know of an episode is in the `Decision`, whose ``memory`` is a
dictionary of its own that lives as long as the episode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from recrl.errors import PolicyError

if TYPE_CHECKING:
    from recrl.webshop.env import WebShopEnv


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy sees at one step of one episode.

    Attributes:
        observation: mode ``text_rich``; instruction: the shopper's words.
        valid_actions: what can be done; a policy answers with an index into them.
        previous_actions: the episode's actions so far, oldest first.
        steps_left: actions that may still be taken, this one included.
        env: the environment; only the demonstrator, which may know the hidden goal, touches it.
        memory: the policy's own notes on this episode, empty at its start.
    """

    observation: str
    instruction: str
    valid_actions: tuple[str, ...]
    previous_actions: tuple[str, ...]
    steps_left: int = 15
    env: "WebShopEnv | None" = None
    memory: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """An action and its log-probability under the policy (0.0 for a deterministic one)."""

    action_index: int
    log_prob: float


@runtime_checkable
class Policy(Protocol):
    """What picks actions for a batch of decisions.

    Attributes:
        name: for reports and datasets.
        catalog_sha256: the catalogue that it was trained on, None if untrained.
    """

    @property
    def name(self) -> str: ...

    @property
    def catalog_sha256(self) -> str | None: ...

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """One choice per decision; ``rngs[i]`` is for decision i, ``greedy`` asks for the best action."""
        ...


def deterministic(decision: Decision, action: str) -> Choice:
    """The choice of an action by its text.

    Raises:
        PolicyError: the action is not valid on this page.
    """
    try:
        return Choice(decision.valid_actions.index(action), 0.0)
    except ValueError:
        raise PolicyError(f"{action!r} is not among the page's actions {decision.valid_actions}") from None


def sample(log_probs: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn from (actions,) log-probabilities."""
    cumulative = np.exp(log_probs.astype(np.float64)).cumsum()
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return min(place, int(np.flatnonzero(np.isfinite(log_probs))[-1]))

"""What picks an action: the protocol that every policy follows, and the lookup by name, folder, Hub id or code.

A policy keeps nothing between calls: what it needs to know of an episode is in the `Decision`, whose ``memory`` is a
dictionary of its own that lives as long as the episode.
"""

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from recrl.errors import PolicyError

if TYPE_CHECKING:
    from recrl.webshop.env import WebShopEnv

SCRIPTED = ("random", "rule", "matching", "matching-price", "reader", "demonstrator")


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


def load_policy(spec: str, *, temperature: float = 1.0, loop_guard: bool = False, device: str | None = None) -> Policy:
    """Finds a policy.

    Args:
        spec: a scripted policy's name (``reader:5`` opens at most 5 products), a checkpoint's folder or Hub id, or
            ``module:function`` of one's own, which is called without arguments and returns a `Policy`.
        temperature, loop_guard: of a checkpoint, see `recrl.scorer_policy.ScorerPolicy`; other policies have none.
        device: of a checkpoint; None is the GPU if there is one.

    Raises:
        PolicyError: the name is unknown (the message names the nearest), or the code is not to be had or no policy.
        CheckpointError: the checkpoint cannot be loaded.
    """
    from recrl.scripted import scripted_policy

    name, _, argument = spec.partition(":")
    if name in SCRIPTED:
        if temperature != 1.0 or loop_guard:
            raise PolicyError(f"temperature and loop_guard are for checkpoints; {spec!r} is a scripted policy")
        return scripted_policy(name, argument)
    path = Path(spec)
    if path.is_dir() and not (path / "config.json").exists():
        inside = sorted(str(found.parent) for found in path.glob("*/config.json"))
        hint = f"; did you mean {' or '.join(inside)}?" if inside else ", trained by a recipe or `recrl quickstart`"
        raise PolicyError(f"{spec!r} is a folder without a checkpoint (config.json){hint}")
    if not path.exists() and (spec.count("/") > 1 or spec.startswith((".", "/", "~"))):
        raise PolicyError(f"{spec!r}: no such folder; expected a checkpoint's, or a Hub id such as user/model")
    if path.exists() or ("/" in spec and ":" not in spec):
        from recrl.scorer_policy import ScorerPolicy

        return ScorerPolicy.from_pretrained(spec, temperature=temperature, loop_guard=loop_guard, device=device)
    if argument:
        return _own_policy(spec, name, argument)
    nearest = difflib.get_close_matches(spec, SCRIPTED, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise PolicyError(
        f"unknown policy {spec!r}{hint} Expected one of {', '.join(SCRIPTED)}, a checkpoint's folder, a Hub id "
        "(user/model) or module:function"
    )


def _own_policy(spec: str, module_name: str, function_name: str) -> Policy:
    working_folder = str(Path.cwd())
    if working_folder not in sys.path:
        sys.path.insert(0, working_folder)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"policy {spec!r} cannot be imported: {error}; expected module:function") from error
    policy = function()
    if not isinstance(policy, Policy):
        raise PolicyError(f"{spec!r} returned a {type(policy).__name__}; expected name, catalog_sha256 and act(...)")
    return policy


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

"""Policies of one's own: what they may answer, and a plain function as a policy.

The shortest policy is a function of what a Gymnasium environment hands out:

    def cheapest(observation, info):
        return info["valid_actions"][-1]

Used by name, ``recrl evaluate --policy my_module:cheapest``, or in Python, ``evaluate(cheapest, catalog)``.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recrl.episodes.decisions import Decision, check_probabilities, check_right_actions
from recrl.errors import DatasetError, PolicyError
from recrl.policies.base import Answer, Choice, Policy

EXPECTED = "an index into its valid actions, one of their texts, or a Choice"


@dataclass(frozen=True)
class FunctionPolicy:
    """A function of an observation and an info as a policy.

    The info holds what the environment's has of the page: ``instruction``, ``has_search_bar``, ``valid_actions`` and
    ``page``, and beside it ``previous_actions``, ``steps_left``, ``notes``, ``memory`` (see
    `recrl.episodes.Decision`) and ``rng``, the episode's generator.
    """

    function: Callable[[str, dict[str, Any]], Answer]

    catalog_sha256 = None

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Answer]:
        """The function's answer to each decision."""
        return [
            self.function(decision.observation, _info(decision, rng))
            for decision, rng in zip(decisions, rngs, strict=True)
        ]


def _info(decision: Decision, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "instruction": decision.instruction,
        "has_search_bar": decision.page.kind == "search",
        "valid_actions": decision.valid_actions,
        "page": decision.page,
        "previous_actions": decision.previous_actions,
        "steps_left": decision.steps_left,
        "notes": decision.notes,
        "memory": decision.memory,
        "rng": rng,
    }


def as_policy(given: Any) -> Policy:
    """A policy as it is, or made of a function of (observation, info).

    Raises:
        PolicyError: it is neither.
    """
    if isinstance(given, Policy):
        if not takes(given.act, [], [], greedy=False):
            raise PolicyError(
                f"policy {given.name!r} has act{inspect.signature(given.act)}; expected act(decisions, rngs, *, greedy)"
            )
        return given
    if callable(given) and not inspect.isclass(given) and takes(given, "", {}):
        return FunctionPolicy(given)
    missing = [name for name in ("name", "catalog_sha256", "act") if not hasattr(given, name)]
    if hasattr(given, "act"):
        what = f"has no {', '.join(missing)}"
    elif inspect.isfunction(given):
        what = f"is {given.__name__}{inspect.signature(given)}"
    else:
        what = f"is {given!r:.80}"
    raise PolicyError(
        f"the policy {what}; expected a function of (observation, info), or an object with name, catalog_sha256 and "
        "act(decisions, rngs, *, greedy)"
    )


def choose(
    policy: Policy, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
) -> list[Choice]:
    """The policy's answers as choices, one for each decision.

    Raises:
        PolicyError: there are too many or too few, or one is no action of its page.
    """
    answers = policy.act(decisions, rngs, greedy=greedy)
    if not isinstance(answers, Sequence | np.ndarray) or isinstance(answers, str):
        raise PolicyError(f"policy {policy.name!r} gave {answers!r:.80}, expected a list with a choice per decision")
    if len(answers) != len(decisions):
        raise PolicyError(f"policy {policy.name!r} gave {len(answers)} choices for {len(decisions)} decisions")
    return [_as_choice(policy.name, decision, answer) for decision, answer in zip(decisions, answers, strict=True)]


def _as_choice(name: str, decision: Decision, answer: Any) -> Choice:
    valid = decision.valid_actions
    if isinstance(answer, str):
        if answer not in valid:
            raise PolicyError(
                f"policy {name!r} chose {answer!r:.80}, which is not among the page's {len(valid)} valid actions, such "
                f"as {valid[0]!r:.80}"
            )
        return Choice(valid.index(answer), 0.0)
    choice = answer
    if isinstance(answer, int | np.integer) and not isinstance(answer, bool):
        choice = Choice(int(answer), 0.0)
    if not isinstance(choice, Choice):
        raise PolicyError(f"policy {name!r} chose {answer!r:.80}, expected {EXPECTED}")
    if choice.text is None and not 0 <= choice.action_index < len(valid):
        raise PolicyError(
            f"policy {name!r} chose action_index={choice.action_index}, expected an index into the page's {len(valid)} "
            "valid actions"
        )
    try:
        check_right_actions(choice.right_actions, valid)
        check_probabilities(choice.probabilities, valid)
    except DatasetError as error:
        raise PolicyError(f"policy {name!r} gave {error}") from None
    return choice


def takes(function: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    """Whether the signature takes these arguments; of what has none, as some built-ins, nothing is known: True."""
    try:
        inspect.signature(function).bind(*arguments, **named)
    except TypeError:
        return False
    except ValueError:
        return True
    return True

"""One policy plays, another says what would have been right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import TrainedOn, merged
from recrl.errors import PolicyError
from recrl.policies.base import Choice, Policy, knows_goal, trained_on
from recrl.policies.own import choose


@dataclass(frozen=True)
class Taught:
    """Plays as ``policy``; every choice names the actions that ``teacher`` holds right there.

    So a learner is taught on the pages that it comes to itself (DAgger, arXiv:1011.0686). A teacher that knows the goal
    tells the learner nothing of it but the right actions.

    Raises:
        PolicyError: the teacher remembers what it did itself, and so knows nothing of the way of another.
    """

    policy: Policy
    teacher: Policy

    def __post_init__(self) -> None:
        if getattr(self.teacher, "remembers", False):
            raise PolicyError(
                f"{self.teacher.name} cannot be a teacher: it goes by its memory of what it did itself, not by notes "
                "on the way of another; take planner, planner:FOLDER, checker or demonstrator"
            )

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.policy.name} taught by {self.teacher.name}"

    @property
    def catalog_sha256(self) -> str | None:
        """The catalogue that the one that plays was trained on."""
        return self.policy.catalog_sha256

    @property
    def trained_on(self) -> TrainedOn:
        """The goals that either was trained on."""
        return merged(trained_on(self.policy), trained_on(self.teacher))

    @property
    def knows_goal(self) -> bool:
        """Whether one of the two asks for the goal."""
        return knows_goal(self.policy) or knows_goal(self.teacher)

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """The choices of ``policy``, with the right actions of ``teacher``."""
        right = choose(self.teacher, _shown_to(self.teacher, decisions), rngs, greedy=True)
        chosen = choose(self.policy, _shown_to(self.policy, decisions), rngs, greedy=greedy)
        return [
            replace(mine, right_actions=theirs.right_actions or (theirs.action_index,))
            for mine, theirs in zip(chosen, right, strict=True)
        ]


def _shown_to(policy: Policy, decisions: Sequence[Decision]) -> Sequence[Decision]:
    return decisions if knows_goal(policy) else [replace(decision, env=None) for decision in decisions]

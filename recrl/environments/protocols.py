"""What collectors, recipes, evaluation and comparison ask of an environment, and of the goals that are played in it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Queries = Callable[[str], Sequence[str]]  # an instruction without its price clause -> search queries for it


class Environment(Protocol):
    """An environment as Gymnasium has them, whose observations and actions are texts.

    ``reset(options={"goal_index": i})`` starts goal i; without options the environment draws one. An episode is a
    function of its goal and its actions: played again, it shows the same. `step` takes any of
    ``info["valid_actions"]``.

    The reward is 0 until an episode ends, and then from 0 to 1, where exactly 1 is success. ``terminated`` says that
    the task is over, ``truncated`` that the step limit came first.

    **Info**, of `reset` and `step` alike, holds

    - ``valid_actions``: a tuple of texts, each once, at least one while the episode runs;
    - ``goal_index``; ``instruction``: what is to be done, empty if the observation says it;
    - ``page``: what is shown as a `recrl.webshop.pages.Page`; one of kind ``text`` holds an observation that is no page
      of a shop;
    - ``catalog_sha256``, ``goals_sha256``: the fingerprints of the environment and of its goals;
    - at the end, if there are any, ``reward_parts``: name -> number; of a purchase ``bought_asin`` and
      ``bought_options``; after an action that changed nothing, if it was
      none of the valid ones, ``invalid_action``: the reason.

    Attributes:
        goal_index: of the running episode.
        max_steps: actions after which an episode is truncated.
        np_random: what goals are drawn with.
    """

    goal_index: int
    max_steps: int

    @property
    def target(self) -> str:
        """What `Task.target` says of the running goal; like the goal itself it is hidden from policies."""
        ...

    @property
    def np_random(self) -> np.random.Generator: ...
    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None: ...
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]: ...
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]: ...


class GoalSource(Protocol):
    """Goals, by number from 0, with what tells whether they are the same ones elsewhere.

    Attributes:
        sha256: the fingerprint of what is played (of a shop, its products).
        goals_sha256: that of the list of goals; template_goals_sha256: that of the same goals in their plain wording.
        goal_seed, human_goals: what a shop's goals follow from; None elsewhere.
    """

    @property
    def sha256(self) -> str: ...
    @property
    def goals_sha256(self) -> str: ...
    @property
    def template_goals_sha256(self) -> str: ...
    @property
    def goal_seed(self) -> int | None: ...
    @property
    def human_goals(self) -> bool | None: ...
    def split(self, split: str, split_by: str) -> Sequence[int] | np.ndarray:
        """The goals of train, dev, test or all, in evaluation order; raises a `recrl.errors.RecrlError` if it is empty.

        ``split_by`` is goal, or product: then goals with one `Task.target` are in one split.
        """
        ...

    def protocol(self, split_by: str) -> str:
        """The name that every number carries, for goals split like this."""
        ...


class Task(GoalSource, Protocol):
    """Goals, and the environments in which they are played."""

    def chances(self, indices: Sequence[int] | np.ndarray, draw: str) -> np.ndarray:
        """(indices,) probabilities with which goals are drawn for training, see `recrl.webshop.goals.GOAL_DRAWS`."""
        ...

    def target(self, goal_index: int) -> str:
        """What the goals that are not independent of each other have in common: of a shop the wanted product. Intervals
        and paired differences resample targets.
        """
        ...

    def make_env(
        self,
        *,
        max_steps: int,
        queries: Queries | None = None,
        split: str = "all",
        split_by: str = "product",
        goal_draw: str = "weight",
    ) -> Environment:
        """A new environment; ``split``, ``split_by`` and ``goal_draw`` are for goals that it draws itself."""
        ...

"""Any Gymnasium environment that lists its valid actions, as a task: goals by number, splits, fingerprints."""

import contextlib
import functools
import hashlib
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded

from recrl.environments.protocols import Queries
from recrl.errors import ConfigError, RecrlError, TaskError
from recrl.webshop.goals import (
    DEFAULT_SPLIT_BY,
    GOAL_DRAWS,
    REWORDED_SUFFIX,
    UNSEEN_SUFFIX,
    check_split,
    protocol_name,
    split_by_goal,
    split_by_product,
)
from recrl.webshop.pages import Page
from recrl.webshop.spaces import UnicodeText

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Says where code of others that is called inside went wrong; the exception itself stays as the cause.

    Raises:
        TaskError: it raised something.
    """
    try:
        yield
    except RecrlError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise TaskError(
            f"{what} raised {type(error).__name__}: {error} (line {last.lineno} of {Path(last.filename).name})"
        ) from error


class GymTask:
    """The goals of a Gymnasium environment whose ``info`` holds ``valid_actions``.

    A goal is what ``reset(seed=i, options={"goal_index": i})`` starts, so an environment may take it from its options,
    or draw it with its seed. ``info`` may hold ``instruction`` and ``page``; see
    `recrl.environments.protocols.Environment`. Rewards must be 0 before the end and from 0 to 1 at it: scale those of
    an environment that gives others, and sum up those that come on the way, in a `gymnasium.Wrapper`.

    Args:
        name: of the protocol, in letters, digits, dots and dashes.
        make: makes a new environment; called once for each that is played side by side.
        num_goals: how many there are.
        version: part of the fingerprint; raise it when the environment plays otherwise than before.
        target: what goals that are not independent have in common, such as a level; without it every goal stands alone.
            Splits by product keep goals of one target together, and intervals resample targets.

    Raises:
        TaskError: the name or the number cannot be used.
    """

    goal_seed = None
    human_goals = None

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        num_goals: int,
        *,
        version: str = "1",
        target: Callable[[int], str] | None = None,
    ) -> None:
        if not _NAME.fullmatch(name) or name.endswith((UNSEEN_SUFFIX, REWORDED_SUFFIX)):
            raise TaskError(
                f"name={name!r}, expected letters, digits, dots and dashes, not ending in {UNSEEN_SUFFIX} or "
                f"{REWORDED_SUFFIX}"
            )
        if isinstance(num_goals, bool) or not isinstance(num_goals, int | np.integer) or num_goals < 1:
            raise TaskError(f"num_goals={num_goals!r}, expected a whole number of at least 1")
        self.name, self.make, self.num_goals, self.version = name, make, int(num_goals), version
        self._target = target

    def target(self, goal_index: int) -> str:
        """What the function that was given says, or the goal alone.

        Raises:
            TaskError: the function raises something.
        """
        if self._target is None:
            return f"goal {goal_index}"
        with blamed(f"{self.name}, goal {goal_index}: target"):
            return str(self._target(goal_index))

    def make_inner(self) -> Any:
        """A new environment as it was given.

        Raises:
            TaskError: it cannot be made, or is none.
        """
        with blamed(f"{self.name}: make"):
            inner = self.make()
        if not callable(getattr(inner, "reset", None)) or not callable(getattr(inner, "step", None)):
            raise TaskError(f"{self.name}: make returned {inner!r:.60}, expected an environment with reset and step")
        return inner

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self.name}\n{self.version}".encode()).hexdigest()

    @functools.cached_property
    def goals_sha256(self) -> str:
        """The SHA-256 of what every goal starts with: its target, instruction, observation and valid actions."""
        digest, env = hashlib.sha256(), GoalEnv(self, self.make_inner(), 1, np.arange(self.num_goals), goals_sha256="")
        for goal in range(self.num_goals):
            observation, info = env.reset(options={"goal_index": goal})
            shown = (self.target(goal), info["instruction"], observation, info["valid_actions"])
            digest.update(repr(shown).encode("utf-8", "surrogatepass"))
        env.close()
        return digest.hexdigest()

    @property
    def template_goals_sha256(self) -> str:
        return self.goals_sha256

    @functools.cached_property
    def _targets(self) -> tuple[list[str], np.ndarray]:
        """The targets, each once, and (goals,) the place of each goal's."""
        names, places = np.unique([self.target(goal) for goal in range(self.num_goals)], return_inverse=True)
        return names.tolist(), places

    def split(self, split: str, split_by: str = DEFAULT_SPLIT_BY) -> range | np.ndarray:
        """As WebShop's, see `recrl.webshop.goals.split_by_goal` and `recrl.webshop.goals.split_by_product`.

        Raises:
            TaskError: the split is empty; CatalogError: it is unknown.
        """
        check_split(split, split_by)
        by_goal = split_by == "goal" or split == "all"
        goals = split_by_goal(self.num_goals, split) if by_goal else split_by_product(*self._targets, split)
        if not len(goals):
            raise TaskError(
                f"the {split} split by {split_by} of {self.name}'s {self.num_goals} goals is empty; it needs more"
                + ("" if by_goal else " targets")
            )
        return goals

    def protocol(self, split_by: str = DEFAULT_SPLIT_BY) -> str:
        return protocol_name(self.name, split_by=split_by, wording="template")

    def chances(self, indices: Sequence[int] | np.ndarray, draw: str) -> np.ndarray:
        """All goals weigh the same; with ``product`` all targets do."""
        if draw not in GOAL_DRAWS:
            raise ConfigError(f"goal_draw={draw!r}, expected one of {', '.join(GOAL_DRAWS)}")
        weights = np.ones(len(indices))
        if draw == "product":
            _, place, counts = np.unique(self._targets[1][np.asarray(indices)], return_inverse=True, return_counts=True)
            weights = 1 / counts[place]
        return weights / weights.sum()

    def make_env(
        self,
        *,
        max_steps: int,
        queries: Queries | None = None,
        split: str = "all",
        split_by: str = DEFAULT_SPLIT_BY,
        goal_draw: str = "weight",
    ) -> "GoalEnv":
        """A new environment.

        Raises:
            ConfigError: query models are for shops.
        """
        if queries is not None:
            raise ConfigError(f"query_model is for WebShop's search; {self.name} has none")
        goals = np.asarray(self.split(split, split_by))
        chances = self.chances(goals, goal_draw)
        return GoalEnv(self, self.make_inner(), max_steps, goals, chances, goals_sha256=self.goals_sha256)


class GoalEnv(gym.Env[str, str]):
    """An environment of a `GymTask`, as `recrl.environments.protocols.Environment` describes it.

    Args:
        task: it belongs to; inner: what is played.
        max_steps: actions until truncation; the inner environment may end before.
        goals, chances: (goals,) what is drawn from if no goal is asked for, and with which probabilities; None: equal.
        goals_sha256: of the task.
    """

    def __init__(
        self,
        task: GymTask,
        inner: Any,
        max_steps: int,
        goals: np.ndarray,
        chances: np.ndarray | None = None,
        *,
        goals_sha256: str,
    ) -> None:
        self.goals_sha256 = goals_sha256
        self.task, self.inner, self.max_steps, self.goal_index = task, inner, max_steps, -1
        self.action_space, self.observation_space = UnicodeText(), UnicodeText()
        self._goals, self._cumulative = goals, np.cumsum(np.ones(len(goals)) if chances is None else chances)
        self._instruction, self._num_steps, self._is_running = "", 0, False

    @property
    def target(self) -> str:
        return self.task.target(self.goal_index)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts the goal ``options["goal_index"]``, or one that is drawn."""
        super().reset(seed=seed)
        if options:
            goal = options.get("goal_index")
            if set(options) != {"goal_index"} or isinstance(goal, bool) or not isinstance(goal, int | np.integer):
                raise ConfigError(f"options={options!r}: expected {{'goal_index': <whole number>}}")
            if not 0 <= goal < self.task.num_goals:
                raise TaskError(f"goal_index={goal}, expected 0 to {self.task.num_goals - 1}")
        else:
            place = np.searchsorted(self._cumulative, self.np_random.random() * self._cumulative[-1], side="right")
            goal = self._goals[min(int(place), len(self._goals) - 1)]
        self.goal_index, self._num_steps, self._is_running = int(goal), 0, True
        with blamed(self._place("reset")):
            found = self.inner.reset(seed=self.goal_index, options={"goal_index": self.goal_index})
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
            raise self.error("reset", f"returned {found!r:.80}, expected (observation, info)")
        self._instruction = found[1].get("instruction") or ""
        self._check_text("reset", "instruction", self._instruction)
        return found[0], self._info("reset", *found, is_over=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes an action."""
        if not self._is_running:
            raise ResetNeeded("call reset() before step(); an episode is over when it was terminated or truncated")
        with blamed(self._place("step")):
            found = self.inner.step(action)
        if not isinstance(found, tuple) or len(found) != 5 or not isinstance(found[4], dict):
            raise self.error(
                "step", f"returned {found!r:.80}, expected (observation, reward, terminated, truncated, info)"
            )
        observation, reward, terminated, truncated, info = found
        self._num_steps += 1
        for name, value in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(value, bool | np.bool_):
                raise self.error("step", f"gave {name}={value!r:.40}, expected True or False")
        if isinstance(reward, bool) or not isinstance(reward, int | float | np.integer | np.floating):
            raise self.error("step", f"gave the reward {reward!r:.40}, expected a number")
        terminated = bool(terminated)
        truncated = not terminated and (bool(truncated) or self._num_steps >= self.max_steps)
        is_over = terminated or truncated
        if not 0 <= float(reward) <= (1 if is_over else 0):
            expected = "0 to 1 at the end of an episode" if is_over else "0 before the end of an episode"
            raise self.error("step", f"gave the reward {reward}, expected {expected}; rescale it in a wrapper")
        self._is_running = not is_over
        return observation, float(reward), terminated, truncated, self._info("step", observation, info, is_over=is_over)

    def close(self) -> None:
        """Closes the inner environment, if that can be closed."""
        if hasattr(self.inner, "close"):
            self.inner.close()

    def error(self, what: str, reason: str) -> TaskError:
        """An error that names the task, the goal and the place."""
        return TaskError(f"{self._place(what)} {reason}; recrl.check_environment(env) says all that is expected")

    def _place(self, what: str) -> str:
        return f"{self.task.name}, goal {self.goal_index}, after {self._num_steps} steps: {what}"

    def _check_text(self, what: str, name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise self.error(what, f"showed the {name} {value!r:.60}, expected a text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.error(
                what, f"showed the {name} {value!r:.60}, expected Unicode: {error.reason} at {error.start}"
            ) from None

    def _info(self, what: str, observation: Any, info: dict[str, Any], *, is_over: bool) -> dict[str, Any]:
        self._check_text(what, "observation", observation)
        actions = info.get("valid_actions")
        actions = () if actions is None and is_over else actions
        if not isinstance(actions, list | tuple) or not all(isinstance(action, str) and action for action in actions):
            raise self.error(what, f"has info['valid_actions']={actions!r:.80}, expected a tuple of texts")
        if not actions and not is_over:
            raise self.error(what, "offers no valid action, though the episode runs")
        self._check_text(what, "valid actions", "".join(actions))
        if len(set(actions)) < len(actions):
            twice = next(action for action, count in Counter(actions).items() if count > 1)
            raise self.error(what, f"offers {twice!r:.60} more than once, expected each valid action once")
        page = info.get("page")
        if page is None:
            page = Page("text", self._instruction, text=observation)
        elif not isinstance(page, Page):
            raise self.error(what, f"has info['page']={page!r:.60}, expected a recrl.webshop.pages.Page, or none")
        return info | {
            "goal_index": self.goal_index,
            "instruction": self._instruction,
            "valid_actions": tuple(actions),
            "page": page,
            "catalog_sha256": self.task.sha256,
            "goals_sha256": self.goals_sha256,
        }

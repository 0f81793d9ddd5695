"""Where an agent plays while it is trained, and how it is measured on dev goals: shared by the recipes that play."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from recrl.errors import ConfigError
from recrl.evaluation.config import ALLOW_SEEN_GOALS_HELP, DECODING_HELP
from recrl.rollouts.config import GOAL_DRAW_HELP, TaskSettings

if TYPE_CHECKING:  # what a recipe's --help does not need
    import numpy as np

    from recrl.environments.protocols import Environment, Task
    from recrl.evaluation.result_types import Result
    from recrl.policies.base import Policy
    from recrl.queries.proposing import QueryModel


@dataclass(frozen=True, kw_only=True)
class EnvironmentArguments(TaskSettings):
    """The shop, its goals, and the step limit."""

    goal_draw: str = field(default="weight", metadata=GOAL_DRAW_HELP)
    max_episode_steps: int = field(
        default=15,
        metadata={
            "help": "Actions after which an episode is truncated: max_steps of the commands, a name that in recipes "
            "belongs to transformers' TrainingArguments."
        },
    )
    num_dev_episodes: int = field(
        default=0, metadata={"help": "Dev goals that are played in each evaluation; 0: all of the split."}
    )
    dev_decoding: str = field(default="greedy", metadata=DECODING_HELP)
    allow_seen_goals: bool = field(default=False, metadata=ALLOW_SEEN_GOALS_HELP)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_episode_steps < 1 or self.num_dev_episodes < 0:
            raise ConfigError(
                f"max_episode_steps={self.max_episode_steps}, num_dev_episodes={self.num_dev_episodes}: expected at "
                "least 1 and 0"
            )

    def make_env(self, task: "Task", queries: "QueryModel | None", rng: "np.random.Generator") -> "Environment":
        """An environment on training goals, which ``rng`` draws."""
        env = task.make_env(
            split="train",
            split_by=self.split_by,
            goal_draw=self.goal_draw,
            max_steps=self.max_episode_steps,
            queries=queries,
        )
        env.np_random = rng
        return env

    def evaluate_on_dev(self, policy: "Policy", task: "Task", queries: "QueryModel | None") -> "Result":
        """The result of the first dev goals, see `recrl.evaluation.measure.evaluate`."""
        from recrl.evaluation.measure import evaluate

        return evaluate(
            policy,
            task,
            split="dev",
            split_by=self.split_by,
            num_episodes=self.num_dev_episodes or None,
            decoding=self.dev_decoding,
            max_steps=self.max_episode_steps,
            allow_seen_goals=self.allow_seen_goals,
            queries=queries,
        )

    def check_dev_goals(self, policy: "Policy", task: "Task") -> None:
        """Refuses a start that may have been trained on the dev goals, on which its successors are chosen.

        Raises:
            PolicyError: it may, and ``allow_seen_goals`` is not set.
        """
        from recrl.evaluation.measure import evaluation_goals
        from recrl.evaluation.seen_goals import check_seen_goals

        goals = evaluation_goals(task, "dev", self.split_by, self.num_dev_episodes or None)
        asked = f"the dev split by {self.split_by}"
        check_seen_goals(policy, task, goals, asked=asked, allowed=self.allow_seen_goals)


@dataclass(frozen=True, kw_only=True)
class MixedEnvironmentArguments(EnvironmentArguments):
    """The same with several wordings and step limits at once, so that an agent is not trained for one of them."""

    wordings: list[str] | None = field(
        default=None,
        metadata={
            "help": "Wordings of the goals, each with every step limit: environments have them in turn, and dev goals "
            "are played in all of them; without it the one wording."
        },
    )
    step_limits: list[int] | None = field(
        default=None,
        metadata={"help": "Step limits, each with every wording; without it max_episode_steps is the one limit."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, one in (("wordings", "wording"), ("step_limits", "max_episode_steps")):
            values, default = getattr(self, name), EnvironmentArguments.__dataclass_fields__[one].default
            if values is None:
                continue
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name}={values}, expected one or more, each once")
            if getattr(self, one) != default:
                raise ConfigError(f"{name}={values} beside {one}={getattr(self, one)!r}: expected one of the two")
        self.variants()

    def variants(self) -> list[EnvironmentArguments]:
        """The environments of the mixture: every wording with every step limit.

        Raises:
            ConfigError: a wording or limit that there is not.
        """
        own = {one.name: getattr(self, one.name) for one in fields(EnvironmentArguments)}
        return [
            EnvironmentArguments(**own | {"wording": wording, "max_episode_steps": limit})
            for wording in self.wordings or [self.wording]
            for limit in self.step_limits or [self.max_episode_steps]
        ]


class MixedEnvironments:
    """The opened mixture.

    Args:
        arguments: what is mixed.
        queries: proposes search queries in all of them.

    Raises:
        CatalogError, TaskError: a task cannot be loaded.
    """

    def __init__(self, arguments: MixedEnvironmentArguments, queries: "QueryModel | None") -> None:
        self.variants, self.queries = arguments.variants(), queries
        self.tasks: Sequence[Task] = [one.load_task() for one in self.variants]

    def make_env(self, number: int, rng: "np.random.Generator") -> "Environment":
        """Environment ``number`` of a run on training goals, which ``rng`` draws."""
        place = number % len(self.variants)
        return self.variants[place].make_env(self.tasks[place], self.queries, rng)

    def check_dev_goals(self, policy: "Policy") -> None:
        """Raises PolicyError as `EnvironmentArguments.check_dev_goals` does."""
        for arguments, task in zip(self.variants, self.tasks, strict=True):
            arguments.check_dev_goals(policy, task)

    def on_dev(self, policy: "Policy") -> dict[str, float]:
        """Success and score in percent on dev goals, means over the mixture, and the number of all episodes."""
        results = [
            arguments.evaluate_on_dev(policy, task, self.queries)
            for arguments, task in zip(self.variants, self.tasks, strict=True)
        ]
        count = len(results)
        return {
            "dev/success": sum(result.success_rate for result in results) / count,
            "dev/score": sum(result.score for result in results) / count,
            "dev/episodes": sum(result.num_episodes for result in results),
        }

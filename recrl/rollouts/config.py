"""What can be set when something plays: shared by the commands and recipes that play, and by collecting.

Every class states its fields once; a command's settings inherit from the classes whose fields it reads. The metadata
that stand alone here belong to fields that several classes have, with defaults of their own.
"""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from recrl.errors import ConfigError
from recrl.language.choices import ANSWERS, ENGINES
from recrl.queries.proposing import DEFAULT_NUM_QUERIES
from recrl.settings import check_at_least, check_values, to_seed
from recrl.webshop.goals import DEFAULT_SPLIT_BY, GOAL_DRAWS, SPLIT_BY, SPLITS, WORDINGS, check_wording

if TYPE_CHECKING:
    from recrl.environments.protocols import Task
    from recrl.policies.base import Policy
    from recrl.queries.proposing import QueryModel
    from recrl.webshop.catalog import Catalog

CATALOG_HELP = {
    "help": "Folder with raw WebShop files, or of a built catalogue; without it the embedded catalogue is used."
}
SPLIT_HELP = {"help": "The split whose goals are played.", "choices": SPLITS}
SPLIT_BY_HELP = {
    "help": "Whether the splits may share no target products (product), or no goals but products (goal).",
    "choices": SPLIT_BY,
}
GOAL_DRAW_HELP = {
    "help": "How training goals are drawn: by their weights, uniformly, or so that all target products are equally "
    "likely (product).",
    "choices": GOAL_DRAWS,
}
NUM_PRODUCTS_HELP = {
    "help": "Learn from goals of so many target products alone, the same ones for every seed; without it of all."
}
LOOPS = ("notes", "pages")  # what a loop comes back to, see `recrl.rollouts.pruning`
SELECTION_SETTINGS: dict[str, Any] = {"min_reward": 1.0, "prune": True, "exact_probabilities": False}
LOG_SETTINGS: dict[str, Any] = {"min_reward": 0.0, "prune": False, "exact_probabilities": True}
MAX_STEPS_HELP = {"help": "Actions after which an episode is truncated."}
BATCH_SIZE_HELP = {"help": "Environments that are played side by side; the result does not depend on it."}
TEMPERATURE_HELP = {"help": "Temperature at which a checkpoint samples actions."}
LOOP_GUARD_HELP = {"help": "Keep a checkpoint from repeating an action on an equal page."}
ROLLOUTS_PER_GOAL_HELP = {
    "help": "Episodes of each goal, played one after another; contrasts and trajectories, as pairs, need several."
}


@dataclass(frozen=True, kw_only=True)
class CatalogSettings:
    """The catalogue and its goals."""

    catalog: str | None = field(default=None, metadata=CATALOG_HELP)
    goal_seed: int = field(default=0, metadata={"help": "Seed of price draws and price bounds.", "type": to_seed})
    human_goals: bool = field(
        default=False, metadata={"help": "Take people's crowd-sourced instructions instead of synthetic ones."}
    )
    wording: str = field(
        default="template",
        metadata={
            "help": "How synthetic goals are said: as WebShop's template does, or reworded, as people say it.",
            "choices": WORDINGS,
        },
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_wording(self.wording, human_goals=self.human_goals)

    def load_catalog(self) -> "Catalog":
        """The catalogue with its goals.

        Raises:
            CatalogError: see `recrl.webshop.catalog.load_catalog`.
        """
        from recrl.webshop.catalog import load_catalog

        return load_catalog(self.catalog, goal_seed=self.goal_seed, human_goals=self.human_goals, wording=self.wording)


@dataclass(frozen=True, kw_only=True)
class ShopSettings(CatalogSettings):
    """The splits of the goals, and the queries that are proposed for them."""

    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    query_model: str | None = field(
        default=None,
        metadata={
            "help": "Model that proposes search queries, by folder or Hub id; without it only the plain instruction is "
            "searched for."
        },
    )
    num_queries: int = field(
        default=DEFAULT_NUM_QUERIES, metadata={"help": "Queries that the query model proposes for an instruction."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "num_queries")
        if self.query_model is None and self.num_queries != DEFAULT_NUM_QUERIES:
            raise ConfigError(f"num_queries={self.num_queries} is for a query model; name one with query_model")

    def load_queries(self) -> "QueryModel | None":
        """What proposes queries, None for nothing.

        Raises:
            CheckpointError: it cannot be loaded.
        """
        from recrl.queries.proposing import load_queries

        return load_queries(self.query_model, self.num_queries)


@dataclass(frozen=True, kw_only=True)
class TaskSettings(ShopSettings):
    """What is played instead of a shop."""

    environment: str | None = field(
        default=None,
        metadata={
            "help": "Environment of your own, as module:function, which returns a task such as recrl.GymTask; without "
            "it WebShop is played."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.environment is None:
            return
        for setting in fields(CatalogSettings):
            if getattr(self, setting.name) != setting.default:
                raise ConfigError(
                    f"{setting.name}={getattr(self, setting.name)!r} is for WebShop, not for an environment of your own"
                )
        if self.query_model is not None:
            raise ConfigError("query_model is for WebShop's search, not for an environment of your own")

    def load_task(self) -> "Task":
        """The goals, and what they are played in.

        Raises:
            CatalogError, TaskError: it cannot be loaded.
        """
        from recrl.environments.loading import load_task
        from recrl.environments.webshop import WebShopTask

        return WebShopTask(self.load_catalog()) if self.environment is None else load_task(self.environment)


@dataclass(frozen=True, kw_only=True)
class PlaySettings(TaskSettings):
    """The episodes."""

    split: str = field(default="test", metadata=SPLIT_HELP)
    max_steps: int = field(default=15, metadata=MAX_STEPS_HELP)
    seed: int = field(default=0, metadata={"help": "Seed of the goals and actions that are drawn.", "type": to_seed})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "max_steps")


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """The policy that plays."""

    policy: str = field(
        metadata={
            "help": "A scripted policy (random, rule, matching, matching-price, checker, reader[:K], "
            "planner[:FOLDER], demonstrator), the folder or Hub id of a scorer, a causal language model or an adapter "
            "for one, or module:function of your own."
        }
    )
    temperature: float = field(default=1.0, metadata=TEMPERATURE_HELP)
    loop_guard: bool = field(default=False, metadata=LOOP_GUARD_HELP)
    answers: str | None = field(
        default=None,
        metadata={
            "help": "How a language model acts: by the exact probabilities of the valid actions (score), or by writing "
            "its action as text or as calls of tools; without it as it was trained, or score.",
            "choices": ANSWERS,
        },
    )
    max_prompt_tokens: int | None = field(
        default=None,
        metadata={"help": "Most tokens of a language model's prompt; without it as it was trained, or 1024."},
    )
    engine: str | None = field(
        default=None,
        metadata={
            "help": "What runs a language model: transformers, or vllm where it is installed; without it transformers.",
            "choices": ENGINES,
        },
    )
    batch_size: int = field(default=16, metadata=BATCH_SIZE_HELP)

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]  # of the settings that are mixed in
        check_at_least(self, 1, "batch_size", "max_prompt_tokens")

    def load_policy(self) -> "Policy":
        """The policy.

        Raises:
            PolicyError, CheckpointError: see `recrl.policies.loading.load_policy`.
        """
        from recrl.policies.loading import load_policy

        return load_policy(
            self.policy,
            temperature=self.temperature,
            loop_guard=self.loop_guard,
            answers=self.answers,
            max_prompt_tokens=self.max_prompt_tokens,
            engine=self.engine,
        )


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig(PolicySettings, PlaySettings):
    """What is collected."""

    output_dir: str = field(metadata={"help": "Folder of the dataset; repeat the command to go on in it."})
    split: str = field(default="train", metadata=SPLIT_HELP)
    num_trajectories: int = field(default=100, metadata={"help": "Episodes to keep."})
    log: bool = field(
        default=False,
        metadata={
            "help": "Keep every episode as it was played, to estimate from it what other policies would earn: "
            "--min_reward 0, --no_prune and --exact_probabilities in one."
        },
    )
    min_reward: float | None = field(
        default=None,
        metadata={"help": "Lowest reward, from 0 to 1, of an episode that is kept; without it 1, with --log 0."},
    )
    max_episodes: int | None = field(
        default=None, metadata={"help": "Most episodes to play; without it 100 for each one to keep."}
    )
    rollouts_per_goal: int = field(default=1, metadata=ROLLOUTS_PER_GOAL_HELP)
    goal_draw: str = field(default="weight", metadata=GOAL_DRAW_HELP)
    num_products: int | None = field(default=None, metadata=NUM_PRODUCTS_HELP)
    teacher: str | None = field(
        default=None,
        metadata={
            "help": "A policy that says which actions are right on every page that --policy comes to; imitation learns "
            "them instead of those taken (DAgger, arXiv:1011.0686)."
        },
    )
    prune: bool | None = field(
        default=None,
        metadata={
            "help": "Cut the loops out of the episodes that are kept; on by default, and off with --log or --no_prune."
        },
    )
    loops: str = field(
        default="notes",
        metadata={
            "help": "What a loop comes back to: the same page with nothing learned on the way (notes), or the same "
            "page (pages), so that looking at a product and leaving it is cut out too.",
            "choices": LOOPS,
        },
    )
    exact_probabilities: bool | None = field(
        default=None,
        metadata={
            "help": "Keep the probabilities of all valid actions unrounded, as estimates need them; otherwise they "
            "have six digits."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "num_trajectories", "rollouts_per_goal", "num_products")
        if self.min_reward is not None and not 0 <= self.min_reward <= 1:
            raise ConfigError(f"min_reward={self.min_reward}, expected a number from 0 to 1")
        self._settle()
        if self.max_episodes is not None and self.max_episodes < self.num_trajectories:
            raise ConfigError(
                f"max_episodes={self.max_episodes} is below num_trajectories={self.num_trajectories}; raise it"
            )

    def _settle(self) -> None:
        """Fills in what was left out of the settings that `log` decides on.

        Raises:
            ConfigError: what was given contradicts a log.
        """
        for name, value in (LOG_SETTINGS if self.log else SELECTION_SETTINGS).items():
            given = getattr(self, name)
            if given is None:
                object.__setattr__(self, name, value)
            elif self.log and given != value:
                raise ConfigError(
                    f"log keeps every episode as it was played, and {name}={given} does not; leave out one"
                )
        if self.log and self.loops != LOOPS[0]:
            raise ConfigError(f"log keeps every episode as it was played, and loops={self.loops!r} is for pruning")

    def keeps(self, reward: float) -> bool:
        """Whether an episode of that reward is kept."""
        return reward >= (self.min_reward or 0.0)

    @property
    def episode_budget(self) -> int:
        """The most episodes that are played."""
        return self.max_episodes if self.max_episodes is not None else 100 * self.num_trajectories

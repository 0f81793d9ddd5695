"""Where an agent plays while it is trained, and how it is measured on dev goals: shared by the recipes that play."""

from dataclasses import dataclass, field

import numpy as np

from recrl.errors import ConfigError
from recrl.evaluation.config import DECODINGS
from recrl.evaluation.measure import evaluate
from recrl.evaluation.result_types import Result
from recrl.policies.base import Policy
from recrl.queries.proposing import DEFAULT_NUM_QUERIES, QueryModel, load_queries
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import check_split


@dataclass
class EnvironmentArguments:
    """The shop, its goals, and the step limit."""

    catalog: str | None = field(
        default=None, metadata={"help": "Folder with raw WebShop files or a built catalogue; default: embedded."}
    )
    goal_seed: int = field(default=0, metadata={"help": "Seed of price draws and price bounds."})
    human_goals: bool = field(default=False, metadata={"help": "Crowd-sourced instructions instead of synthetic."})
    split_by: str = field(default="product", metadata={"help": "What the splits do not share: goal or product."})
    uniform_goals: bool = field(
        default=False,
        metadata={"help": "Draw training goals uniformly, as dev and test take them, instead of by their weights."},
    )
    max_episode_steps: int = field(default=15, metadata={"help": "Actions until an episode is truncated."})
    num_dev_episodes: int = field(default=0, metadata={"help": "Dev goals of each evaluation; 0: all of the split."})
    dev_decoding: str = field(default="greedy", metadata={"help": "How actions are chosen there: greedy or sample."})
    query_model: str | None = field(
        default=None, metadata={"help": "Proposes search queries, by folder or Hub id; default: the plain instruction."}
    )
    num_queries: int = field(default=DEFAULT_NUM_QUERIES, metadata={"help": "Queries that it proposes."})

    def __post_init__(self) -> None:
        if self.max_episode_steps < 1 or self.num_dev_episodes < 0:
            raise ConfigError(
                f"max_episode_steps={self.max_episode_steps}, num_dev_episodes={self.num_dev_episodes}: expected at "
                "least 1 and 0"
            )
        check_split("train", self.split_by)
        if self.dev_decoding not in DECODINGS:
            raise ConfigError(f"dev_decoding={self.dev_decoding!r}, expected one of {', '.join(DECODINGS)}")
        if self.num_queries < 1:
            raise ConfigError(f"num_queries={self.num_queries}, expected at least 1")

    def load_catalog(self) -> Catalog:
        """The catalogue with its goals.

        Raises:
            CatalogError: see `recrl.webshop.catalog.load_catalog`.
        """
        return load_catalog(self.catalog, goal_seed=self.goal_seed, human_goals=self.human_goals)

    def load_queries(self) -> QueryModel | None:
        """What proposes queries, None for nothing.

        Raises:
            CheckpointError: it cannot be loaded.
        """
        return load_queries(self.query_model, self.num_queries)

    def make_env(self, catalog: Catalog, queries: QueryModel | None, rng: np.random.Generator) -> WebShopEnv:
        """An environment on training goals, which ``rng`` draws."""
        env = WebShopEnv(
            catalog,
            split="train",
            split_by=self.split_by,
            weighted=not self.uniform_goals,
            max_steps=self.max_episode_steps,
            queries=queries,
        )
        env.np_random = rng
        return env

    def evaluate_on_dev(self, policy: Policy, catalog: Catalog, queries: QueryModel | None) -> Result:
        """The result of the first dev goals, see `recrl.evaluation.measure.evaluate`."""
        return evaluate(
            policy,
            catalog,
            split="dev",
            split_by=self.split_by,
            num_episodes=self.num_dev_episodes or None,
            decoding=self.dev_decoding,
            max_steps=self.max_episode_steps,
            queries=queries,
        )

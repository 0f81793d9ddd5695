"""WebShop as a task: a catalogue's goals, played in `recrl.webshop.env.WebShopEnv`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recrl.environments.protocols import Queries, Task
from recrl.webshop.catalog import Catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import DEFAULT_SPLIT_BY


@dataclass(frozen=True)
class WebShopTask:
    """A catalogue as `recrl.environments.protocols.Task`."""

    catalog: Catalog

    @property
    def sha256(self) -> str:
        return self.catalog.sha256

    @property
    def goals_sha256(self) -> str:
        return self.catalog.goals_sha256

    @property
    def template_goals_sha256(self) -> str:
        return self.catalog.template_goals_sha256

    @property
    def goal_seed(self) -> int:
        return self.catalog.goal_seed

    @property
    def human_goals(self) -> bool:
        return self.catalog.human_goals

    def split(self, split: str, split_by: str) -> range | np.ndarray:
        return self.catalog.split(split, split_by)

    def protocol(self, split_by: str) -> str:
        return self.catalog.protocol(split_by)

    def chances(self, indices: Sequence[int] | np.ndarray, draw: str) -> np.ndarray:
        return self.catalog.goals.chances(indices, draw)

    def target(self, goal_index: int) -> str:
        return self.catalog.goals[goal_index].asin

    def make_env(
        self,
        *,
        max_steps: int,
        queries: Queries | None = None,
        split: str = "all",
        split_by: str = DEFAULT_SPLIT_BY,
        goal_draw: str = "weight",
    ) -> WebShopEnv:
        return WebShopEnv(
            self.catalog, split=split, split_by=split_by, goal_draw=goal_draw, max_steps=max_steps, queries=queries
        )


def as_task(played: Catalog | Task) -> Task:
    """A catalogue as the task that it is; a task as it is."""
    return WebShopTask(played) if isinstance(played, Catalog) else played

"""The environment under the original's names and signatures, for agents that were written for ``WebAgentTextEnv``."""

import sys
from typing import Any

from recrl.errors import CatalogError
from recrl.webshop.catalog import CatalogSource
from recrl.webshop.env import WebShopEnv


class WebAgentTextEnv:
    """WebShop's text environment as its first users know it: ``reset(session)`` and a ``step`` of four values.

    Pages, search and rewards are those of `recrl.webshop.env.WebShopEnv`, and so is what differs from the original (see
    docs/webshop.md): in particular goals are numbered over the whole frozen list, and acting after the purchase raises
    `gymnasium.error.ResetNeeded`. There is no step limit.

    Args:
        observation_mode: text, text_rich or url.
        catalog, num_products, human_goals, goal_seed, wording, num_prev_obs, num_prev_actions: as of `WebShopEnv`.

    Attributes:
        session: the running episode's goal index.
        instruction_text: what the shopper wants.
    """

    def __init__(
        self,
        observation_mode: str = "text",
        *,
        catalog: CatalogSource = None,
        num_products: int | None = None,
        human_goals: bool = False,
        goal_seed: int = 0,
        wording: str = "template",
        num_prev_obs: int = 0,
        num_prev_actions: int = 0,
    ) -> None:
        self._env = WebShopEnv(
            catalog,
            human_goals=human_goals,
            num_products=num_products,
            goal_seed=goal_seed,
            wording=wording,
            split="all",
            observation_mode=observation_mode,
            num_prev_obs=num_prev_obs,
            num_prev_actions=num_prev_actions,
            max_steps=sys.maxsize,
        )
        self._info: dict[str, Any] = {}
        self.observation = ""

    def reset(self, session: int | None = None) -> tuple[str, None]:
        """Starts the goal with that index, or without one a goal drawn by weight.

        Raises:
            CatalogError: ``session`` is no index of a goal; the names and negative numbers of the original are refused.
        """
        if session is None:
            self.observation, self._info = self._env.reset()
        elif isinstance(session, bool) or not isinstance(session, int):
            raise CatalogError(f"session={session!r}: expected the index of a goal, or None for any")
        else:
            self.observation, self._info = self._env.reset(options={"goal_index": session})
        return self.observation, None

    def step(self, action: str) -> tuple[str, float, bool, None]:
        """Takes an action: the observation, the reward, whether something was bought, and None."""
        self.observation, reward, done, _, self._info = self._env.step(action)
        return self.observation, float(reward), done, None

    @property
    def session(self) -> int:
        return self._env.goal_index

    @property
    def instruction_text(self) -> str:
        return self._env.goal.instruction

    @property
    def state(self) -> dict[str, str]:
        """The page's address and the instruction; the original's ``html`` is not reproduced."""
        return {"url": self._env.screen.observation("url"), "instruction_text": self.instruction_text}

    def get_instruction_text(self) -> str:
        return self.instruction_text

    def get_available_actions(self) -> dict[str, Any]:
        """Whether there is a search bar, and what can be clicked, lower-cased."""
        return {"has_search_bar": self._info["has_search_bar"], "clickables": self._info["clickables"]}

    def render(self) -> str:
        return self._env.render()

    def close(self) -> None:
        self._env.close()

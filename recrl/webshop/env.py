"""The Gymnasium environment ``recrl/WebShop-v0``."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded

from recrl.errors import CatalogError, ConfigError
from recrl.webshop import actions, screens
from recrl.webshop.catalog import Catalog, CatalogSource, load_catalog
from recrl.webshop.goals import DEFAULT_MAX_STEPS, DEFAULT_SPLIT_BY, GOAL_DRAWS, Goal
from recrl.webshop.pages import Page
from recrl.webshop.reward import purchase_reward
from recrl.webshop.screens import OBSERVATION_MODES, PageState, Screen
from recrl.webshop.spaces import UnicodeText


class WebShopEnv(gym.Env[str, str]):
    """A shopper's instruction, a shop to search, and a reward for what is bought in the end.

    The pages, the search, the goals and the reward are those of WebShop (arXiv:2207.01206), byte for byte; what differs
    on purpose is listed in docs/webshop.md.

    **Actions** are texts. ``search[words]`` shows the results for the words, from every page. ``click[name]`` clicks
    something that the page offers: a button, a product's link, an option's value, in any case of letters. Any other
    text, or a click on what is not there, changes nothing, counts as a step, and sets ``info["invalid_action"]`` to the
    reason. Acting before `reset` or after the end raises `gymnasium.error.ResetNeeded`; what is no text, TypeError.

    **Observations** are texts: ``text`` (the visible strings, joined with `` [SEP] ``), ``text_rich`` (a line each,
    ``[button] x [button_]`` around what can be clicked), or ``url``. With ``num_prev_obs`` and ``num_prev_actions``
    earlier ones stand in front, oldest first, joined with `` [SEP] ``.

    **Reward** is 0.0 until ``click[buy now]``, then a number in [0, 1]:
    ``r_type * (matched attributes + matched options + [price <= price_upper]) / (attributes + options + 1)``; see
    `recrl.webshop.reward`. Buying terminates the episode; the step limit truncates it.

    **Info** holds ``goal_index``, ``instruction``, ``has_search_bar``, ``clickables`` (the page's list, lower-cased),
    ``valid_actions`` (a tuple of what `step` accepts: on the search page the plain instruction without its price clause
    as a query, then those that ``queries`` proposes, elsewhere a click for everything that can be clicked), ``page``
    (what is shown as a `recrl.webshop.pages.Page`, so that nothing has to be read back from the text),
    ``catalog_sha256``, ``goals_sha256``; after the purchase ``reward_parts``, ``bought_asin`` and ``bought_options``
    (group -> value); after an invalid action ``invalid_action``.

    **Goals.** ``reset(seed=1)`` draws one of the split, by its weight unless ``weighted=False``;
    ``reset(options={"goal_index": 17})`` takes goal 17 of the whole list, whatever the split. Environments of
    `gymnasium.make_vec` take theirs one by one with ``AutoresetMode.DISABLED``:
    ``reset(options={"goal_index": 17, "reset_mask": mask})``, synchronous ones and asynchronous ones alike.

    Args:
        catalog: None for the embedded catalogue, a built one's folder, a folder with the raw WebShop files (built once
            into the user's cache), or an opened `recrl.webshop.catalog.Catalog`, which environments then share.
        human_goals: crowd-sourced instructions instead of synthetic ones.
        wording: template, or reworded: the same synthetic goals as people say them, see `recrl.webshop.wording`.
        num_products: the first N raw products only.
        goal_seed: of the draws of prices and price bounds.
        split: train, dev, test or all; split_by: product (targets of one split are in no other), or goal, as WebShop
            itself splits.
        weighted: draw goals by their weights; False is ``goal_draw="uniform"``.
        goal_draw: weight, uniform, or product: every target product is equally likely, and each of its goals.
        observation_mode: text, text_rich or url.
        num_prev_obs, num_prev_actions: how many earlier ones an observation holds.
        max_steps: actions until truncation.
        queries: proposes search queries for an instruction without its price clause, for the search page's valid
            actions: a function such as `recrl.queries.QueryModel`, asked once an episode. None: no more than the
            plain instruction. It must not know the goal, and its queries hold no brackets or line breaks.

    Raises:
        CatalogError: the catalogue cannot be used, or the split is empty.
        ConfigError: a setting is not among those above.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012  (Gymnasium declares it so)

    def __init__(
        self,
        catalog: CatalogSource = None,
        human_goals: bool = False,
        num_products: int | None = None,
        goal_seed: int = 0,
        split: str = "train",
        split_by: str = DEFAULT_SPLIT_BY,
        weighted: bool = True,
        observation_mode: str = "text_rich",
        num_prev_obs: int = 0,
        num_prev_actions: int = 0,
        max_steps: int = DEFAULT_MAX_STEPS,
        render_mode: str | None = None,
        queries: Callable[[str], Sequence[str]] | None = None,
        wording: str = "template",
        goal_draw: str = "weight",
    ) -> None:
        if observation_mode not in OBSERVATION_MODES:
            raise ConfigError(f"observation_mode={observation_mode!r}, expected one of {', '.join(OBSERVATION_MODES)}")
        if max_steps < 1 or num_prev_obs < 0 or num_prev_actions < 0:
            raise ConfigError(
                f"max_steps={max_steps}, num_prev_obs={num_prev_obs}, num_prev_actions={num_prev_actions}: expected at "
                "least 1, 0 and 0"
            )
        self.catalog: Catalog = load_catalog(
            catalog, num_products=num_products, goal_seed=goal_seed, human_goals=human_goals, wording=wording
        )
        if goal_draw not in GOAL_DRAWS or (not weighted and goal_draw == "product"):
            raise ConfigError(
                f"goal_draw={goal_draw!r}, weighted={weighted}: expected one of {', '.join(GOAL_DRAWS)}, and "
                "weighted=True beside 'product'"
            )
        self.split, self.split_by, self.goal_draw = split, split_by, goal_draw if weighted else "uniform"
        self.observation_mode, self.max_steps, self.render_mode = observation_mode, max_steps, render_mode
        self.num_prev_obs, self.num_prev_actions = num_prev_obs, num_prev_actions
        self.queries = queries
        self.goal_indices = self.catalog.split(split, split_by)
        self.action_space, self.observation_space = UnicodeText(), UnicodeText()
        self.goal_index: int = -1
        self._goal: Goal | None = None  # None before the first reset
        self._proposed: tuple[str, ...] = ()  # for the goal's instruction
        self._state = PageState()
        self._screen: Screen | None = None  # None before the first reset
        self._over = False
        self._num_steps = 0
        self._earlier_observations: deque[str] = deque(maxlen=num_prev_obs)
        self._earlier_actions: deque[str] = deque(maxlen=num_prev_actions)

    @property
    def goal(self) -> Goal:
        """The hidden goal of the running episode; not for policies that learn or are compared."""
        if self._goal is None:
            raise ResetNeeded("call reset() before asking for the goal")
        return self._goal

    @property
    def target(self) -> str:
        """The asin of the hidden goal's product; raises as `goal` does."""
        return self.goal.asin

    @property
    def screen(self) -> Screen:
        """What is shown at the moment, with its state, its lines and what can be clicked.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._screen is None:
            raise ResetNeeded("call reset() before asking for the page")
        return self._screen

    @property
    def page(self) -> Page:
        """What is shown at the moment, as a typed value; raises as `screen` does."""
        return self.screen.page

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode; see the class for ``seed`` and ``options``."""
        super().reset(seed=seed)
        self.goal_index = self._asked_goal(options) if options else self._drawn_goal()
        self._goal = self.catalog.goals[self.goal_index]
        self._proposed = self._proposals()
        self._state, self._over, self._num_steps = PageState(), False, 0
        self._earlier_observations.clear()
        self._earlier_actions.clear()
        self._screen = self._show()
        return self._observe(), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes an action; see the class."""
        if self._screen is None or self._over:
            raise ResetNeeded("call reset() before step(); an episode is over when it was terminated or truncated")
        if not isinstance(action, str):
            raise TypeError(f"expected an action's text such as 'click[buy now]', got {action!r:.60}")
        self._num_steps += 1
        if self.num_prev_obs:
            self._earlier_observations.append(self._screen.observation(self.observation_mode))
        self._earlier_actions.append(action)
        following, reason = screens.follow(self._state, action, self._screen, self.catalog)
        reward = 0.0
        extra: dict[str, Any] = {} if reason is None else {"invalid_action": reason}
        if following is not self._state:
            self._state = following
            if following.kind == "bought":
                product = self.catalog.product(following.asin)
                reward, parts = purchase_reward(product, self.goal, following.options, product.price)
                extra |= {
                    "reward_parts": parts,
                    "bought_asin": following.asin,
                    "bought_options": dict(following.options),
                }
            self._screen = self._show(reward)
        terminated = self._state.kind == "bought"
        truncated = not terminated and self._num_steps >= self.max_steps
        self._over = terminated or truncated
        return self._observe(), reward, terminated, truncated, self._info() | extra

    def render(self) -> str:
        """The page in mode ``text_rich``; raises as `page` does."""
        return self.screen.observation("text_rich")

    def _show(self, reward: float = 0.0) -> Screen:
        return screens.show(self._state, self.catalog, self.goal, str(self.goal_index), reward, self._proposed)

    def _proposals(self) -> tuple[str, ...]:
        if self.queries is None:
            return ()
        proposed = tuple(self.queries(self.goal.instruction_without_price))
        for query in proposed:
            if not isinstance(query, str) or not actions.is_query(query):
                raise ConfigError(
                    f"queries proposed {query!r:.80} for goal {self.goal_index}, expected words without brackets or "
                    "line breaks"
                )
        return proposed

    def _asked_goal(self, options: dict[str, Any]) -> int:
        unknown = set(options) - {"goal_index"}
        index = options.get("goal_index")
        if unknown or isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise ConfigError(f"options={options!r}: expected {{'goal_index': <whole number>}}")
        if not 0 <= index < len(self.catalog.goals):
            raise CatalogError(f"goal_index={index}, expected 0 to {len(self.catalog.goals) - 1}")
        return int(index)

    def _drawn_goal(self) -> int:
        if self.goal_draw == "uniform":
            return int(self.goal_indices[int(self.np_random.integers(len(self.goal_indices)))])
        cumulative = self.catalog.cumulative_weights(self.split, self.split_by, self.goal_draw)
        place = np.searchsorted(cumulative, self.np_random.random() * cumulative[-1], side="right")
        return int(self.goal_indices[min(int(place), len(self.goal_indices) - 1)])

    def _observe(self) -> str:
        assert self._screen is not None
        observation = self._screen.observation(self.observation_mode)
        if not (self.num_prev_obs or self.num_prev_actions):
            return observation
        # Actions and observations alternate, newest last; where one kind has fewer, the other stands alone.
        parts = [observation]
        for back in range(1, max(self.num_prev_obs, self.num_prev_actions) + 1):
            if back <= self.num_prev_actions and back <= len(self._earlier_actions):
                parts.append(self._earlier_actions[-back])
            if back <= self.num_prev_obs and back <= len(self._earlier_observations):
                parts.append(self._earlier_observations[-back])
        return " [SEP] ".join(reversed(parts))

    def _info(self) -> dict[str, Any]:
        assert self._screen is not None
        return {
            "goal_index": self.goal_index,
            "instruction": self.goal.instruction,
            "has_search_bar": self._state.kind == "search",
            "clickables": list(self._screen.clickables),
            "valid_actions": self._screen.valid_actions,
            "page": self._screen.page,
            "catalog_sha256": self.catalog.sha256,
            "goals_sha256": self.catalog.goals_sha256,
        }

"""WebShop for TRL's trainers that play: one specification, three things to hand on.

    spec = WebShopSpec(num_goals=64)
    trainer = GRPOTrainer(model, args=config, train_dataset=spec.train_dataset,
                          environment_factory=spec.environment_factory, reward_funcs=spec.reward_funcs)

Every environment of a process reads the same catalogue. A row of the dataset names its goal, so that all episodes of a
group shop for the same. TRL knows no end of an episode: after the purchase or the last step every call is an error.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from recrl.errors import ConfigError
from recrl.language.chat import Chat
from recrl.language.conversation import BOUGHT, TOOL_TASK, closing, opening, tool_calls, tool_result, user
from recrl.language.prompts import write_page
from recrl.language.tools import ShoppingTools, call_of
from recrl.rollouts.collecting import goal_stream
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import DEFAULT_MAX_STEPS, DEFAULT_SPLIT_BY

MEASURED_GOALS = 16


@functools.lru_cache(maxsize=4)
def shared_catalog(catalog: str | None, goal_seed: int, human_goals: bool, wording: str) -> Catalog:
    """The catalogue that all environments of this process read."""
    return load_catalog(catalog, goal_seed=goal_seed, human_goals=human_goals, wording=wording)


class WebShopToolEnv(ShoppingTools):
    """An episode that is played by calls of tools, as TRL's ``environment_factory`` makes it.

    Args:
        catalog, goal_seed, human_goals, wording: of the shared catalogue, see `recrl.webshop.env.WebShopEnv`.
        max_episode_steps: calls after which the shop closes.
        most_words: of each text of a page; None cuts nothing.
    """

    def __init__(
        self,
        catalog: str | None = None,
        goal_seed: int = 0,
        human_goals: bool = False,
        wording: str = "template",
        max_episode_steps: int = DEFAULT_MAX_STEPS,
        most_words: int | None = None,
    ) -> None:
        shared = shared_catalog(catalog, goal_seed, human_goals, wording)
        self._env = WebShopEnv(catalog=shared, split="all", max_steps=max_episode_steps)
        self._most_words = most_words
        self._reward, self._over = 0.0, ""

    def reset(self, **row: Any) -> str:
        """Begins the episode of the goal that a row names as ``goal_index``; returns what stands behind the task in the
        first message.
        """
        if "goal_index" not in row:
            raise ConfigError(f"a row has no goal_index; it has {', '.join(row) or 'nothing'}; take WebShopSpec's")
        self._reward, self._over = 0.0, ""
        _, info = self._env.reset(options={"goal_index": int(row["goal_index"])})
        return opening(info["instruction"], self._env.max_steps)

    def get_reward(self) -> float:
        """The reward of the purchase, from 0 to 1; 0 without one."""
        return self._reward

    def _act(self, action: str) -> str:
        """Takes an action; a ValueError is what the model reads of one that was refused."""
        if self._over:
            raise ValueError(self._over)
        _, reward, terminated, truncated, info = self._env.step(action)
        if terminated:
            self._reward = float(reward)
            self._over = "The shopping is over: the product is bought. Answer without a call."
            return BOUGHT
        if truncated:
            self._over = "The shopping is over: the steps are used up. Answer without a call."
        if "invalid_action" in info:
            raise ValueError(info["invalid_action"])
        return write_page(info["page"], info["valid_actions"], most_words=self._most_words)


@dataclass(frozen=True)
class WebShopSpec:
    """WebShop's frozen goals for a trainer that plays; attributes as of `WebShopToolEnv`, and:

    Attributes:
        split, split_by, goal_draw: which goals are played, and how they are drawn.
        num_goals: rows of the dataset; seed: of their draw.
    """

    catalog: str | None = None
    goal_seed: int = 0
    human_goals: bool = False
    wording: str = "template"
    split: str = "train"
    split_by: str = DEFAULT_SPLIT_BY
    goal_draw: str = "weight"
    num_goals: int = 256
    seed: int = 0
    max_episode_steps: int = DEFAULT_MAX_STEPS
    most_words: int | None = None
    reward_funcs: list[Any] = field(default_factory=list)

    @property
    def shop(self) -> Catalog:
        """The catalogue with its goals."""
        return shared_catalog(self.catalog, self.goal_seed, self.human_goals, self.wording)

    @property
    def environment_factory(self) -> Callable[[], WebShopToolEnv]:
        """Makes an environment; it can be pickled, and every process opens the catalogue once."""
        names = ("catalog", "goal_seed", "human_goals", "wording", "max_episode_steps", "most_words")
        return functools.partial(WebShopToolEnv, **{name: getattr(self, name) for name in names})

    @property
    def goal_indices(self) -> list[int]:
        """The goals that are played, each named once in every pass over the split."""
        goals = goal_stream(self.shop, self.split, self.split_by, self.seed, draw=self.goal_draw)
        return list(islice(goals, self.num_goals))

    @property
    def train_dataset(self) -> Any:
        """A row a goal: the task as ``prompt``, to which the environment adds the instruction, and ``goal_index``."""
        from datasets import Dataset

        goals = self.goal_indices
        return Dataset.from_dict({"prompt": [[user(TOOL_TASK)] for _ in goals], "goal_index": goals})

    def measure(self, chat: Chat) -> dict[str, int]:
        """Tokens that demonstrated episodes of the first goals take under a chat template with the tools.

        Returns:
            ``prompt_tokens``, ``completion_tokens`` of the longest episode (its calls and pages), ``page_tokens`` of
            the longest page, ``turn_tokens`` of the longest call, and ``num_calls`` of the longest episode.
        """
        from recrl.policies.scripted import scripted_policy

        env = self.environment_factory()
        most = dict.fromkeys(("prompt_tokens", "completion_tokens", "page_tokens", "turn_tokens", "num_calls"), 0)
        goals = list(dict.fromkeys(self.goal_indices[:MEASURED_GOALS]))
        for episode in rollout(
            scripted_policy("demonstrator", ""), self.shop, goals, seed=0, max_steps=self.max_episode_steps
        ):
            turns = [user(TOOL_TASK + env.reset(goal_index=episode.goal_index))]
            prompt = len(chat.prompt_ids(turns))
            for step in episode.steps:
                call = call_of(step.action)
                asked = len(chat.prompt_ids(turns))
                turns.append(tool_calls(call))
                most["turn_tokens"] = max(most["turn_tokens"], len(chat.prompt_ids(turns, answer=False)) - asked)
                turns.append(tool_result(call["name"], getattr(env, call["name"])(**call["arguments"])))
                most["page_tokens"] = max(most["page_tokens"], chat.count(turns[-1]["content"]))
            if episode.terminated:
                turns.append(closing()[-1])
            tokens = len(chat.prompt_ids(turns)) - prompt
            found = {"prompt_tokens": prompt, "completion_tokens": tokens, "num_calls": episode.num_steps}
            most |= {name: max(most[name], value) for name, value in found.items()}
        return most

    def check_budget(
        self, chat: Chat, max_completion_length: int, context: int | None, max_turn_tokens: int | None = None
    ) -> dict[str, int]:
        """Refuses budgets in which no demonstrated episode has room: TRL would drop its pages without a word, and a
        call that is cut is none.

        Returns:
            what `measure` found.

        Raises:
            ConfigError: with the arithmetic.
        """
        found = self.measure(chat)
        taken = (
            f"the longest of {min(MEASURED_GOALS, self.num_goals)} demonstrated episodes takes "
            f"{found['completion_tokens']} tokens: {found['num_calls']} calls, and pages of at most "
            f"{found['page_tokens']} tokens"
        )
        if max_completion_length < found["completion_tokens"]:
            raise ConfigError(
                f"max_completion_length={max_completion_length} is too small: {taken}; raise it to "
                f"{found['completion_tokens']} or more, or cut the pages' texts with most_words"
            )
        if max_turn_tokens is not None and max_turn_tokens < found["turn_tokens"]:
            raise ConfigError(
                f"max_turn_tokens={max_turn_tokens} is too small: the longest call of these episodes takes "
                f"{found['turn_tokens']} tokens; raise it"
            )
        if context is not None and context < found["prompt_tokens"] + max_completion_length:
            raise ConfigError(
                f"the model's context holds {context} tokens, but the prompt takes {found['prompt_tokens']} and "
                f"max_completion_length={max_completion_length}; lower it ({taken}), or take another model"
            )
        return found

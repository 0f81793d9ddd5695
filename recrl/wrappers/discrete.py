"""Numbered actions with a mask and numbers as observations, for algorithms that know no text."""

from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np

from recrl.errors import ConfigError
from recrl.policies.base import Choice
from recrl.rollouts.playing import Playing
from recrl.scoring.inputs import ACTION_FEATURES, check_input_options, read_decision, show_action
from recrl.webshop.env import WebShopEnv

Observation = np.ndarray[Any, np.dtype[np.float32]]


class DiscreteActions(gym.Wrapper[Observation, int, Observation, int], gym.utils.RecordConstructorArgs):
    """``recrl/WebShop-v0`` with a `gymnasium.spaces.Discrete` action space and observations of numbers.

    Action ``i`` is ``info["numbered_actions"][i]``; which numbers are actions of the page says ``info["action_mask"]``
    (``num_actions`` int8, as `gymnasium.spaces.Discrete.sample` takes it), and `action_masks` as booleans, which
    sb3-contrib's MaskablePPO asks for. A number that is masked counts as a step and changes nothing.

    The observation is (num_actions * features,) float32: for each action its numbers of
    `recrl.scoring.inputs.ACTION_FEATURES`, 0 where there is no action. What they know of products is what was seen in
    the episode; the hidden goal is not in them.

    Args:
        num_actions: of the action space. A page with more loses the last of its options; its buttons and links stay.
        features: which numbers of an action are observed; None: all.

    Raises:
        ConfigError: a feature is unknown, or num_actions is below 2.
    """

    def __init__(self, env: gym.Env[str, str], num_actions: int = 64, features: Sequence[str] | None = None) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, num_actions=num_actions, features=features)
        gym.Wrapper.__init__(self, cast("gym.Env[Observation, int]", env))
        inner = env.unwrapped
        assert isinstance(inner, WebShopEnv)
        self.features = tuple(ACTION_FEATURES if features is None else features)
        check_input_options("compact", self.features, ())
        if num_actions < 2 or not self.features:
            raise ConfigError(f"num_actions={num_actions}, features={self.features}: expected at least 2, and one")
        self.text_env, self._inner, self.num_actions = env, inner, num_actions
        self.action_space = gym.spaces.Discrete(num_actions)  # type: ignore[assignment]  # of NumPy's int
        self.observation_space = gym.spaces.Box(-1.0, np.inf, (num_actions * len(self.features),), np.float32)
        self._playing: Playing | None = None
        self._num_episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode, see `WebShopEnv`."""
        text, info = self.text_env.reset(seed=seed, options=options)
        self._playing = Playing(self._num_episodes, self._inner, self._inner.np_random, text, info)
        self._num_episodes += 1
        return self._observe(), self._with_mask(info)

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes the action of this number."""
        playing, numbered = self.playing, self._numbered()
        decision = playing.decision()
        is_valid = 0 <= action < len(numbered)
        text = decision.valid_actions[numbered[int(action)]] if is_valid else f"action {action}"
        observation, reward, terminated, truncated, info = self.text_env.step(text)
        if is_valid:
            playing.add(
                decision, Choice(numbered[int(action)], 0.0), observation, float(reward), info, terminated=terminated
            )
        else:
            playing.pass_over(info)
        return self._observe(), float(reward), terminated, truncated, self._with_mask(info)

    def action_masks(self) -> np.ndarray:
        """(num_actions,) bool, True for the actions of the page."""
        return np.arange(self.num_actions) < len(self._numbered())

    def _numbered(self) -> list[int]:
        """The numbered actions, as indices into the page's valid ones."""
        info = self.playing.info
        valid, page = info["valid_actions"], info["page"]
        if len(valid) <= self.num_actions:
            return list(range(len(valid)))
        is_option = [page.group_of(show_action(page, action).argument) is not None for action in valid]
        room = self.num_actions - is_option.count(False)
        kept = [index for index, option in enumerate(is_option) if option][: max(0, room)]
        return sorted([*kept, *(index for index, option in enumerate(is_option) if not option)])[: self.num_actions]

    @property
    def playing(self) -> Playing:
        """The episode so far.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._playing is None:
            raise gym.error.ResetNeeded("call reset() first")
        return self._playing

    def _with_mask(self, info: dict[str, Any]) -> dict[str, Any]:
        numbered = tuple(info["valid_actions"][index] for index in self._numbered())
        return info | {"action_mask": self.action_masks().astype(np.int8), "numbered_actions": numbered}

    def _observe(self) -> Observation:
        observation = np.zeros((self.num_actions, len(self.features)), np.float32)
        numbered, playing = self._numbered(), self.playing
        if numbered and playing.num_taken < self._inner.max_steps:
            found = read_decision(playing.decision(), state_form="instruction", action_features=self.features)
            observation[: len(numbered)] = found.features[numbered]
        return observation.reshape(-1)

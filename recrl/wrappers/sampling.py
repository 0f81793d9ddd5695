"""Drawing valid actions, where `action_space.sample()` would draw any text."""

from typing import Any

import gymnasium as gym
import numpy as np

from recrl.webshop.env import WebShopEnv
from recrl.webshop.spaces import UnicodeText


def sample_valid(info: dict[str, Any], rng: np.random.Generator) -> Any:
    """A valid action, drawn uniformly; of a vector environment's info a list, one for each environment.

    Where an episode has ended there is none, and the text is empty: a vector environment resets there, whatever it is.
    """
    valid = info["valid_actions"]
    if isinstance(valid, np.ndarray):  # how a vector environment hands out the tuples of its environments
        return [sample_valid({"valid_actions": actions}, rng) for actions in valid]
    return valid[rng.integers(len(valid))] if valid else ""


class ValidActions(UnicodeText):
    """The texts of an environment's actions; samples are valid at that moment."""

    def __init__(self, env: WebShopEnv) -> None:
        super().__init__()
        self.env = env

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A valid action of the page; before the first reset it raises `gymnasium.error.ResetNeeded`."""
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        return sample_valid({"valid_actions": self.env.screen.valid_actions}, self.np_random)


class SampleValidActions(gym.Wrapper[str, str, str, str], gym.utils.RecordConstructorArgs):
    """Lets ``env.action_space.sample()`` draw a valid action, uniformly. Any text may still be stepped."""

    def __init__(self, env: gym.Env[str, str]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        inner = env.unwrapped
        assert isinstance(inner, WebShopEnv)
        self.action_space = ValidActions(inner)

"""Recording what any agent plays as a trajectory dataset, as `gymnasium.wrappers.RecordVideo` records pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from recrl.episodes.data import Episode, episodes_to_dataset
from recrl.errors import DatasetError
from recrl.files import replace_folder
from recrl.policies.base import Choice
from recrl.rollouts.playing import Playing
from recrl.webshop.env import WebShopEnv


class RecordEpisodes(gym.Wrapper[str, str, str, str], gym.utils.RecordConstructorArgs):
    """Keeps every episode that ends, and writes them as a dataset when the environment is closed.

    The dataset is the one of `recrl generate-trajectories`: `recrl train imitation --demonstrations FOLDER` learns from
    it, `recrl show FOLDER` shows it. A search for words that the page did not propose is kept as one more valid action;
    an action that changed nothing is left out, but for the step that it took. Wrap what numbers actions around this
    wrapper, not below it.

    Args:
        output_dir: folder of the dataset, new or empty.
        policy: the name of who acts.
        seed: what the dataset says of the agent's seed.

    Raises:
        DatasetError: the folder holds something.
    """

    def __init__(self, env: gym.Env[str, str], output_dir: str | Path, *, policy: str, seed: int = 0) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, output_dir=str(output_dir), policy=policy, seed=seed)
        gym.Wrapper.__init__(self, env)
        inner = env.unwrapped
        assert isinstance(inner, WebShopEnv)
        self.output_dir = Path(output_dir)
        if self.output_dir.exists() and (not self.output_dir.is_dir() or any(self.output_dir.iterdir())):
            raise DatasetError(f"{output_dir} is there already; name another output_dir")
        self._inner, self._policy, self._seed = inner, policy, seed
        self._playing: Playing | None = None
        self._num_started = 0
        self.episodes: list[Episode] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode; one that has not ended is not kept."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._playing = Playing(self._num_started, self._inner, self._inner.np_random, self._inner.render(), info)
        self._num_started += 1
        return observation, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes an action and keeps it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        playing = self._playing
        assert playing is not None  # the environment refuses a step before the first reset
        if "invalid_action" in info:
            playing.pass_over(info)
        else:
            decision, text = playing.decision(), action.strip()
            by_name = {valid.lower(): index for index, valid in enumerate(decision.valid_actions)}
            index = by_name.get(text.lower(), len(decision.valid_actions))
            if index == len(decision.valid_actions):
                decision = replace(decision, valid_actions=(*decision.valid_actions, text))
            playing.add(decision, Choice(index, None), self._inner.render(), float(reward), info, terminated=terminated)
        if (terminated or truncated) and playing.steps:
            protocol = self._inner.catalog.protocol(self._inner.split_by)
            self.episodes.append(playing.finish(self._policy, protocol, self._seed))
        return observation, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Writes the dataset, all or nothing, and closes the environment; without an episode nothing is written."""
        if self.episodes:
            with replace_folder(self.output_dir) as folder:
                episodes_to_dataset(self.episodes).save_to_disk(str(folder))
            self.episodes = []
        super().close()

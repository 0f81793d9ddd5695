"""Recording what any agent plays as a trajectory dataset, as `gymnasium.wrappers.RecordVideo` records pictures."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from recrl.episodes.data import Episode, episode_to_row, episodes_to_dataset, row_to_episode
from recrl.errors import DatasetError
from recrl.files import replace_folder
from recrl.policies.base import Choice
from recrl.rollouts.playing import Playing
from recrl.runs import JOURNAL_FILE, RunFolder
from recrl.webshop.env import WebShopEnv

JOURNAL_ENDING = ".recording"


class RecordEpisodes(gym.Wrapper[str, str, str, str], gym.utils.RecordConstructorArgs):
    """Keeps every episode that ends, and makes a dataset of all when the environment is closed.

    Every episode is on the disk, in a journal beside the dataset's folder (``FOLDER.recording``), before the next one
    begins. So a process that is killed loses only the episode that it was in: the same wrapper in a new process goes on
    from there, and closing it at once makes the dataset of what there is.

    The dataset is the one of `recrl generate-trajectories`: `recrl train imitation --demonstrations FOLDER` learns from
    it, `recrl show FOLDER` shows it. A search for words that the page did not propose is kept as one more valid action;
    an action that changed nothing is left out, but for the step that it took. Wrap what numbers actions around this
    wrapper, not below it.

    Args:
        output_dir: folder of the dataset, new or empty; of parallel environments each needs one of its own.
        policy: the name of who acts.
        seed: what the dataset says of the agent's seed.

    Raises:
        DatasetError: the folder holds something, or the journal was altered.
        ConfigError: the journal is that of another policy, seed or catalogue, or another process records there.
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
        catalog = inner.catalog
        self._run = RunFolder(
            path=self.output_dir.with_name(self.output_dir.name + JOURNAL_ENDING),
            kind="recording",
            command="recrl.wrappers.RecordEpisodes",
            settings={"policy": policy, "seed": seed, "catalog": catalog.sha256, "goals": catalog.goals_sha256},
            settings_file="config.json",
            result_file=f"../{self.output_dir.name}/dataset_info.json",
            files={"config.json": "who acts, and where", JOURNAL_FILE: "an episode a line"},
        )
        self._held = contextlib.ExitStack()
        self._held.enter_context(self._run.claim())
        self.episodes: list[Episode] = [row_to_episode(row) for row in self._run.journal.read()]

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
            episode = playing.finish(self._policy, protocol, self._seed)
            self._run.journal.append(episode_to_row(episode))
            self.episodes.append(episode)
        return observation, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Writes the dataset, all or nothing, and closes the environment; without an episode nothing is left."""
        if self.episodes:
            with replace_folder(self.output_dir) as folder:
                episodes_to_dataset(self.episodes).save_to_disk(str(folder))
            self.episodes = []
        shutil.rmtree(self._run.path, ignore_errors=True)
        self._held.close()
        super().close()

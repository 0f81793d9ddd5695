"""The environment for Gymnasium's world: numbered actions with a mask, valid samples, recorded episodes."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import recrl  # noqa: F401  (registers the environment)
from recrl.episodes.data import load_episodes
from recrl.errors import ConfigError, DatasetError
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.wrappers import DiscreteActions, RecordEpisodes, SampleValidActions, sample_valid

ENV = "recrl/WebShop-v0"


@pytest.mark.filterwarnings("ignore:.*WARN")  # of the checker, about wrappers and infinite bounds
def test_numbered_actions_with_a_mask() -> None:
    env = DiscreteActions(gym.make(ENV))
    check_env(env, skip_render_check=True)
    observation, info = env.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = info["action_mask"]
        assert mask.sum() == min(64, len(info["valid_actions"])) == len(info["numbered_actions"])
        assert np.array_equal(mask.astype(bool), env.action_masks())
        assert not observation.reshape(64, -1)[~env.action_masks()].any()
        env.action_space.seed(int(rng.integers(1000)))
        action = env.action_space.sample(mask)
        observation, _, terminated, truncated, info = env.step(int(action))
        assert "invalid_action" not in info
        if terminated or truncated:
            observation, info = env.reset()


def test_a_masked_number_is_an_invalid_action() -> None:
    env = DiscreteActions(gym.make(ENV, max_steps=2))
    with pytest.raises(gym.error.ResetNeeded):
        env.action_masks()
    env.reset(seed=1)
    *_, truncated, info = env.step(63)
    assert "invalid_action" in info
    assert not truncated
    assert env.step(63)[3]


def test_a_page_with_more_actions_keeps_its_buttons() -> None:
    env = DiscreteActions(gym.make(ENV, split="all"), num_actions=16)
    for goal in range(40):
        _, info = env.reset(options={"goal_index": goal})
        _, _, _, _, info = env.step(0)
        link = next(index for index, name in enumerate(info["numbered_actions"]) if name.startswith("click[b0"))
        _, _, _, _, info = env.step(link)
        assert "click[buy now]" in info["numbered_actions"]
        assert len(info["numbered_actions"]) == min(16, len(info["valid_actions"]))
        buys = info["numbered_actions"].index("click[buy now]")
        assert env.step(buys)[2]
    with pytest.raises(ConfigError, match="num_actions=1"):
        DiscreteActions(gym.make(ENV), num_actions=1)
    with pytest.raises(ConfigError, match="unknown action_features"):
        DiscreteActions(gym.make(ENV), features=("colour",))


def test_samples_are_valid_in_one_environment_and_in_many() -> None:
    env = SampleValidActions(gym.make(ENV))
    env.reset(seed=3)
    env.action_space.seed(3)
    for _ in range(100):
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        assert "invalid_action" not in info
        if terminated or truncated:
            env.reset()
    envs = gym.make_vec(ENV, num_envs=3, vectorization_mode="sync")
    _, infos = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        *_, terminated, truncated, infos = envs.step(sample_valid(infos, rng))
        assert "invalid_action" not in infos
    assert sample_valid({"valid_actions": ("click[a]",)}, rng) == "click[a]"


def test_what_is_recorded_is_what_a_rollout_collects(tmp_path: Path) -> None:
    goals = list(load_catalog().split("train", "product"))[:4]
    expected = list(rollout(load_policy("matching"), load_catalog(), goals, seed=0))
    env = RecordEpisodes(gym.make(ENV, observation_mode="text"), tmp_path / "data", policy="matching")
    for goal, episode in zip(goals, expected, strict=True):
        env.reset(options={"goal_index": int(goal)})
        for step in episode.steps:
            env.step(step.action)
    env.reset(seed=0)  # an episode that does not end is not kept
    env.close()
    unknown = [replace(one, steps=tuple(replace(step, log_prob=None) for step in one.steps)) for one in expected]
    assert load_episodes(tmp_path / "data") == unknown  # who acts outside does not say how probable it was
    with pytest.raises(DatasetError, match="is there already"):
        RecordEpisodes(gym.make(ENV), tmp_path / "data", policy="matching")


def test_a_killed_recording_goes_on(tmp_path: Path) -> None:
    """What a process recorded before it was killed is in the journal, from which the next one makes the dataset."""
    code = (
        "import gymnasium as gym, os, signal; import recrl; from recrl.wrappers import RecordEpisodes\n"
        f"env = RecordEpisodes(gym.make('{ENV}', max_steps=1), {str(tmp_path / 'data')!r}, policy='hand')\n"
        "for goal in range(3):\n"
        "    _, info = env.reset(options={'goal_index': goal}); env.step(info['valid_actions'][0])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "data").exists()
    with pytest.raises(ConfigError, match="policy='hand', not 'other'"):
        RecordEpisodes(gym.make(ENV), tmp_path / "data", policy="other")
    env = RecordEpisodes(gym.make(ENV, max_steps=1), tmp_path / "data", policy="hand")
    with pytest.raises(ConfigError, match="is in use"):
        RecordEpisodes(gym.make(ENV), tmp_path / "data", policy="hand")
    _, info = env.reset(options={"goal_index": 3})
    env.step(info["valid_actions"][0])
    env.close()
    env.close()  # changes nothing
    assert [episode.goal_index for episode in load_episodes(tmp_path / "data")] == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_own_searches_are_kept_and_invalid_actions_left_out(tmp_path: Path) -> None:
    env = RecordEpisodes(gym.make(ENV), tmp_path / "data", policy="hand")
    _, info = env.reset(seed=1)
    for action in ("nonsense", "search[wool hat]"):
        *_, info = env.step(action)
    link = next(action for action in info["valid_actions"] if action.startswith("click[b0"))
    env.step(link.upper().replace("CLICK", "click"))
    env.step("click[Buy Now]")
    env.close()
    [episode] = load_episodes(tmp_path / "data")
    assert [step.action for step in episode.steps] == ["search[wool hat]", link, "click[buy now]"]
    assert [step.steps_left for step in episode.steps] == [14, 13, 12]
    assert episode.terminated


@pytest.mark.slow
def test_maskable_ppo_learns_with_the_mask() -> None:
    """sb3-contrib's MaskablePPO takes only actions of the page, and comes to buy."""
    contrib = pytest.importorskip("sb3_contrib", reason="needs the extra 'rl'")
    invalid = []

    class Watched(DiscreteActions):
        def step(self, action: Any) -> Any:
            answer = super().step(action)
            invalid.append("invalid_action" in answer[-1])
            return answer

    env = Watched(gym.make(ENV))
    model = contrib.MaskablePPO("MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=2, seed=0)
    model.learn(total_timesteps=512)
    assert len(invalid) == 512
    assert not any(invalid)
    observation, info = env.reset(seed=0)
    action, _ = model.predict(observation, action_masks=env.action_masks(), deterministic=True)
    assert info["action_mask"][int(action)]
    assert isinstance(env.unwrapped, WebShopEnv)

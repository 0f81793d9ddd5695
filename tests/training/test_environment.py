"""The mixture of wordings and step limits that PPO trains in."""

import numpy as np
import pytest

from recrl.errors import ConfigError
from recrl.policies.loading import load_policy
from recrl.training.environment import EnvironmentArguments, MixedEnvironmentArguments, MixedEnvironments


def test_every_wording_meets_every_step_limit_in_turn() -> None:
    mixture = MixedEnvironmentArguments(wordings=["template", "reworded"], step_limits=[5, 8], goal_draw="product")
    shops = MixedEnvironments(mixture, None)
    envs = [shops.make_env(number, np.random.default_rng(number)) for number in range(8)]
    assert [env.max_steps for env in envs] == [5, 8, 5, 8] * 2
    fingerprints = [env.reset()[1]["goals_sha256"] for env in envs]
    assert fingerprints == [fingerprints[0]] * 2 + [fingerprints[2]] * 2 + [fingerprints[0]] * 2 + [fingerprints[2]] * 2
    assert fingerprints[0] != fingerprints[2]


def test_alone_it_is_the_one_environment() -> None:
    assert MixedEnvironmentArguments(max_episode_steps=7).variants() == [EnvironmentArguments(max_episode_steps=7)]


def test_dev_goals_are_played_in_all_of_it() -> None:
    mixture = MixedEnvironmentArguments(wordings=["template", "reworded"], step_limits=[3, 8], num_dev_episodes=4)
    policy = load_policy("matching")
    found = MixedEnvironments(mixture, None).on_dev(policy)
    alone = [one.evaluate_on_dev(policy, one.load_task(), None) for one in mixture.variants()]
    assert found["dev/success"] == pytest.approx(np.mean([result.success_rate for result in alone]))
    assert found["dev/score"] == pytest.approx(np.mean([result.score for result in alone]))
    assert found["dev/episodes"] == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wordings": []}, r"wordings=\[\], expected one or more, each once"),
        ({"step_limits": [15, 15]}, r"step_limits=\[15, 15\], expected one or more, each once"),
        ({"step_limits": [15, 0]}, "max_episode_steps=0"),
        ({"wordings": ["template", "rhymed"]}, "rhymed"),
        ({"step_limits": [15], "max_episode_steps": 20}, r"step_limits=\[15\] beside max_episode_steps=20"),
        ({"wordings": ["template"], "wording": "reworded"}, r"wordings=\['template'\] beside wording='reworded'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixedEnvironmentArguments(**settings)  # type: ignore[arg-type]

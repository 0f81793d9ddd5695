"""Self-improvement: rounds within a budget, recorded, resumable, and that an agent that knows nothing learns to buy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import TrainingGoals, to_config
from recrl.errors import ConfigError
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import summarise
from recrl.scoring.checkpoints import load_scorer
from recrl.training import self_improvement
from recrl.training.dpo import ChoiceDPOConfig
from recrl.training.environment import EnvironmentArguments
from recrl.training.runs import training_metrics
from recrl.training.self_improvement import SelfImprovementArguments, train_self_improvement
from recrl.training.tuning import TuningArguments
from recrl.webshop.catalog import load_catalog

SHOP = EnvironmentArguments(max_episode_steps=4, num_dev_episodes=3)


def settings(output_dir: Path, **changed: Any) -> ChoiceDPOConfig:
    fields: dict[str, Any] = {
        "output_dir": str(output_dir), "num_train_epochs": 1, "per_device_train_batch_size": 8, "use_cpu": True,
        "disable_tqdm": True, "save_steps": 1, "precompute_ref_log_probs": True,
    }  # fmt: skip
    return ChoiceDPOConfig(**(fields | changed))


def arguments(scorer: Path, **changed: Any) -> SelfImprovementArguments:
    fields: dict[str, Any] = {
        "model_name_or_path": str(scorer), "num_rounds": 2, "num_episodes": 12, "rollouts_per_goal": 3,
        "pairs": ["steps"], "min_reward": 0.0,
    }  # fmt: skip
    return SelfImprovementArguments(**(fields | changed))


def test_rounds_are_played_within_the_budget_and_recorded(tiny_scorer: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_self_improvement(arguments(tiny_scorer), SHOP, TuningArguments(), settings(run))
    rounds = json.loads((run / "rounds.json").read_text())
    assert [entry["round"] for entry in rounds] == [0, 1, 2]
    assert sum(entry.get("num_episodes", 0) for entry in rounds) == 12
    played = [load_episodes(run / f"round_{number}" / "trajectories") for number in (1, 2)]
    for episodes in played:
        goals = [episode.goal_index for episode in episodes]
        assert goals == [goal for goal in dict.fromkeys(goals) for _ in range(3)]
    assert {one.goal_index for one in played[0]} != {one.goal_index for one in played[1]}
    best = max((entry for entry in rounds if entry["best"]), key=lambda entry: entry["round"])
    assert best["dev_score"] == max(entry["dev_score"] for entry in rounds)
    metrics = training_metrics(run)
    assert (metrics["method"], metrics["num_episodes"], metrics["best_round"]) == (
        "self-improvement",
        12,
        best["round"],
    )
    assert metrics["num_episodes_played"] == {"training": 12, "dev": 3 * 3}  # the start's and both rounds'
    assert metrics["protocol"] == "embedded-unseen"
    source = tiny_scorer if best["round"] == 0 else run / f"round_{best['round']}" / "dpo"
    expected = load_scorer(source)[0].state_dict()
    saved, _ = load_scorer(run)
    assert all(tensor.equal(expected[name]) for name, tensor in saved.state_dict().items())
    assert saved.config.catalog_sha256 == metrics["catalog_sha256"]
    own = to_config((TrainingGoals.of_split(load_catalog(), "train", "product"),))
    assert load_scorer(run / "round_1" / "dpo")[0].config.trained_on == [
        None,
        *own,
    ]  # what the start learned is unknown
    train_self_improvement(arguments(tiny_scorer), SHOP, TuningArguments(), settings(run))  # does not train again
    assert training_metrics(run) == metrics


def test_a_round_begins_with_the_best_so_far(
    tiny_scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round is worse than the start, the second better, the third worse again."""
    scores = iter([50.0, 40.0, 60.0, 55.0])
    result = EnvironmentArguments.evaluate_on_dev

    def scored(self: EnvironmentArguments, *args: Any) -> Result:
        played, reward = result(self, *args), next(scores) / 100
        episodes = tuple(replace(episode, reward=reward, success=False) for episode in played.episodes)
        return replace(played, episodes=episodes, **summarise(episodes))

    monkeypatch.setattr(EnvironmentArguments, "evaluate_on_dev", scored)
    run = tmp_path / "run"
    train_self_improvement(arguments(tiny_scorer, num_rounds=3, num_episodes=9), SHOP, TuningArguments(), settings(run))
    rounds = json.loads((run / "rounds.json").read_text())
    assert [entry["best"] for entry in rounds] == [True, False, True, False]
    assert [entry["start"] for entry in rounds[1:]] == [0, 0, 2]
    assert training_metrics(run)["best_round"] == 2


@pytest.mark.parametrize("broken", ["generate_trajectories", "train_dpo", "load_result"])
@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(
    tiny_scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Stopped after the second call of each kind of stage, begun again, compared with an undisturbed run."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    train_self_improvement(arguments(tiny_scorer), SHOP, TuningArguments(), settings(whole))
    calls, work = 0, getattr(self_improvement, broken)

    def stops(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        done = work(*args, **kwargs)
        if calls == 2:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patched:
        patched.setattr(self_improvement, broken, stops)
        with pytest.raises(KeyboardInterrupt):
            train_self_improvement(arguments(tiny_scorer), SHOP, TuningArguments(), settings(run))
    with pytest.raises(ConfigError, match="holds an interrupted training run with num_rounds=2, not 3"):
        train_self_improvement(
            arguments(tiny_scorer, num_rounds=3, num_episodes=9), SHOP, TuningArguments(), settings(run)
        )
    train_self_improvement(arguments(tiny_scorer), SHOP, TuningArguments(), settings(run))
    rounds = [json.loads((folder / "rounds.json").read_text()) for folder in (whole, run)]
    assert rounds[0] == rounds[1]
    one, other = (load_scorer(folder)[0].state_dict() for folder in (whole, run))
    assert all(tensor.equal(other[name]) for name, tensor in one.items())


@pytest.mark.slow
def test_an_agent_that_knows_nothing_learns_to_buy(tiny_scorer: Path, tmp_path: Path) -> None:
    """From no purchase on dev goals to the score of a rule that buys the first hit, 49, or near it."""
    train_self_improvement(
        arguments(tiny_scorer, num_rounds=1, num_episodes=120, rollouts_per_goal=6, pairs=["trajectories"],
                  min_reward=0.3),
        EnvironmentArguments(max_episode_steps=8, num_dev_episodes=30),
        TuningArguments(),
        settings(tmp_path / "run", num_train_epochs=3, learning_rate=1e-3, head_learning_rate=1e-2, save_steps=100),
    )  # fmt: skip
    before, after = json.loads((tmp_path / "run" / "rounds.json").read_text())
    assert before["dev_score"] <= 10
    assert after["dev_score"] >= 35


def test_a_round_without_pairs_is_recorded_and_the_next_one_played(tiny_scorer: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_self_improvement(
        arguments(tiny_scorer, pairs=["contrasts"], rollouts_per_goal=1, num_episodes=4), SHOP, TuningArguments(),
        settings(run),
    )  # fmt: skip
    rounds = json.loads((run / "rounds.json").read_text())
    assert [entry.get("num_pairs") for entry in rounds] == [None, 0, 0]
    assert "no preference pair is left" in rounds[1]["left_out"]
    metrics = training_metrics(run)
    assert (metrics["best_round"], metrics["start_given_back"]) == (0, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_episodes": 13}, "num_episodes=13 cannot be shared evenly by 2 rounds of goals with 3 .* ask for 12"),
        ({"num_rounds": 0}, "num_rounds=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"pairs": ["outcomes"]}, r"pairs=\['outcomes'\]: expected one or more of steps, contrasts"),
    ],
)
def test_bad_settings_are_named(tiny_scorer: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arguments(tiny_scorer, **changed)

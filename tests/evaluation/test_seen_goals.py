"""Training goals are not scored as test goals: counted exactly, refused, or said in result, table and report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import TrainedOn, TrainingGoals, merged, to_config, training_goals
from recrl.errors import DatasetError, PolicyError
from recrl.evaluation.comparison import compare
from recrl.evaluation.comparison_tables import comparison_table
from recrl.evaluation.config import ComparisonConfig, EvaluationConfig
from recrl.evaluation.measure import evaluate
from recrl.evaluation.results import aggregate_seeds, load_result, save_result
from recrl.evaluation.seen_goals import count_seen_goals
from recrl.evaluation.tables import markdown_table
from recrl.policies.loading import load_policy
from recrl.policies.scripted import RandomPolicy
from recrl.quickstart import QuickstartConfig
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.training.environment import EnvironmentArguments
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.goals import SPLIT_BY, SPLITS


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


class Trained(RandomPolicy):
    """A policy that says what it was trained on."""

    name = "trained"

    def __init__(self, trained_on: TrainedOn, catalog_sha256: str | None = None) -> None:
        self.trained_on, self.catalog_sha256 = trained_on, catalog_sha256


def test_one_default_everywhere(embedded: Catalog) -> None:
    settings = (EvaluationConfig, TrajectoryConfig, ComparisonConfig, EnvironmentArguments, QuickstartConfig)
    defaults = {one.__name__: one.__dataclass_fields__["split_by"].default for one in settings}
    assert set(defaults.values()) == {"product"}, defaults
    assert gym.make("recrl/WebShop-v0").unwrapped.split_by == "product"
    assert embedded.protocol() == embedded.protocol("product") == "embedded-unseen"
    assert list(embedded.split("test")) == list(embedded.split("test", "product"))
    assert evaluate(load_policy("rule"), embedded, num_episodes=1).protocol == "embedded-unseen"


def test_every_split_knows_its_own_goals(embedded: Catalog) -> None:
    for split_by in SPLIT_BY:
        for split in SPLITS:
            policy = Trained((TrainingGoals.of_split(embedded, split, split_by),))
            for asked in SPLITS:
                for asked_by in SPLIT_BY:
                    goals = list(embedded.split(asked, asked_by))
                    expected = len(set(goals) & set(embedded.split(split, split_by)))
                    assert count_seen_goals(policy, embedded, goals) == expected


def test_training_goals_are_refused_or_said(embedded: Catalog, tmp_path: Path) -> None:
    """The quickstart's agent, trained by product, on the test goals by goal."""
    policy = Trained((TrainingGoals.of_split(embedded, "train", "product"),), embedded.sha256)
    message = (
        r"'trained' was trained on the train split by product of embedded-unseen: 237 of the 500 goals of the test "
        r"split by goal are among its training goals\. .*--split_by product.*--allow_seen_goals"
    )
    with pytest.raises(PolicyError, match=message):
        evaluate(policy, embedded, split_by="goal")
    assert evaluate(policy, embedded, num_episodes=3, max_steps=2).num_seen_goals == 0
    few: dict[str, Any] = {"split_by": "goal", "num_episodes": 20, "max_steps": 2}
    result = evaluate(policy, embedded, **few, allow_seen_goals=True)
    assert result.num_seen_goals == len(
        set(embedded.split("train", "product")) & set(embedded.split("test", "goal")[:20])
    )
    save_result(tmp_path / "seen.json", result)
    assert load_result(tmp_path / "seen.json") == result
    table = markdown_table({"trained": result, "rule": evaluate(load_policy("rule"), embedded, **few)})
    assert f" {result.num_seen_goals} of the 20 goals are training goals of trained.\n" in table
    with pytest.raises(PolicyError, match="goals are training goals of the baseline 'trained'"):
        evaluate(load_policy("rule"), embedded, **few, baseline=result)
    assert evaluate(load_policy("rule"), embedded, **few, baseline=result, allow_seen_goals=True).comparison
    averaged = aggregate_seeds([replace(result, num_seen_goals="unknown"), replace(result, seed=1)])
    assert averaged.num_seen_goals == result.num_seen_goals


def test_what_is_not_known_is_said(embedded: Catalog, tiny_scorer: Path) -> None:
    checkpoint = evaluate(load_policy(str(tiny_scorer)), embedded, num_episodes=2, max_steps=2)
    assert checkpoint.num_seen_goals == "unknown"
    assert "is not known of scorer." in markdown_table({"scorer": checkpoint})
    assert evaluate(load_policy("rule"), embedded, num_episodes=1).num_seen_goals is None
    train = TrainingGoals.of_split(embedded, "train", "product")
    goals = embedded.split("test", "product")
    foreign = replace(train, catalog_sha256="f" * 64)
    assert count_seen_goals(Trained((train, None)), embedded, goals) == "unknown"
    assert count_seen_goals(Trained((train, foreign)), embedded, goals) == "unknown"
    assert count_seen_goals(Trained((None, train)), embedded, embedded.split("test", "goal")) == 237
    people = replace(train, human_goals=True, goals_sha256="0" * 64)
    assert count_seen_goals(Trained((people,)), embedded, goals) == "unknown"


def test_another_goal_seed_has_the_same_goals_with_other_prices(embedded: Catalog) -> None:
    policy = Trained((TrainingGoals.of_split(load_catalog(goal_seed=1), "train", "product"),))
    assert count_seen_goals(policy, embedded, embedded.split("test", "goal")) == 237


def test_another_wording_has_the_same_wishes(embedded: Catalog) -> None:
    """Whichever way round, a test goal that was trained on in the other wording was seen; held-out ones were not."""
    reworded = load_catalog(wording="reworded")
    for trained, played in ((embedded, reworded), (reworded, embedded), (reworded, reworded)):
        policy = Trained((TrainingGoals.of_split(trained, "train", "product"),), trained.sha256)
        assert count_seen_goals(policy, played, played.split("test", "goal")) == 237
        result = evaluate(policy, played, num_episodes=2, max_steps=2)
        assert (result.num_seen_goals, result.protocol) == (0, played.protocol())
        with pytest.raises(PolicyError, match=f"train split by product of {trained.protocol()}: 237 of the 500 goals"):
            evaluate(policy, played, split_by="goal")
    baseline = evaluate(load_policy("rule"), embedded, num_episodes=2)
    with pytest.raises(DatasetError, match="embedded-unseen-reworded"):
        evaluate(load_policy("rule"), reworded, num_episodes=2, baseline=baseline)


@pytest.mark.parametrize("with_summary", [True, False])
@pytest.mark.parametrize("wording", ["template", "reworded"])
def test_rows_of_another_wording_are_of_the_same_wishes(tmp_path: Path, wording: str, with_summary: bool) -> None:
    folder = tmp_path / "rows"
    config = TrajectoryConfig(
        policy="demonstrator", output_dir=str(folder), num_trajectories=3, split_by="product", wording=wording
    )
    summary = generate_trajectories(config)
    assert summary["protocol"] == "embedded-unseen" + "-reworded" * (wording == "reworded")
    rows = load_episodes(folder)
    catalogs = {name: load_catalog(wording=name) for name in ("template", "reworded")}
    assert all(row.instruction == catalogs[wording].goals[row.goal_index].instruction for row in rows)
    [goals] = training_goals(rows, folder if with_summary else None)
    assert goals is not None
    assert (goals.split_by, goals.split) == ("product", "train" if with_summary else None)
    played = [row.goal_index for row in rows]
    for catalog in catalogs.values():
        assert count_seen_goals(Trained((goals,)), catalog, played) == len(played)
        assert count_seen_goals(Trained((goals,)), catalog, catalog.split("test", "product")) == 0


def test_a_comparison_refuses_or_says_it_too(embedded: Catalog, tmp_path: Path) -> None:
    agents = [Trained((TrainingGoals.of_split(embedded, "train", "product"),)), load_policy("demonstrator")]
    fields: dict[str, Any] = {
        "policies": ("trained", "demonstrator"), "output_dir": str(tmp_path / "run"), "num_episodes": 4, "runs": 1,
        "max_steps": 5, "split_by": "goal",
    }  # fmt: skip
    with pytest.raises(PolicyError, match="237 of the 500 goals of the test split by goal"):
        compare(ComparisonConfig(**fields), policies=agents)
    assert not (tmp_path / "run").exists()
    report = compare(ComparisonConfig(**fields, allow_seen_goals=True), policies=agents)
    assert report.num_seen_goals == {"trained": 237}
    table = comparison_table(report).markdown()
    assert "| demonstrator (knows the goal) |" in table
    assert "- **knows the goal**: it is told which product is wanted" in table
    assert "237 of the 500 goals are training goals of trained." in table


def test_only_policies_that_ask_know_the_goal_and_results_say_so(embedded: Catalog) -> None:
    class Curious(RandomPolicy):
        """Looks for the environment."""

        name = "curious"

        def __init__(self) -> None:
            self.found: set[bool] = set()

        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> Any:
            self.found |= {decision.env is not None for decision in decisions}
            return super().act(decisions, rngs, greedy=greedy)

    curious = Curious()
    assert evaluate(curious, embedded, num_episodes=1, max_steps=2).knows_goal is None
    assert curious.found == {False}
    curious.knows_goal = True
    result = evaluate(curious, embedded, num_episodes=1, max_steps=2)
    assert (result.knows_goal, curious.found) == (True, {False, True})
    assert "| curious (knows the goal) |" in markdown_table({"curious": result})


def test_datasets_say_which_goals_they_hold(tmp_path: Path, embedded: Catalog) -> None:
    """By their split where the collection's summary is there, else goal by goal."""
    folder = tmp_path / "demonstrations"
    generate_trajectories(
        TrajectoryConfig(
            policy="demonstrator", output_dir=str(folder), split="dev", split_by="goal", num_trajectories=3
        )
    )
    episodes = load_episodes(folder)
    assert training_goals(episodes, folder) == (TrainingGoals.of_split(embedded, "dev", "goal"),)
    [alone] = training_goals(episodes)
    assert (alone.split, alone.split_by, alone.protocol) == (None, "goal", "embedded")
    goals = sorted({episode.goal_index for episode in episodes})
    assert alone.goal_indices == tuple(goals)
    assert count_seen_goals(Trained((alone,)), embedded, np.array([*goals, 0])) == len({*goals} | {0}) - (
        0 not in goals
    )
    assert str(alone) == f"{len(goals)} goals of embedded"
    both = merged((alone, None), (replace(alone, goal_indices=(goals[0], 10_000)), None))
    assert both == (replace(alone, goal_indices=(*goals, 10_000)), None)


def test_a_checkpoint_keeps_it(embedded: Catalog, tiny_scorer: Path, tmp_path: Path) -> None:
    model, tokenizer = load_scorer(tiny_scorer)
    made = (TrainingGoals.of_split(embedded, "train", "goal"), None)
    model.config.trained_on = to_config(made)
    save_scorer(model, tokenizer, tmp_path)
    assert load_policy(str(tmp_path)).trained_on == made
    with pytest.raises(PolicyError, match="3 of the 3 goals of the train split by goal are among its training goals"):
        evaluate(load_policy(str(tmp_path)), embedded, split="train", split_by="goal", num_episodes=3)

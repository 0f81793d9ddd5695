"""Environments of one's own: what they must give, and that everything that plays takes them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from recrl.cli import main
from recrl.environments.checking import check_environment
from recrl.environments.gym_task import GymTask
from recrl.environments.loading import load_task
from recrl.environments.webshop import WebShopTask, as_task
from recrl.episodes.data import dataset_to_episodes, episodes_to_dataset
from recrl.episodes.decisions import decision_to_row, row_to_decision
from recrl.episodes.training_goals import TrainingGoals
from recrl.errors import ConfigError, PolicyError, TaskError
from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.measure import evaluate
from recrl.evaluation.results import compare_results
from recrl.policies.base import trained_on
from recrl.policies.loading import load_policy
from recrl.preferences.builders import build_preferences
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.rollouts.pruning import prune_loops
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.pages import Page

EXAMPLES = Path(__file__).parents[2] / "examples"
GAME = "text_game:make_task"


@pytest.fixture(autouse=True)
def examples_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def task() -> GymTask:
    return load_task(GAME)  # type: ignore[return-value]


class Counting(gym.Env[str, str]):
    """Say "more" as often as the goal's number, then "enough"; every method can be made to misbehave."""

    def __init__(self, **changed: Callable[["Counting"], Any]) -> None:
        self.changed = changed

    def _value(self, name: str, usual: Any) -> Any:
        return self.changed[name](self) if name in self.changed else usual

    def _info(self) -> dict[str, Any]:
        return self._value("info", {"valid_actions": ("more", "enough"), "instruction": f"count to {self.goal}"})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.goal, self.count = (options or {"goal_index": seed or 0})["goal_index"], 0
        return self._value("observation", "0"), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.count += action == "more"
        is_over = action == "enough"
        reward = self._value("reward", float(is_over and self.count == self.goal))
        return self._value("later", str(self.count)), reward, self._value("over", is_over), False, self._info()


def test_webshop_and_the_examples_keep_to_the_protocol(task: GymTask) -> None:
    check_environment(WebShopEnv())
    check_environment(task.make())
    check_environment(task.make_env(max_steps=5))
    check_environment(Counting())
    check_environment(Counting(later=lambda env: str(env.np_random.random())))  # random, but drawn from reset's seed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"info": lambda env: {}},
            r"Counting, goal 0, after 0 steps: reset has info\['valid_actions'\]=None, expected a",
        ),
        ({"info": lambda env: {"valid_actions": "more"}}, "='more', expected a tuple of texts"),
        ({"info": lambda env: {"valid_actions": ()}}, "offers no valid action, though the episode runs"),
        ({"info": lambda env: {"valid_actions": ("more",), "invalid_action": "no"}}, r"refuses 'more' \(no\), though"),
        ({"observation": lambda env: np.zeros(3)}, "reset showed the observation array.*expected a text"),
        ({"later": lambda env: "\ud800"}, r"step showed the observation '\\ud800', expected Unicode"),
        ({"info": lambda env: {"valid_actions": ("more", "enough", "more")}}, "offers 'more' more than once"),
        (
            {"info": lambda env: {"valid_actions": ("more",)[: env.count == 0]}},
            "after 1 steps: step offers no valid action, though the episode runs",
        ),
        ({"info": lambda env: {"valid_actions": ("more",), "page": "a page"}}, "='a page', expected a recrl.webshop"),
        ({"info": lambda env: {"valid_actions": ("more",), "instruction": 5}}, "the instruction 5, expected a text"),
        ({"over": lambda env: "False"}, "gave terminated='False', expected True or False"),
        ({"reward": lambda env: float("nan")}, "step gave the reward nan, expected 0 before the end of an episode"),
        ({"reward": lambda env: "good"}, "step gave the reward 'good', expected a number"),
        (
            {"later": lambda env: {}["lost"]},
            r"after 0 steps: step raised KeyError: 'lost' \(line \d+ of test_environments.py\)",
        ),
        ({"reward": lambda env: 0.5}, "step gave the reward 0.5, expected 0 before the end of an episode"),
        ({"reward": lambda env: -1}, "step gave the reward -1, expected 0"),
        (
            {"later": lambda env: str(next(NUMBERS))},
            "differs after 1 steps: observation '.*an episode must be a function",
        ),
    ],
)
def test_what_an_environment_does_wrong_is_said(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        check_environment(Counting(**changed))


NUMBERS = iter(range(10**6))


def test_a_task_has_splits_draws_and_fingerprints(task: GymTask) -> None:
    parts = [task.split(split).tolist() for split in ("train", "dev", "test")]
    assert sorted(goal for part in parts for goal in part) == list(range(144))
    places = [{task.target(goal) for goal in part} for part in parts]
    assert sum(map(len, places)) == len(set().union(*places)) == 72
    assert list(task.split("test", "goal")) == list(range(28))
    assert task.protocol("product") == "treasure-house-unseen"
    assert task.goals_sha256 == load_task(GAME).goals_sha256
    assert GymTask("treasure-house", task.make, 144, version="2").sha256 != task.sha256
    assert GymTask("treasure-house", task.make, 143).goals_sha256 != task.goals_sha256
    assert task.chances(range(4), "uniform").tolist() == [0.25] * 4
    lopsided = GymTask("counting", Counting, 3, target=lambda goal: str(goal // 2))
    assert lopsided.chances([0, 1, 2], "product").tolist() == [0.25, 0.25, 0.5]
    with pytest.raises(
        TaskError, match="the test split by product of counting's 3 goals is empty; it needs more targets"
    ):
        lopsided.split("test")
    for name, number in (("a b", 1), ("x-unseen", 1), ("x", 0)):
        with pytest.raises(TaskError, match="expected"):
            GymTask(name, Counting, number)


def test_goals_are_drawn_and_asked_for(task: GymTask) -> None:
    env = task.make_env(max_steps=3, split="train")
    env.np_random = np.random.default_rng(0)
    drawn = {env.reset()[1]["goal_index"] for _ in range(60)}
    assert drawn <= set(task.split("train").tolist())
    assert len(drawn) > 15
    observation, info = env.reset(options={"goal_index": np.int64(7)})
    assert info["page"] == Page("text", info["instruction"], text=observation)
    assert [env.step(env.reset()[1]["valid_actions"][0])[3] for _ in range(2)] == [False, False]
    ends = [env.step("go hall")[3] for _ in range(2)]
    assert ends == [False, True]
    with pytest.raises(gym.error.ResetNeeded):
        env.step("go hall")
    for options in ({"goal_index": 144}, {"goal_index": True}, {"goal": 1}):
        with pytest.raises((TaskError, ConfigError), match="goal_index"):
            env.reset(options=options)
    with pytest.raises(ConfigError, match="query_model is for WebShop's search"):
        task.make_env(max_steps=3, queries=lambda text: [text])


def test_a_page_of_ones_own_is_kept() -> None:
    page = Page("item", "count", title="A thing")
    env = Counting(info=lambda env: {"valid_actions": ("enough",), "page": page, "reward_parts": {"r_type": 1.0}})
    [episode] = rollout(load_policy("random"), GymTask("counting", lambda: env, 1), [0], seed=0)
    assert episode.steps[0].page == page
    assert episode.reward_parts == {"r_type": 1.0}
    assert (episode.reward, episode.terminated, episode.protocol) == (1.0, True, "counting-unseen")


def test_episodes_are_collected_kept_pruned_and_paired(task: GymTask, tmp_path: Path) -> None:
    goals = np.repeat(np.arange(8), 6).tolist()
    episodes = list(rollout(load_policy("random"), task, goals, seed=1, max_steps=12))
    assert {episode.truncated for episode in episodes} == {True, False}
    assert list(dataset_to_episodes(episodes_to_dataset(episodes))) == episodes
    for decision in list(episodes[0].decisions()):
        assert row_to_decision(decision_to_row(decision)) == decision
    env = task.make_env(max_steps=12)
    pruned = [prune_loops(episode, env, "pages") for episode in episodes]
    assert sum(one.num_steps for one in pruned) < sum(one.num_steps for one in episodes)
    assert [one.reward for one in pruned] == [one.reward for one in episodes]

    def even(decisions: Any) -> list[np.ndarray]:
        return [np.full(len(decision.valid_actions), -np.log(len(decision.valid_actions))) for decision in decisions]

    made = build_preferences(pruned, even, np.random.default_rng(0), pairs=["steps", "contrasts", "trajectories"])
    assert {pair.origin for pair in made.pairs} == {"steps", "contrasts", "trajectories"}
    output = tmp_path / "data"
    config = TrajectoryConfig(
        environment=GAME, policy="text_game:Teacher", output_dir=str(output), num_trajectories=8, max_steps=5
    )
    summary = generate_trajectories(config)
    assert (summary["success_rate"], summary["protocol"]) == (100, "treasure-house-unseen")
    assert summary["config"]["environment"] == GAME


def test_it_is_evaluated_and_compared(task: GymTask, tmp_path: Path) -> None:
    from text_game import Teacher

    known, random = evaluate(Teacher(), task), evaluate(load_policy("random"), task, decoding="sample")
    assert (known.success_rate, known.mean_steps, known.num_episodes, known.num_products) == (100, 3, 56, 28)
    assert known.knows_goal
    assert compare_results(known, random).success_difference > 50
    config = ComparisonConfig(
        environment=GAME, policies=("random", "text_game:Teacher"), output_dir=str(tmp_path / "compared"),
        num_episodes=20, runs=1, allocation="uniform",
    )  # fmt: skip
    assert compare(config).protocol == "treasure-house-unseen"
    with pytest.raises(ConfigError, match="failures are explained in shops only"):
        evaluate(Teacher(), task, explain_failures=True)
    with pytest.raises(PolicyError, match="needs the hidden goal of a shop"):
        evaluate(load_policy("demonstrator"), task)


def test_training_goals_are_known(task: GymTask) -> None:
    goals = TrainingGoals.of_split(task, "train", "product")
    assert goals.indices(task).tolist() == task.split("train").tolist()  # type: ignore[union-attr]
    assert goals.indices(GymTask("treasure-house", task.make, 143)) is None
    assert trained_on(load_policy("random")) == ()


def test_a_catalogue_is_a_task() -> None:
    catalog = load_catalog()
    task = as_task(catalog)
    assert isinstance(task, WebShopTask)
    assert as_task(task) is task
    assert (task.sha256, task.goals_sha256, task.goal_seed, task.human_goals) == (
        catalog.sha256, catalog.goals_sha256, 0, False
    )  # fmt: skip
    assert task.target(3) == catalog.goals[3].asin
    assert isinstance(task.make_env(max_steps=3), WebShopEnv)
    assert list(rollout(load_policy("rule"), task, [1, 2], seed=0)) == list(
        rollout(load_policy("rule"), catalog, [1, 2], seed=0)
    )


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def test_commands_say_what_cannot_be_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = ("evaluate", "--policy", "random", "--environment")
    assert "cannot be imported: No module named 'nowhere'" in fails(capsys, *evaluated, "nowhere:make")
    assert "expected module:function" in fails(capsys, *evaluated, "text_game")
    assert "returned a TreasureHouse, which lacks sha256" in fails(capsys, *evaluated, "text_game:TreasureHouse")
    assert "expected a function" in fails(capsys, *evaluated, "text_game:ROOMS")
    assert "'text_game:Teacher' returned a Teacher, which lacks" in fails(capsys, *evaluated, "text_game:Teacher")
    (tmp_path / "bad_game.py").write_text(
        "from recrl import GymTask\nfrom test_environments import Counting\n"
        "def make(): return GymTask('counting', lambda: Counting(info=lambda env: {}), 20)\n"
        "def make_none(): return GymTask('counting', lambda: None, 20)\n"
        "def broken(): return {}['lost']\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    said = fails(capsys, *evaluated, "bad_game:make")
    assert "counting, goal 0, after 0 steps: reset has info['valid_actions']=None, expected a tuple of texts" in said
    said = fails(capsys, *evaluated, "bad_game:make_none")
    assert "counting: make returned None, expected an environment with reset and step" in said
    assert "'bad_game:broken' raised KeyError: 'lost' (line 5 of bad_game.py)" in fails(
        capsys, *evaluated, "bad_game:broken"
    )
    assert "is for WebShop, not for an environment" in fails(capsys, *evaluated, GAME, "--goal_seed", "3")
    for rule in ("matching", "reader", "planner"):
        said = fails(capsys, "evaluate", "--environment", GAME, "--policy", rule)
        assert "reads the pages of a shop, and treasure-house-unseen has none; play it with random" in said
    assert "recrl shop plays shops" in fails(capsys, "shop", "--environment", GAME)
    main([*evaluated, GAME, "--num_episodes", "4"])
    assert re.search(r"Protocol treasure-house-unseen, test split, 4 goals", capsys.readouterr().out)

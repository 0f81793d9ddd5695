"""Collecting: deterministic, pruned, and whole whatever interrupts it."""

import errno
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.data import LATER_COLUMNS, load_episodes
from recrl.errors import ConfigError, DatasetError, StorageError
from recrl.policies.base import Choice
from recrl.policies.loading import load_policy
from recrl.rollouts.collecting import TrajectoryConfig, generate_trajectories, goal_stream
from recrl.rollouts.pruning import loop_free_places, prune_loops
from recrl.rollouts.rollout import rollout
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import load_catalog
from recrl.webshop.env import WebShopEnv
from small_catalog import item, options, plain_nouns, write_catalog


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty hats with two colours each."""
    folder = tmp_path_factory.mktemp("trajectories")
    items = [
        item(f"B0HAT{number:05d}", f"Hat{number} of wool", customization_options=options(color=["red", "blue"]))
        for number in range(40)
    ]
    attributes = {
        record["asin"]: {
            "attributes": ["wool"], "instruction": f"i want hat{number}", "instruction_attributes": ["wool"]
        }
        for number, record in enumerate(items)
    }  # fmt: skip
    raw = write_catalog(folder / "raw", items=items, attributes=attributes, human={})
    return build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"})


def config(built: Path, output_dir: Path, **changed: Any) -> TrajectoryConfig:
    fields = {"policy": "random", "catalog": str(built), "num_trajectories": 6, "min_reward": 0.5, "seed": 3}
    return TrajectoryConfig(output_dir=str(output_dir), **(fields | changed))


def test_the_result_does_not_depend_on_the_batch(built: Path, tmp_path: Path) -> None:
    seen = []
    summary = generate_trajectories(config(built, tmp_path / "one", batch_size=1), progress=seen.append)
    generate_trajectories(config(built, tmp_path / "many", batch_size=9))
    one, many = load_episodes(tmp_path / "one"), load_episodes(tmp_path / "many")
    assert one == many
    assert len(one) == 6
    assert all(episode.reward >= 0.5 for episode in one)
    assert all(step.log_prob <= 0 for episode in one for step in episode.steps)
    for episode in one:
        assert episode.bought_asin is not None
        assert episode.target_asin is not None
        assert set(episode.bought_options) <= {"color"}
        for step in episode.steps:
            assert len(step.probabilities) == len(step.valid_actions)
            assert step.probabilities[step.action_index] == pytest.approx(math.exp(step.log_prob), abs=1e-6)
    assert seen[-1].kept == 6
    assert seen[-1].episodes == summary["num_episodes"]
    assert str(seen[-1]).startswith(f"6/6, 6 of {seen[-1].episodes} episodes kept, success ")
    assert not (tmp_path / "one.collecting").exists()


def test_a_finished_collection_is_not_done_again(built: Path, tmp_path: Path) -> None:
    first = generate_trajectories(config(built, tmp_path / "data"))
    assert generate_trajectories(config(built, tmp_path / "data")) == first
    with pytest.raises(ConfigError, match="holds a complete collection with seed=3, not 4"):
        generate_trajectories(config(built, tmp_path / "data", seed=4))
    (tmp_path / "something").mkdir()
    with pytest.raises(DatasetError, match="exists and holds no finished collection"):
        generate_trajectories(config(built, tmp_path / "something"))


def test_a_dataset_from_before_purchases_and_probabilities_is_read_alike(built: Path, tmp_path: Path) -> None:
    generate_trajectories(config(built, tmp_path / "data"))
    dataset = load_from_disk(str(tmp_path / "data"))
    rows = [
        {name: value for name, value in row.items() if name not in LATER_COLUMNS}
        | {"steps": [{k: v for k, v in step.items() if k not in ("probabilities", "value")} for step in row["steps"]]}
        for row in dataset
    ]
    Dataset.from_list(rows).save_to_disk(str(tmp_path / "earlier"))
    now, earlier = load_episodes(tmp_path / "data"), load_episodes(tmp_path / "earlier")
    unknown = {"target_asin": None, "bought_asin": None, "bought_options": {}}
    assert earlier == [
        replace(episode, steps=tuple(replace(step, probabilities=()) for step in episode.steps), **unknown)
        for episode in now
    ]


def test_probabilities_that_are_none_are_refused(built: Path) -> None:
    [episode] = rollout(load_policy("random"), load_catalog(built), [0], seed=0)
    step = episode.steps[0]
    for wrong in ((0.5, 0.6), (1.5,), (-0.1, 1.1)):
        with pytest.raises(DatasetError, match="expected one from 0 to 1 for each of 1 actions"):
            replace(step, probabilities=wrong)
    with pytest.raises(DatasetError, match="value=nan"):
        replace(step, value=math.nan)


CODE = """
import sys, time
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
config = TrajectoryConfig(policy="random", catalog=sys.argv[1], output_dir=sys.argv[2], num_trajectories=6,
                          min_reward=0.5, seed=3)
print("ready", flush=True)
generate_trajectories(config, progress=lambda progress: time.sleep(0.02))
"""


def test_killed_again_and_again_it_ends_like_an_uninterrupted_one(built: Path, tmp_path: Path) -> None:
    generate_trajectories(config(built, tmp_path / "whole"))
    journal = tmp_path / "cut.collecting" / "journal.jsonl"
    sizes = []
    for wanted in (3, 9):
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(built), str(tmp_path / "cut")], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= wanted:
                break
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        sizes.append(journal.read_bytes().count(b"\n"))
        with open(journal, "ab") as file:
            file.write(b'{"number": 99, "torn')
    assert not (tmp_path / "cut").exists()
    assert sizes[1] > sizes[0] >= 3
    with pytest.raises(ConfigError, match="holds an interrupted collection with seed=3, not 8"):
        generate_trajectories(config(built, tmp_path / "cut", seed=8))
    generate_trajectories(config(built, tmp_path / "cut", batch_size=2))
    assert load_episodes(tmp_path / "cut") == load_episodes(tmp_path / "whole")


def test_a_budget_that_is_spent_says_so_and_can_be_raised(built: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"only \d of 6 episodes reached min_reward=0\.5, asked for were 6"):
        generate_trajectories(config(built, tmp_path / "data", max_episodes=6))
    generate_trajectories(config(built, tmp_path / "data", max_episodes=500))
    generate_trajectories(config(built, tmp_path / "at once"))
    assert load_episodes(tmp_path / "data") == load_episodes(tmp_path / "at once")


def test_a_full_disk_is_said_and_nothing_is_lost(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def full(descriptor: int) -> None:
        if next(calls) == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            generate_trajectories(config(built, tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    generate_trajectories(config(built, tmp_path / "data"))
    generate_trajectories(config(built, tmp_path / "at once"))
    assert load_episodes(tmp_path / "data") == load_episodes(tmp_path / "at once")


def test_pruned_episodes_can_be_replayed_to_the_same_end(built: Path, tmp_path: Path) -> None:
    catalog = load_catalog(built)
    env = WebShopEnv(catalog=catalog, split="all", max_steps=60)
    shorter = 0
    goals = itertools.islice(goal_stream(catalog, "train", "goal", 0), 60)
    for episode in rollout(load_policy("random"), catalog, goals, seed=1, max_steps=60):
        pruned = prune_loops(episode, env)
        shorter += pruned.num_steps < episode.num_steps
        assert (pruned.reward, pruned.terminated) == (episode.reward, episode.terminated)
        observation, info = env.reset(options={"goal_index": episode.goal_index})
        for step in pruned.steps:
            assert (step.observation, step.valid_actions) == (observation, info["valid_actions"])
            observation, reward, *_, info = env.step(step.action)
        assert reward == episode.reward
        assert prune_loops(pruned, env) == pruned
    assert shorter > 20


def test_unpruned_episodes_are_kept_as_they_were(built: Path, tmp_path: Path) -> None:
    generate_trajectories(config(built, tmp_path / "pruned", min_reward=0.0, loops="pages"))
    generate_trajectories(config(built, tmp_path / "looking", min_reward=0.0))
    generate_trajectories(config(built, tmp_path / "whole", min_reward=0.0, prune=False))
    steps = {
        name: sum(episode.num_steps for episode in load_episodes(tmp_path / name))
        for name in ("pruned", "looking", "whole")
    }
    assert steps["pruned"] < steps["looking"] <= steps["whole"]


def test_looking_is_no_loop_unless_nothing_was_learned(built: Path) -> None:
    """Two products are opened and left twice; of what was seen before only the way back to the last one is left."""
    catalog = load_catalog(built)
    env = WebShopEnv(catalog=catalog, split="all", max_steps=60)

    class Looker:
        name, catalog_sha256 = "looker", None

        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
            [decision] = decisions
            links = [f"click[{listed.asin.lower()}]" for listed in decision.page.listing]
            ways = [None, 0, "click[< prev]", 1, "click[< prev]", 0, "click[< prev]", 1, "click[buy now]"]
            way = ways[len(decision.previous_actions)]
            action = decision.valid_actions[0] if way is None else links[way] if isinstance(way, int) else way
            return [Choice(decision.valid_actions.index(action), 0.0)]

    [episode] = rollout(Looker(), catalog, [0], seed=0, max_steps=60)
    looked = prune_loops(episode, env)
    assert [len(looked.steps), len(prune_loops(episode, env, "pages").steps)] == [5, 3]
    opened = [step.action for step in looked.steps if step.page.kind == "results"]
    assert len(set(opened)) == len(opened) == 2


@settings(deadline=None)
@given(pages=st.lists(st.integers(0, 4)))
def test_pruning_leaves_each_page_once_and_a_walkable_way(pages: list[int]) -> None:
    places = loop_free_places(pages)
    kept = [pages[place] for place in places]
    assert len(set(kept)) == len(kept)
    assert places == sorted(places)
    if pages:
        assert kept[0] == pages[0]
        assert places[-1] == len(pages) - 1
    for one, two in itertools.pairwise(places):  # what follows a kept page followed its last visit
        assert pages[one + 1] == pages[two]


def test_the_goal_stream_takes_every_goal_once_a_pass_and_can_be_entered_anywhere(built: Path) -> None:
    catalog = load_catalog(built)
    count = len(catalog.split("train", "goal"))
    stream = list(itertools.islice(goal_stream(catalog, "train", "goal", 5), 2 * count))
    assert sorted(stream[:count]) == sorted(stream[count:]) == sorted(catalog.split("train", "goal"))
    assert stream[:count] != stream[count:]
    for start in (1, count, count + 3):
        entered = goal_stream(catalog, "train", "goal", 5, start=start)
        assert list(itertools.islice(entered, 4)) == stream[start : start + 4]
    thrice = list(itertools.islice(goal_stream(catalog, "train", "goal", 5, start=1, repeats=3), 5))
    assert thrice == [stream[0], stream[0], stream[1], stream[1], stream[1]]


def test_goals_are_drawn_by_their_weights_uniformly_or_products_evenly() -> None:
    """First goals of many streams: the mean weight of those drawn by weight is E[w^2] / E[w], else E[w]; evenly drawn
    products are each as likely as another.
    """
    catalog = load_catalog()
    indices = np.asarray(catalog.split("train", "goal"))
    weights = catalog.goals.weights(indices)
    first = {
        draw: [next(goal_stream(catalog, "train", "goal", seed, draw=draw)) for seed in range(300)]
        for draw in ("weight", "uniform", "product")
    }
    means = {draw: catalog.goals.weights(np.array(goals)).mean() for draw, goals in first.items()}
    spread = 5 * weights.std() / np.sqrt(300)
    assert means["uniform"] == pytest.approx(weights.mean(), abs=spread)
    assert means["weight"] > weights.mean() + spread
    targets = Counter(catalog.goals[int(index)].asin for index in indices)
    chances = catalog.goals.chances(indices, "product")
    of_product: dict[str, float] = dict.fromkeys(targets, 0.0)
    for index, chance in zip(indices.tolist(), chances.tolist(), strict=True):
        of_product[catalog.goals[index].asin] += chance
    np.testing.assert_allclose(list(of_product.values()), 1 / len(targets))
    # By product few goals of the products with many come first.
    sizes = {draw: np.mean([targets[catalog.goals[goal].asin] for goal in goals]) for draw, goals in first.items()}
    assert sizes["product"] < sizes["uniform"]


def test_an_environment_draws_products_evenly() -> None:
    env = WebShopEnv(goal_draw="product")
    env.reset(seed=0)
    drawn = Counter(env.catalog.goals[env.reset()[1]["goal_index"]].asin for _ in range(2000))
    targets = {env.catalog.goals[int(index)].asin for index in env.goal_indices}
    expected = 2000 / len(targets)
    assert max(drawn.values()) < expected + 5 * np.sqrt(expected)
    assert len(drawn) > 0.98 * len(targets)
    with pytest.raises(ConfigError, match="expected one of weight, uniform, product"):
        WebShopEnv(goal_draw="evenly")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_trajectories": 0}, "num_trajectories=0"),
        ({"min_reward": 2}, "min_reward=2"),
        ({"max_episodes": 3}, "max_episodes=3"),
    ],
)
def test_impossible_settings_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, tmp_path / "data", **changed)


def test_the_summary_is_beside_the_dataset(built: Path, tmp_path: Path) -> None:
    generate_trajectories(config(built, tmp_path / "data", policy="demonstrator"))
    summary = json.loads((tmp_path / "data" / "trajectories.json").read_text())
    assert summary["num_trajectories"] == 6
    assert summary["config"]["policy"] == "demonstrator"
    assert (summary["success_rate"], summary["score"], summary["mean_steps"]) == (100, 100, 4)
    text = (tmp_path / "data" / "README.md").read_text()
    assert "This collection is complete.\n\n## Result\n" in text
    assert "- num_trajectories: 6\n" in text
    assert "- `trajectories.json`: settings and counts\n" in text


def test_an_episode_that_the_limit_cut_off_keeps_its_loops(built: Path) -> None:
    catalog = load_catalog(built)
    goals = list(catalog.split("train"))
    cut = [
        episode for episode in rollout(load_policy("random"), catalog, goals, seed=1, max_steps=8) if episode.truncated
    ]
    assert cut
    env = WebShopEnv(catalog=catalog, split="all", max_steps=8)
    assert all(prune_loops(episode, env) == episode for episode in cut)


class _Stop(Exception):
    """Raised by a test's progress callback in place of a kill."""


def interrupted(settings: TrajectoryConfig, episodes: int, **more: Any) -> Path:
    """Collects that many episodes, then stops; returns the journal's folder."""

    def progress(now: Any) -> None:
        if now.episodes >= episodes:
            raise _Stop

    with pytest.raises(_Stop):
        generate_trajectories(settings, progress=progress, **more)
    return Path(settings.output_dir + ".collecting")


def test_another_policy_under_the_same_name_is_not_mixed_in(built: Path, tmp_path: Path) -> None:
    folder = interrupted(config(built, tmp_path / "data"), 3)
    text = (folder / "README.md").read_text()
    assert "This collection is not complete as long as `../data/trajectories.json` is missing." in text
    with pytest.raises(ConfigError, match="policy_name='random', not 'rule'"):
        generate_trajectories(config(built, tmp_path / "data"), policy=load_policy("rule"))


def test_weights_trained_anew_in_the_same_folder_are_not_mixed_in(built: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"one")
    settings = config(built, tmp_path / "data", policy=str(checkpoint))
    interrupted(settings, 3, policy=load_policy("random"))
    (checkpoint / "model.safetensors").write_bytes(b"two")
    with pytest.raises(ConfigError, match="weights_sha256"):
        generate_trajectories(settings, policy=load_policy("random"))


@pytest.mark.parametrize("name", ["journal.jsonl", "config.json"])
def test_a_corrupt_journal_is_named(built: Path, tmp_path: Path, name: str) -> None:
    folder = interrupted(config(built, tmp_path / "data"), 3)
    with open(folder / name, "ab") as file:
        file.write(b"\0\0\0\n")
    with pytest.raises(DatasetError, match=rf"{name} is corrupt .*remove "):
        generate_trajectories(config(built, tmp_path / "data"))


def test_a_foreign_summary_and_a_left_over_journal(built: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "trajectories.json").write_text('{"x": 1}')
    with pytest.raises(DatasetError, match="holds no collection of ours"):
        generate_trajectories(config(built, tmp_path / "foreign"))
    generate_trajectories(config(built, tmp_path / "data"))
    (tmp_path / "data.collecting").mkdir()
    generate_trajectories(config(built, tmp_path / "data"))
    assert not (tmp_path / "data.collecting").exists()


@pytest.mark.parametrize("field", ["batch_size", "max_steps"])
def test_sizes_below_one_leave_nothing_behind(built: Path, tmp_path: Path, field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=0"):
        generate_trajectories(config(built, tmp_path / "data", **{field: 0}))
    assert not list(tmp_path.iterdir())


def test_the_order_of_goals_is_drawn_apart_from_the_actions(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy pads seeds with zeros, so [5, 0, 0] and an episode's [5, 0] would be one generator."""
    made = []
    original = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(original(seed).random(4)) or original(seed))
    next(goal_stream(load_catalog(built), "train", "goal", 5))
    assert made
    for number in range(3):
        assert not any((draws == original([5, number]).random(4)).all() for draws in made)


def test_a_log_keeps_every_episode_as_it_was_played(built: Path, tmp_path: Path) -> None:
    generate_trajectories(config(built, tmp_path / "log", min_reward=None, log=True))
    flags = {"min_reward": 0.0, "prune": False, "exact_probabilities": True}
    generate_trajectories(config(built, tmp_path / "flags", **flags))
    log = load_episodes(tmp_path / "log")
    assert log == load_episodes(tmp_path / "flags")
    goals = itertools.islice(goal_stream(load_catalog(built), "train", "product", 3), 6)
    played = rollout(load_policy("random"), load_catalog(built), goals, seed=3, exact_probabilities=True)
    assert log == list(played)
    steps = [step for episode in log for step in episode.steps]
    assert all(step.probabilities == (1 / len(step.valid_actions),) * len(step.valid_actions) for step in steps)
    assert any(step.probabilities[0] != round(step.probabilities[0], 6) for step in steps)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"min_reward": 1.0}, "min_reward=1.0 does not; leave out one"),
        ({"prune": True}, "prune=True does not; leave out one"),
        ({"exact_probabilities": False}, "exact_probabilities=False does not; leave out one"),
        ({"loops": "pages"}, "loops='pages' is for pruning"),
    ],
)
def test_what_contradicts_a_log_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrajectoryConfig(policy="random", output_dir=str(tmp_path), log=True, **changed)

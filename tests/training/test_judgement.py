"""The judgement learns what is perfect, says how sure it is, and ends the same however often it was interrupted."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reported import reported

from recrl.environments.fewer_products import first_targets
from recrl.environments.webshop import as_task
from recrl.errors import ConfigError
from recrl.evaluation import evaluate
from recrl.policies import load_policy
from recrl.rollouts.collecting import goal_stream
from recrl.scoring.checkpoints import load_scorer
from recrl.training.judgement import (
    JudgementArguments,
    JudgementConfig,
    judgement_loss,
    reliability,
    train_judgement,
)
from recrl.training.judgement_examples import (
    KNOWN,
    Example,
    collate,
    drawn_goals,
    fully_noted,
    random_knowledge,
    searches,
)
from recrl.training.runs import training_metrics
from recrl.webshop.catalog import load_catalog

ROOT = Path(__file__).parents[2]


def settings(output_dir: Path, **changed: Any) -> JudgementConfig:
    fields = {
        "output_dir": str(output_dir), "num_train_epochs": 12, "use_cpu": True, "disable_tqdm": True, "seed": 0,
    }  # fmt: skip
    return JudgementConfig(**(fields | changed))


def arguments(encoder: Path, **changed: Any) -> JudgementArguments:
    fields = {"model_name_or_path": str(encoder), "goals_per_product": 4, "variants": 4}
    return JudgementArguments(**(fields | changed))


@pytest.fixture(scope="module")
def trained(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_judgement(arguments(tiny_encoder), settings(tmp_path_factory.mktemp("judgement") / "run"))


@pytest.mark.slow
def test_it_learns_and_is_calibrated(trained: Path) -> None:
    metrics = training_metrics(trained)
    shares = metrics["held_out_top_choice"]["10"]
    assert list(shares) == list(KNOWN)
    assert shares["description"] >= 90  # everything is known
    assert shares["description"] > shares["features"] > shares["title"]
    assert metrics["held_out_log_loss"]["after_calibration"] <= metrics["held_out_log_loss"]["before_calibration"]
    rows = metrics["held_out_reliability"]
    total = sum(row["num_products"] for row in rows)
    assert sum(row["num_products"] * abs(row["predicted"] - row["perfect"]) for row in rows) / total < 0.02


@pytest.mark.slow
def test_the_planner_plays_by_it(trained: Path) -> None:
    catalog = load_catalog()
    policy = load_policy(f"planner:{trained}")
    assert policy.catalog_sha256 == catalog.sha256
    judged, plain = (
        evaluate(one, catalog, split="dev", split_by="product", num_episodes=60, max_steps=60)
        for one in (policy, load_policy("rule"))
    )
    assert judged.success_rate > plain.success_rate + 10


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_weights(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"save_steps": 4, "max_steps": 10}
    whole = train_judgement(arguments(tiny_encoder), settings(tmp_path / "whole", **short))

    losses = []

    def stopping(*given: torch.Tensor) -> torch.Tensor:
        losses.append(judgement_loss(*given))  # type: ignore[arg-type]
        if len(losses) == 7:
            raise KeyboardInterrupt
        return losses[-1]

    with monkeypatch.context() as patch:
        patch.setattr("recrl.training.judgement.judgement_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_judgement(arguments(tiny_encoder), settings(tmp_path / "cut", **short))
    assert [path.name for path in (tmp_path / "cut").glob("checkpoint-*")] == ["checkpoint-4"]
    cut = train_judgement(arguments(tiny_encoder), settings(tmp_path / "cut", **short))
    one, other = (load_scorer(folder)[0].state_dict() for folder in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert reported(cut) == reported(whole)


@pytest.mark.slow
def test_the_recipe_is_a_command(tiny_encoder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "recipes/judgement.py", "--config", "recipes/judgement_embedded.yaml", "--model_name_or_path",
        str(tiny_encoder), "--output_dir", str(tmp_path / "run"), "--max_steps", "2", "--variants", "1",
        "--goals_per_product", "1", "--use_cpu", "true",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert training_metrics(tmp_path / "run")["global_step"] == 2
    assert "The judgement alone" in (tmp_path / "run" / "README.md").read_text()


def test_no_test_product_is_a_target() -> None:
    catalog = load_catalog()
    goals = drawn_goals(catalog, "product", 2, np.random.default_rng(0))
    train = {catalog.goals[index].asin for index in catalog.split("train", "product")}
    found = list(searches(catalog, [catalog.goals[index] for index in goals[:50]]))
    assert {one.target for one in found} <= train
    counts = [sum(catalog.goals[index].asin == asin for index in goals) for asin in train]
    assert max(counts) == 2
    for one in found:
        assert one.perfect.shape == (len(one.products),)
        own = [place for place, product in enumerate(one.products) if product.asin == one.target]
        assert all(one.perfect[place] for place in own)


def test_few_products_are_the_same_ones_in_every_stage() -> None:
    catalog = load_catalog()
    few, more = (first_targets(as_task(catalog), "train", "product", number) for number in (3, 5))
    assert len(few) == 3
    assert few < more
    stream = goal_stream(catalog, "train", "product", 1, num_products=3, draw="product")
    assert {catalog.goals[index].asin for index in itertools.islice(stream, 200)} == few
    goals = drawn_goals(catalog, "product", 2, np.random.default_rng(0), among=few)
    assert {catalog.goals[index].asin for index in goals} == few
    with pytest.raises(ConfigError, match="num_products=9999, but the train split by product has"):
        first_targets(as_task(catalog), "train", "product", 9999)


def test_a_product_fully_noted_is_what_notes_hold_after_reading_it() -> None:
    """Against a walk through the shop."""
    from recrl.episodes.notes import Notes
    from recrl.webshop.env import WebShopEnv

    catalog = load_catalog()
    env = WebShopEnv(catalog, split="all")
    for goal_index in range(0, 100, 10):
        _, info = env.reset(options={"goal_index": goal_index})
        notes, page, goal = Notes.first(info["page"]), info["page"], catalog.goals[goal_index]
        first = None
        for step in range(6):
            if step == 0:
                action = info["valid_actions"][0]
            elif step == 1:
                first = page.listing[0]
                action = f"click[{first.asin.lower()}]"
            else:
                action = ("click[features]", "click[< prev]", "click[description]", "click[< prev]")[step - 2]
            _, _, _, _, info = env.step(action)
            notes, page = notes.after(page, action, info["page"]), info["page"]
        assert first is not None
        assert goal is env.goal
        assert notes.of(first.asin) == fully_noted(catalog.product(first.asin), 0)


def test_knowledge_is_of_whole_pages_and_of_every_kind() -> None:
    drawn = [random_knowledge(50, np.random.default_rng(seed)) for seed in range(200)]
    assert {len(levels) for levels in drawn} == {10, 20, 50}
    assert {len(random_knowledge(7, np.random.default_rng(seed))) for seed in range(20)} == {7}
    assert {level for levels in drawn for level in levels.tolist()} == set(range(len(KNOWN)))
    equal = [len(set(levels.tolist())) == 1 for levels in drawn]
    assert 0.2 < np.mean(equal) < 0.5  # a third of the searches, beside those of which nothing was looked at


def test_the_loss_is_that_of_a_plain_loop_and_padding_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    examples = [
        Example(rng.normal(size=(size, 3)).astype(np.float32), rng.random(size) < share, float(rng.random()))
        for size, share in ((1, 1.0), (4, 0.5), (10, 0.0), (3, 0.7))
    ]
    batch = collate(examples)
    logits = batch["features"].sum(-1) + 5.0 * ~batch["mask"]
    expected = 0.0
    for example in examples:
        scores = example.features.sum(1).astype(np.float64)
        signs = np.where(example.perfect, 1.0, -1.0)
        pointwise = np.log1p(np.exp(-signs * scores)).sum() / 10
        listwise = 0.0
        if example.perfect.any():
            listwise = np.log(np.exp(scores).sum()) - np.log(np.exp(scores[example.perfect]).sum())
        expected += example.weight * (0.7 * pointwise + 0.3 * listwise) / len(examples)
    found = judgement_loss(logits, batch["mask"], batch["perfect"], batch["weights"], 0.3)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_reliability_counts_every_product_once() -> None:
    chances = torch.tensor([0.0, 0.005, 0.5, 0.55, 0.999, 1.0])
    rows = reliability(torch.logit(chances), torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 1.0]))
    assert [(row["from"], row["num_products"], row["perfect"]) for row in rows] == [
        (0.0, 2, 0.0), (0.4, 2, 0.5), (0.99, 2, 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"wording": "reworded"},
        {"wordings": []},
        {"variants": 0},
        {"goals_per_product": 0},
        {"match_features": []},
        {"held_out_share": 1.0},
        {"listwise": 1.5},
    ],
)
def test_impossible_arguments_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        replace(JudgementArguments(), **changed)

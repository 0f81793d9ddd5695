"""Evaluation: every goal once, whatever the batch; comparisons on equal goals only."""

import json
from pathlib import Path
from typing import Any

import pytest

from recrl.errors import DatasetError
from recrl.evaluation import (
    aggregate_seeds,
    compare_results,
    evaluate,
    evaluate_ceiling,
    load_result,
)
from recrl.files import write_json
from recrl.policies import load_policy
from recrl.tables import markdown_table
from recrl.webshop.catalog import Catalog, load_catalog


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


def run(catalog: Catalog, policy: str, **changed: Any) -> dict[str, Any]:
    return evaluate(load_policy(policy), catalog, **({"split_by": "product", "num_episodes": 60} | changed))


def test_the_result_holds_what_the_contract_names(embedded: Catalog) -> None:
    result = run(embedded, "matching")
    assert set(result) >= {
        "protocol", "policy", "num_episodes", "num_products", "score", "success_rate", "success_per_product",
        "success_ci", "score_ci", "success_ci_wilson", "mean_steps", "truncated_rate", "reward_parts",
        "catalog_sha256", "goals_sha256", "decoding", "seed", "versions",
    }  # fmt: skip
    assert result["protocol"] == "embedded-unseen"
    assert [record["goal_index"] for record in result["episodes"]] == embedded.split("test", "product")[:60].tolist()
    assert result["success_rate"] == pytest.approx(100 * sum(record["success"] for record in result["episodes"]) / 60)
    assert result["success_ci"][0] <= result["success_rate"] <= result["success_ci"][1]
    assert 0 < result["reward_parts"]["r_option"] <= 1
    assert json.loads(json.dumps(result)) == result


def test_the_batch_does_not_matter_and_seeds_do(embedded: Catalog) -> None:
    one, many = (run(embedded, "random", batch_size=size, decoding="sample") for size in (1, 13))
    assert one == many
    assert run(embedded, "random", seed=1)["episodes"] != one["episodes"]


def test_comparisons_are_paired(embedded: Catalog) -> None:
    rule, matching = run(embedded, "rule"), run(embedded, "matching")
    comparison = compare_results(matching, rule)
    assert comparison["success_difference"] == pytest.approx(matching["success_rate"] - rule["success_rate"])
    low, high = comparison["success_difference_ci"]
    assert low <= comparison["success_difference"] <= high
    assert comparison["p_value"] < 0.01
    opposite = compare_results(rule, matching)
    assert opposite["score_difference"] == pytest.approx(-comparison["score_difference"])
    assert run(embedded, "matching", baseline=rule)["comparison"] == comparison


def test_unequal_goals_are_refused_before_anything_is_played(embedded: Catalog) -> None:
    rule = run(embedded, "rule")
    for changed in ({"num_episodes": 50}, {"split_by": "goal"}, {"split": "dev"}):
        with pytest.raises(DatasetError, match=r"compare equal goals|use the same --num_episodes"):
            run(embedded, "rule", baseline=rule, **changed)
    with pytest.raises(DatasetError, match="goals_sha256"):
        evaluate(load_policy("rule"), load_catalog(goal_seed=1), num_episodes=5, baseline=rule | {
            "protocol": load_catalog(goal_seed=1).protocol()})  # fmt: skip


def test_more_goals_than_there_are_is_an_error(embedded: Catalog) -> None:
    with pytest.raises(DatasetError, match=r"num_episodes=501, but the test split by goal of embedded holds 500"):
        run(embedded, "rule", split_by="goal", num_episodes=501)
    with pytest.raises(DatasetError, match="decoding='beam'"):
        run(embedded, "rule", decoding="beam")


def test_seeds_are_averaged_goal_by_goal(embedded: Catalog) -> None:
    results = [run(embedded, "random", seed=seed) for seed in range(3)]
    mean = aggregate_seeds(results)
    assert mean["score"] == pytest.approx(sum(result["score"] for result in results) / 3)
    assert mean["score_by_seed"] == [result["score"] for result in results]
    widths = [result["score_ci"][1] - result["score_ci"][0] for result in results]
    assert mean["score_ci"][1] - mean["score_ci"][0] < max(widths)
    with pytest.raises(DatasetError):
        aggregate_seeds([results[0], run(embedded, "random", num_episodes=30)])


def test_the_table_shows_every_policy_and_the_difference(embedded: Catalog) -> None:
    results = {"rule": run(embedded, "rule"), "matching": run(embedded, "matching")}
    results["ceiling"] = evaluate_ceiling(embedded, split_by="product", num_episodes=60, num_hits=10)
    table = markdown_table(results, baseline="rule")
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| rule", "| matching", "| ceiling"]
    assert "success against rule" in lines[0]
    assert "embedded-unseen, test split, 60 goals" in lines[-1]


def test_result_files_that_cannot_be_used_are_named(embedded: Catalog, tmp_path: Path) -> None:
    write_json(tmp_path / "good.json", run(embedded, "rule"))
    assert load_result(tmp_path / "good.json")["policy"] == "rule"
    with pytest.raises(DatasetError, match="cannot be read"):
        load_result(tmp_path / "none.json")
    write_json(tmp_path / "other.json", {"score": 1})
    with pytest.raises(DatasetError, match="it lacks catalog_sha256"):
        load_result(tmp_path / "other.json")


@pytest.mark.realdata
@pytest.mark.parametrize(("policy", "success", "score"), [("rule", 2.2, 57.3), ("matching", 57.6, 80.2)])
def test_known_figures_on_webshop_1k(webshop_dir: Path, policy: str, success: float, score: float) -> None:
    result = evaluate(load_policy(policy), load_catalog(webshop_dir))
    assert (result["protocol"], result["num_episodes"], result["num_products"]) == ("webshop-1k", 500, 146)
    assert result["success_rate"] == pytest.approx(success, abs=0.05)
    assert result["score"] == pytest.approx(score, abs=0.05)


@pytest.mark.realdata
def test_known_ceilings(webshop_dir: Path) -> None:
    catalog = load_catalog(webshop_dir)
    found = [
        round(evaluate_ceiling(catalog, split_by=split_by, num_hits=hits)["success_rate"], 1)
        for split_by in ("goal", "product")
        for hits in (10, 50)
    ]
    assert found == [90.0, 95.8, 87.7, 95.1]
    assert len(catalog.split("test", "product")) == 431

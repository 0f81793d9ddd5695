"""Evaluation: every goal once, whatever the batch; comparisons on equal goals only."""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recrl.errors import DatasetError, PolicyError, StorageError
from recrl.evaluation.measure import check_result_path, evaluate, evaluate_ceiling
from recrl.evaluation.result_types import BaselineSettings, Result
from recrl.evaluation.results import aggregate_seeds, compare_results, load_result, save_result
from recrl.evaluation.tables import comparison_lines, markdown_table, print_table, strongest_rule
from recrl.policies.loading import load_policy
from recrl.webshop.catalog import Catalog, load_catalog


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


def run(catalog: Catalog, policy: str, **changed: Any) -> Result:
    return evaluate(load_policy(policy), catalog, **({"split_by": "product", "num_episodes": 60} | changed))


def test_the_result_holds_what_the_contract_names(embedded: Catalog) -> None:
    result = run(embedded, "matching")
    assert set(result.to_json()) >= {
        "protocol", "policy", "num_episodes", "num_products", "score", "success_rate", "success_per_product",
        "success_ci", "score_ci", "success_ci_wilson", "mean_steps", "truncated_rate", "reward_parts",
        "catalog_sha256", "goals_sha256", "decoding", "seed", "versions",
    }  # fmt: skip
    assert result.protocol == "embedded-unseen"
    assert [record.goal_index for record in result.episodes] == embedded.split("test", "product")[:60].tolist()
    assert result.success_rate == pytest.approx(100 * sum(record.success for record in result.episodes) / 60)
    assert result.success_ci[0] <= result.success_rate <= result.success_ci[1]
    assert 0 < result.reward_parts["r_option"] <= 1


def test_the_batch_does_not_matter_and_seeds_do(embedded: Catalog) -> None:
    one, many = (run(embedded, "random", batch_size=size, decoding="sample") for size in (1, 13))
    assert one == many
    assert run(embedded, "random", seed=1).episodes != one.episodes


def test_comparisons_are_paired(embedded: Catalog) -> None:
    rule, matching = run(embedded, "rule"), run(embedded, "matching")
    comparison = compare_results(matching, rule)
    assert comparison.success_difference == pytest.approx(matching.success_rate - rule.success_rate)
    low, high = comparison.success_difference_ci
    assert low <= comparison.success_difference <= high
    assert comparison.p_value < 0.01
    assert comparison.p_value_products < 0.01
    assert comparison.products_better + comparison.products_worse <= rule.num_products
    assert comparison.baseline_settings == BaselineSettings(decoding="greedy", seed=0, max_steps=15)
    unchanged = compare_results(rule, rule)
    assert (unchanged.success_difference, unchanged.p_value) == (0, 1)
    assert unchanged.score_difference_ci[0] == pytest.approx(-unchanged.score_difference_ci[1])
    assert 3 < unchanged.score_difference_ci[1] < 10  # 60 goals without a difference do not rule one out
    opposite = compare_results(rule, matching)
    assert opposite.score_difference == pytest.approx(-comparison.score_difference)
    assert run(embedded, "matching", baseline=rule).comparison == comparison


def test_unequal_goals_are_refused_before_anything_is_played(embedded: Catalog) -> None:
    rule = run(embedded, "rule")
    for changed in ({"num_episodes": 50}, {"split_by": "goal"}, {"split": "dev"}):
        with pytest.raises(DatasetError, match=r"compare equal goals|use its --split and --num_episodes"):
            run(embedded, "rule", baseline=rule, **changed)
    other = load_catalog(goal_seed=1)
    with pytest.raises(DatasetError, match="goals_sha256"):
        evaluate(load_policy("rule"), other, num_episodes=5, baseline=replace(rule, protocol=other.protocol()))


def test_more_goals_than_there_are_is_an_error(embedded: Catalog) -> None:
    with pytest.raises(DatasetError, match=r"num_episodes=501, but the test split by goal of embedded holds 500"):
        run(embedded, "rule", split_by="goal", num_episodes=501)
    with pytest.raises(DatasetError, match="decoding='beam'"):
        run(embedded, "rule", decoding="beam")
    with pytest.raises(PolicyError, match="seed=-1"):
        run(embedded, "rule", seed=-1)


def test_seeds_are_averaged_goal_by_goal(embedded: Catalog) -> None:
    results = [run(embedded, "random", seed=seed) for seed in range(3)]
    mean = aggregate_seeds(results)
    assert mean.score == pytest.approx(sum(result.score for result in results) / 3)
    assert mean.score_by_seed == tuple(result.score for result in results)
    widths = [result.score_ci[1] - result.score_ci[0] for result in results]
    assert mean.score_ci[1] - mean.score_ci[0] < 3 * max(widths)
    assert mean.episodes[7].reward_by_seed == tuple(result.episodes[7].reward for result in results)
    assert mean.success_std == pytest.approx(statistics.stdev(mean.success_by_seed))
    assert mean.truncated_rate == pytest.approx(sum(result.truncated_rate for result in results) / 3)
    assert mean.episodes[7].num_steps == sum(result.episodes[7].num_steps for result in results) / 3
    assert mean.seed == (0, 1, 2)
    with pytest.raises(DatasetError, match="use its --split and --num_episodes"):
        aggregate_seeds([results[0], run(embedded, "random", num_episodes=30)])
    with pytest.raises(DatasetError, match="max_steps=15 and 9; only the seed may differ"):
        aggregate_seeds([results[0], run(embedded, "random", max_steps=9)])
    with pytest.raises(DatasetError, match="no results"):
        aggregate_seeds([])


def test_means_over_seeds_are_compared_without_counting_goals(embedded: Catalog, tmp_path: Path) -> None:
    rule = run(embedded, "rule")
    mean = aggregate_seeds([run(embedded, "random", seed=seed, baseline=rule) for seed in range(2)])
    assert mean.comparison is None
    comparison = compare_results(mean, rule)
    assert comparison.success_difference == pytest.approx(mean.success_rate - rule.success_rate)
    assert comparison.p_value is None
    assert not any("McNemar" in line for line in comparison_lines(comparison))
    nameless = replace(mean, episodes=tuple(replace(record, reward_by_seed=None) for record in mean.episodes))
    with pytest.raises(DatasetError, match="aggregate the seeds' results again"):
        compare_results(nameless, rule)
    save_result(tmp_path / "mean.json", mean)
    assert load_result(tmp_path / "mean.json") == mean


def test_the_table_shows_every_policy_and_the_difference(embedded: Catalog) -> None:
    results = {"rule": run(embedded, "rule"), "matching": run(embedded, "matching")}
    results["ceiling"] = evaluate_ceiling(embedded, split_by="product", num_episodes=60, num_hits=10)
    table = markdown_table(results, baseline="rule")
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| rule", "| matching", "| ceiling"]
    assert "success against rule" in lines[0]
    assert "embedded-unseen, test split, 60 goals" in lines[6]
    assert ", 15 steps at most, greedy decoding. Intervals: 95%" in lines[6]
    meant = [line.split("**")[1] for line in lines[8:]]
    names = ["success %", "score", "[low, high]", "success % per product", "steps", "success against rule", "ceiling"]
    assert meant == names


def test_an_agent_is_compared_with_the_strongest_rule_of_equal_steps(embedded: Catalog) -> None:
    rules = ("random", "rule", "matching", "matching-price", "reader")
    results = {name: run(embedded, name) for name in rules}
    learned = replace(run(embedded, "matching"), policy="dpo", trained_on_this_catalog=True)
    results["agent"] = learned
    assert results["reader"].success_rate >= results["matching-price"].success_rate
    assert strongest_rule(results, "agent") == "matching-price"  # the reader takes three times its steps
    assert strongest_rule(results, "matching") is None
    header, _, *rows = markdown_table(results, baseline="agent").splitlines()[: 2 + len(results)]
    assert header.endswith("| success against agent | success against matching-price |")
    assert rows[3].endswith("| - |")
    assert markdown_table({"agent": learned}, baseline="agent").splitlines()[0].endswith("| success against agent |")


def test_a_table_that_is_no_terminals_does_not_wrap(embedded: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    results = {"rule": run(embedded, "rule"), "matching-price": run(embedded, "matching-price")}
    print_table(results, baseline="rule")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["rule", "matching-price"]


def test_a_place_that_cannot_take_the_result_is_refused(tmp_path: Path) -> None:
    check_result_path(tmp_path / "new" / "folder" / "result.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match="it is a folder"):
        check_result_path(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="is no folder"):
        check_result_path(tmp_path / "file" / "result.json")


def test_a_checkpoints_settings_are_recorded(embedded: Catalog, tiny_scorer: Path) -> None:
    policy = load_policy(str(tiny_scorer), temperature=0.5, loop_guard=True)
    result = evaluate(policy, embedded, num_episodes=2, decoding="sample", max_steps=3)
    assert (result.temperature, result.loop_guard) == (0.5, True)


@pytest.mark.realdata
@pytest.mark.parametrize(("policy", "success", "score"), [("rule", 2.2, 57.3), ("matching", 57.6, 80.2)])
def test_known_figures_on_webshop_1k(webshop_dir: Path, policy: str, success: float, score: float) -> None:
    result = evaluate(load_policy(policy), load_catalog(webshop_dir), split_by="goal")
    assert (result.protocol, result.num_episodes, result.num_products) == ("webshop-1k", 500, 146)
    assert result.success_rate == pytest.approx(success, abs=0.05)
    assert result.score == pytest.approx(score, abs=0.05)


@pytest.mark.slow
@pytest.mark.realdata
def test_known_ceilings(webshop_dir: Path) -> None:
    catalog = load_catalog(webshop_dir)
    found = [
        round(evaluate_ceiling(catalog, split_by=split_by, num_hits=hits).success_rate, 1)
        for split_by in ("goal", "product")
        for hits in (10, 50)
    ]
    assert found == [90.0, 95.8, 87.7, 95.1]
    assert len(catalog.split("test", "product")) == 431

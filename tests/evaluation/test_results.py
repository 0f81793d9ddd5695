"""Result and report files: versions, round trips, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import DatasetError
from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.measure import evaluate, evaluate_ceiling
from recrl.evaluation.report import Report, load_report
from recrl.evaluation.result_types import EpisodeRecord, Result
from recrl.evaluation.results import aggregate_seeds, compare_results, load_result, save_result, summarise
from recrl.files import write_json
from recrl.policies.loading import load_policy
from recrl.seals import read_sealed_json
from recrl.webshop.catalog import load_catalog

VERSION_1 = Path(__file__).parent / "result_version_1.json"  # written before files had a version


def recorded() -> dict[str, Any]:
    return json.loads(VERSION_1.read_text(encoding="utf-8"))


def as_today(fields: dict[str, Any]) -> dict[str, Any]:
    """What a file from before versions holds, as it is written today."""
    episodes = [dict(record) for record in fields["episodes"]]
    for record in episodes:
        record["target_asin"] = record.pop("asin")
    return {"format_version": 3} | fields | {"episodes": episodes}


def write(folder: Path, value: object) -> Path:
    """A file with any JSON, NaN too."""
    path = folder / "result.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_file_from_before_versions_is_read_and_its_values_are_written_again(tmp_path: Path) -> None:
    result = load_result(VERSION_1)
    save_result(tmp_path / "new" / "result.json", result)
    written = read_sealed_json(tmp_path / "new" / "result.json")
    assert written == as_today(recorded())
    assert list(written) == ["format_version", *recorded()]
    assert load_result(tmp_path / "new" / "result.json") == result


def test_an_evaluation_today_gives_the_recorded_values() -> None:
    catalog = load_catalog()
    rule, matching = (load_policy(name) for name in ("rule", "matching"))
    baseline = evaluate(rule, catalog, split_by="product", num_episodes=4)
    found = evaluate(matching, catalog, split_by="product", num_episodes=4, baseline=baseline).to_json()
    changed: dict[str, Any] = dict.fromkeys(
        ("versions", "score_ci", "success_ci", "comparison")
    )  # intervals are others
    for record in found["episodes"]:
        played = {name: record.pop(name) for name in ("bought_asin", "bought_options", "reward_parts", "actions")}
        assert played["actions"][-1] == "click[buy now]"
        assert len(played["actions"]) == record["num_steps"]
        assert played["reward_parts"]["r_type"] == (1.0 if record["reward"] > 0 else 0.0)
        assert f"click[{played['bought_asin'].lower()}]" in played["actions"]
        assert all(f"click[{value}]" in played["actions"] for value in played["bought_options"].values())
        assert record.pop("probabilities") == [[]] * record["num_steps"]  # a rule has none
        assert record.pop("values") == [None] * record["num_steps"]
    assert found | changed == as_today(recorded()) | changed
    intervals = {name: value for name, value in found["comparison"].items() if name.endswith("_ci")}
    assert found["comparison"] == recorded()["comparison"] | intervals | {"score_difference": pytest.approx(15)}


def test_what_was_not_played_says_nothing_about_playing(tmp_path: Path) -> None:
    ceiling = evaluate_ceiling(load_catalog(), num_episodes=5, num_hits=10)
    assert set(ceiling.to_json()["episodes"][0]) == {"goal_index", "target_asin", "reward", "success"}
    assert not {"decoding", "seed", "mean_steps", "trained_on_this_catalog"} & set(ceiling.to_json())
    save_result(tmp_path / "ceiling.json", ceiling)
    assert load_result(tmp_path / "ceiling.json") == ceiling
    with pytest.raises(DatasetError, match=r"have the seeds \[None\]; expected played results of one seed each"):
        aggregate_seeds([ceiling])


def test_a_headline_is_the_result_without_episodes_and_version() -> None:
    assert load_result(VERSION_1).headline() == {
        name: value for name, value in recorded().items() if name != "episodes"
    }


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Any played result, its summary computed from its episodes."""
    names, seed = st.text(min_size=1, max_size=8), draw(st.integers(0, 9))
    records = []
    for goal_index in draw(st.sets(st.integers(0, 999), min_size=1, max_size=6)):
        reward = draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
        num_steps, truncated = draw(st.integers(1, 15)), draw(st.booleans())
        played: dict[str, Any] = {}
        if draw(st.booleans()):  # as files have it from version 3 on
            played = {
                "bought_asin": None if truncated else draw(names),
                "bought_options": draw(st.dictionaries(names, names, max_size=2)),
                "reward_parts": draw(st.dictionaries(names, st.floats(0, 1) | st.booleans(), max_size=3)),
                "actions": tuple(draw(st.lists(names, min_size=num_steps, max_size=num_steps))),
                "probabilities": ((0.25, 0.75),) * num_steps,
                "values": tuple(draw(st.lists(st.none() | st.floats(-1, 2), min_size=num_steps, max_size=num_steps))),
            }
        records.append(
            EpisodeRecord(
                goal_index=goal_index,
                target_asin=draw(names),
                reward=reward,
                success=reward == 1,
                num_steps=num_steps,
                truncated=truncated,
                **played,
            )
        )
    episodes = tuple(records)
    return Result(
        protocol=draw(names), split="test", split_by="goal", max_steps=15, catalog_sha256="c" * 64,
        goals_sha256="g" * 64, versions={"recrl": draw(names)}, policy=draw(names),
        temperature=draw(st.none() | st.floats(0.1, 2)), loop_guard=draw(st.none() | st.booleans()),
        query_model=draw(st.none() | names), decoding="sample", seed=seed,
        **summarise(episodes),
        mean_steps=sum(record.num_steps or 0 for record in episodes) / len(episodes),
        truncated_rate=100 * sum(record.truncated or 0 for record in episodes) / len(episodes),
        reward_parts=draw(st.dictionaries(names, st.floats(0, 1), max_size=3)),
        trained_on_this_catalog=draw(st.none() | st.booleans()),
        episodes=episodes,
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(result=results(), compared=st.booleans(), averaged=st.booleans())
def test_a_result_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, result: Result, compared: bool, averaged: bool
) -> None:
    if averaged:
        result = aggregate_seeds([result, replace(result, seed=10)])
    if compared:
        result = replace(result, comparison=compare_results(result, result))
    path = tmp_path_factory.mktemp("results") / "result.json"
    save_result(path, result)
    assert load_result(path) == result


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"success_ci": ...}, "is no result of .* it lacks success_ci; evaluate again"),
        ({"decoding": ...}, "max_steps=15 lacks decoding"),
        ({"max_steps": None}, "max_steps is null, as of a ceiling, which has no decoding, seed"),
        ({"success_ci": [1.0]}, r"success_ci is \[1.0\], expected a list of 2"),
        ({"success_ci": [60.0, 10.0]}, "expected two numbers from 0 to 100 that ascend"),
        ({"score_ci": [0.0, 101.0]}, "expected two numbers from 0 to 100 that ascend"),
        ({"score_ci": [0.0, "1"]}, r"score_ci\[1\] is '1', expected a number"),
        ({"score": "high"}, "score is 'high', expected a number"),
        ({"score": True}, "score is True, expected a number"),
        ({"score": math.nan}, "it holds NaN, which is no JSON number"),
        ({"score": -math.inf}, "it holds -Infinity, which is no JSON number"),
        ({"score": 10**400}, "score is 1000.*, expected a number"),
        ({"num_episodes": 4.0}, "num_episodes is 4.0, expected a whole number"),
        ({"versions": ["0.1"]}, "versions is .*, expected an object"),
        ({"versions": {"recrl": 1}}, "versions.recrl is 1, expected a text"),
        ({"seed": "0"}, "seed is '0', expected a whole number or null"),
        ({"seed": [0, None]}, r"seed\[1\] is None, expected a whole number"),
        ({"episodes": 5}, "episodes is 5, expected a list"),
        ({"episodes": []}, "episodes is empty"),
        ({"episodes": ["one"]}, r"episodes\[0\] is 'one', expected an object"),
        ({"comparison": {"baseline": "rule"}}, "comparison lacks baseline_settings"),
        ({"note": "mine"}, "has the unknown fields note"),
        ({"num_episodes": 5}, "num_episodes=5 contradicts the episodes, which give 4"),
        ({"num_products": 3}, "num_products=3 contradicts the episodes, which give 4"),
        ({"success_rate": 99.0}, "success_rate=99.0 contradicts the episodes, which give"),
        ({"score": 99.0}, "score=99.0 contradicts the episodes, which give"),
        ({"mean_steps": 14.0}, "mean_steps=14.0 contradicts the episodes, which give"),
        ({"truncated_rate": 50.0}, "truncated_rate=50.0 contradicts the episodes, which give 0.0"),
        ({"format_version": 4}, "format_version=4, this recrl reads 1 to 3; update recrl, or evaluate again"),
        ({"format_version": "2"}, "format_version='2', expected 1 to 3"),
    ],
)
def test_a_damaged_result_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    fields = recorded() | changed
    path = write(tmp_path, {name: value for name, value in fields.items() if value is not ...})
    with pytest.raises(DatasetError, match=message) as raised:
        load_result(path)
    assert str(path) in str(raised.value)
    assert "again with --output_json" in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reward": None}, r"episodes\[3\].reward is None, expected a number"),
        ({"reward": math.nan}, "it holds NaN"),
        ({"reward": 57}, r"episodes\[3\]: reward=57 and success=False, expected 0 to 1"),
        ({"reward": 0.5, "success": True}, r"episodes\[3\]: success=True contradicts reward=0.5"),
        ({"reward": 1.0, "success": False}, r"episodes\[3\]: success=False contradicts reward=1.0"),
        ({"success": "no"}, r"episodes\[3\].success is 'no', expected true or false or a number"),
        ({"goal_index": True}, r"episodes\[3\].goal_index is True, expected a whole number"),
        ({"goal_index": -1}, r"episodes\[3\]: goal_index=-1"),
        ({"goal_index": ...}, r"episodes\[3\] lacks goal_index"),
        ({"asin": 7}, r"episodes\[3\].target_asin is 7, expected a text"),
        ({"asin": ...}, r"episodes\[3\] lacks target_asin"),
        ({"bought_asin": "B1"}, r"episodes\[3\]: bought_asin without actions"),
        ({"actions": ["click[buy now]"]}, r"episodes\[3\]: 1 actions contradict num_steps="),
        (
            {"num_steps": 1, "actions": ["click[buy now]"], "truncated": True, "bought_asin": "B1"},
            r"bought_asin='B1' contradicts truncated=True",
        ),
        (
            {"num_steps": 1, "actions": ["a"], "bought_asin": "B1", "values": []},
            "values of 0 steps, expected 1, as act",
        ),
        ({"actions": "search"}, r"episodes\[3\].actions is 'search', expected a list"),
        ({"num_steps": -2}, r"episodes\[3\]: num_steps=-2"),
        ({"num_steps": ...}, r"episodes\[3\]: num_steps=None, truncated=False; expected both or neither"),
        ({"num_steps": ..., "truncated": ...}, r"episodes\[3\] has num_steps=None, but max_steps=15"),
        ({"steps": 3}, r"episodes\[3\] has the unknown fields steps"),
    ],
)
def test_a_damaged_episode_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    fields = recorded()
    record = fields["episodes"][3] | {"reward": 0.5, "success": False} | changed
    fields["episodes"][3] = {name: value for name, value in record.items() if value is not ...}
    with pytest.raises(DatasetError, match=message):
        load_result(write(tmp_path, fields))


def test_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file; expected a result of `recrl evaluate --output_json`"):
        load_result(tmp_path / "none.json")
    with pytest.raises(DatasetError, match=r"is no result of .* it lacks catalog_sha256"):
        load_result(write(tmp_path, {"score": 1}))
    with pytest.raises(DatasetError, match=r"it holds \[1, 2\], expected an object"):
        load_result(write(tmp_path, [1, 2]))
    for content in (b"\xff\xfe\x00", b'{"score": 1', b"[" * 100_000):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(DatasetError, match="cannot be read as a result"):
            load_result(tmp_path / "broken.json")


def test_values_are_checked_when_they_are_born() -> None:
    result = load_result(VERSION_1)
    with pytest.raises(DatasetError, match="reward=nan"):
        replace(result.episodes[0], reward=math.nan)
    with pytest.raises(DatasetError, match="contradicts the episodes"):
        replace(result, score=0.0)


def test_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"loss": math.nan})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return compare(
        ComparisonConfig(
            policies=("rule", "matching"), output_dir=str(tmp_path_factory.mktemp("compared") / "run"), runs=2,
            num_episodes=40, allocation="uniform",
        )
    )  # fmt: skip


def test_a_report_comes_back_from_its_file(report: Report) -> None:
    path = Path(report.config["output_dir"]) / "report.json"
    assert load_report(path) == report
    written = read_sealed_json(path)
    assert written["format_version"] == 3
    assert "query_model" not in written
    del written["format_version"]  # as it was before there were versions
    path.with_name("earlier.json").write_text(json.dumps(written))
    assert load_report(path.with_name("earlier.json")) == report


def test_one_episode_has_an_estimate_and_an_interval_of_everything(tmp_path: Path) -> None:
    found = compare(ComparisonConfig(policies=("rule", "random"), output_dir=str(tmp_path), num_episodes=1, runs=1))
    assert all(agent.success_ci[1] - agent.success_ci[0] > 95 for agent in found.all_runs)
    assert sorted(agent.pulls for agent in found.all_runs) == [0, 1]
    assert load_report(tmp_path / "report.json") == found


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda fields: fields.pop("runs"), "is no report of `recrl compare`: it lacks runs; run the comparison again"),
        (lambda fields: fields["runs"][1].update(num_episodes=41), r"runs\[1\]: num_episodes=41 contradicts pulls"),
        (lambda fields: fields["runs"][0]["pulls"].pop(), r"runs\[0\]: num_episodes=40 contradicts pulls"),
        (lambda fields: fields["runs"][0]["probability_best"].pop(), r"runs\[0\]: probability_best has 1 entries"),
        (lambda fields: fields["runs"][0]["running"][0]["score"].pop(), r"runs\[0\]: 'rule' played 20 episodes"),
        (lambda fields: fields["runs"][0]["probability_best_by_round"][1].pop(), r"by_round\[1\] has 1 entries"),
        (lambda fields: fields["all_runs"][1].update(pulls=7), r"all_runs\[1\].pulls=7 contradicts the runs"),
        (lambda fields: fields["all_runs"].reverse(), "all_runs is of matching, rule, expected rule, matching"),
        (
            lambda fields: fields["all_runs"][0].update(score=None),
            r"all_runs\[0\]: 'rule' played 40 episodes, but has no score",
        ),
        (lambda fields: fields["paired"][0].update(products_better=0.5), r"paired\[0\].products_better is 0.5"),
        (lambda fields: fields.update(num_goals=math.nan), "it holds NaN"),
        (lambda fields: fields.update(format_version=9), "format_version=9, this recrl reads 1 to 3"),
    ],
)
def test_a_damaged_report_is_named(report: Report, tmp_path: Path, damage: Any, message: str) -> None:
    fields = report.to_json()
    damage(fields)
    with pytest.raises(DatasetError, match=message):
        load_report(write(tmp_path, fields))

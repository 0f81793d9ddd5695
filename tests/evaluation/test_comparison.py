"""Comparing agents: allotment, resuming, reports; and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recrl.errors import ConfigError, DatasetError, PolicyError
from recrl.evaluation.comparison import compare, equal_weights
from recrl.evaluation.comparison_plots import draw_comparison
from recrl.evaluation.comparison_tables import comparison_table
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.measure import evaluate
from recrl.evaluation.report import load_report
from recrl.policies.loading import load_policy
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.webshop.catalog import load_catalog

AGENTS = ("rule", "matching", "random")


def config(folder: Path, **changed: Any) -> ComparisonConfig:
    fields: dict[str, Any] = {"policies": AGENTS, "output_dir": str(folder), "num_episodes": 120, "runs": 2}
    return ComparisonConfig(**(fields | changed))


def test_the_better_agent_gets_the_episodes(tmp_path: Path) -> None:
    report = compare(config(tmp_path / "run", num_episodes=200))
    for run in report.runs:
        assert sum(run.pulls) == run.num_episodes == 200
        assert run.pulls[1] == max(run.pulls) > 100
        assert run.probability_best[1] > 0.99
        assert run.posterior_alpha[0] + run.posterior_beta[0] == 2 + run.pulls[0]
        assert tuple(len(one.success) for one in run.running) == run.pulls
    matching = report.all_runs[1]
    assert matching.success_ci[0] < matching.success < matching.success_ci[1]
    catalog = load_catalog(None)
    truth = evaluate(load_policy("matching"), catalog).success_rate
    assert matching.success_ci[0] < truth < matching.success_ci[1]


def test_the_result_follows_from_the_seed_whatever_the_batch(tmp_path: Path) -> None:
    one = compare(config(tmp_path / "one", batch_size=1))
    two = compare(config(tmp_path / "two", batch_size=32))
    other = compare(config(tmp_path / "other", seed=1))
    assert replace(one, config={}) == replace(two, config={})
    assert one.runs != other.runs


def test_uniform_allotment_plays_the_same_goals_and_compares_them_in_pairs(tmp_path: Path) -> None:
    report = compare(config(tmp_path / "run", allocation="uniform", num_episodes=300))
    assert all(run.pulls == (100, 100, 100) for run in report.runs)
    rounds = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert all(one["goals"][0::3] == one["goals"][1::3] == one["goals"][2::3] for one in rounds)
    matching, random = report.paired
    assert matching.success_difference_ci[0] > 0
    assert matching.products_better > 10 * matching.products_worse
    assert random.score_difference < 0
    for entry in report.all_runs:  # uniform: the plain mean is unbiased, and the estimate is near it
        assert entry.success == pytest.approx(entry.success_running_mean, abs=4)


def test_the_score_can_be_the_objective(tmp_path: Path) -> None:
    """Rule and random never succeed, but rule scores."""
    report = compare(config(tmp_path / "run", policies=("rule", "random"), objective="score"))
    for run in report.runs:
        assert run.probability_best[0] > 0.9
        assert run.posterior_alpha[0] > 10
    assert report.all_runs[0].score_ci[0] > report.all_runs[1].score_ci[1]


def test_a_run_stops_when_the_best_is_sure(tmp_path: Path) -> None:
    report = compare(config(tmp_path / "run", num_episodes=400, stop_at_probability=0.95))
    for run in report.runs:
        assert run.num_episodes < 400
        assert max(run.probability_best) >= 0.95


def test_more_runs_can_be_added(tmp_path: Path) -> None:
    two = compare(config(tmp_path / "run"))
    three = compare(config(tmp_path / "run", runs=3))
    assert three.runs[:2] == two.runs
    assert len(three.runs) == 3
    assert replace(compare(config(tmp_path / "run")), config={}) == replace(two, config={})  # fewer count fewer rounds


def test_an_agent_without_episodes_was_not_played(tmp_path: Path) -> None:
    report = compare(config(tmp_path / "run", policies=("rule", "random"), num_episodes=1, runs=1))
    [played, other] = sorted(report.all_runs, key=lambda agent: -agent.pulls)
    assert (other.success, other.success_raw, other.success_ci) == (None, None, (0, 100))
    assert played.success_ci[0] <= played.success <= played.success_ci[1] < 100
    assert comparison_table(report).csv().count("not played") == 2
    assert "NaN" not in (tmp_path / "run" / "report.json").read_text()


@pytest.mark.slow
def test_a_killed_comparison_goes_on(tmp_path: Path) -> None:
    arguments = ["--policies", *AGENTS, "--num_episodes", "3000", "--runs", "1", "--no_plots", "--round_size", "20"]
    command = [sys.executable, "-m", "recrl", "compare", *arguments, "--decoding", "sample"]
    process = subprocess.Popen([*command, "--output_dir", str(tmp_path / "cut")], stderr=subprocess.DEVNULL)
    journal, deadline = tmp_path / "cut" / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size > 3000):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    played = journal.read_bytes()
    journal.write_bytes(played + b'{"run": 0, "num')  # as if the kill had come within a line
    whole = subprocess.run([*command, "--output_dir", str(tmp_path / "whole")], capture_output=True, check=True)
    rest = subprocess.run([*command, "--output_dir", str(tmp_path / "cut")], capture_output=True, check=True)
    assert journal.read_bytes().startswith(played[: played.rfind(b"\n") + 1])
    assert journal.read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()
    assert rest.stdout == whole.stdout


def test_agents_of_equal_weights_are_said_to_be_one(tmp_path: Path, tiny_scorer: Path) -> None:
    """The value head chooses no action, so that a run that trained it alone is the same agent."""
    model, tokenizer = load_scorer(tiny_scorer)
    with torch.no_grad():
        model.value_head[2].bias += 1
        save_scorer(model, tokenizer, tmp_path / "same")
        model.linear_2.bias += 1
        save_scorer(model, tokenizer, tmp_path / "other")
    policies = (str(tiny_scorer), "random", str(tmp_path / "same"), str(tmp_path / "other"))
    report = compare(config(tmp_path / "run", policies=policies, num_episodes=4, round_size=4, runs=1))
    assert report.equal_agents() == [(str(tiny_scorer), str(tmp_path / "same"))]
    said = f"{tiny_scorer}, {tmp_path / 'same'} have equal weights: they are one agent, and differ by chance alone"
    assert all(said in comparison_table(report).render(form) for form in ("md", "json"))
    assert load_report(tmp_path / "run" / "report.json") == report


def test_tables_and_pictures(tmp_path: Path) -> None:
    report = compare(config(tmp_path / "run"))
    table = comparison_table(report).markdown()
    assert [line.split(" | ")[0] for line in table.splitlines()[2:5]] == ["| rule", "| matching", "| random"]
    assert "valid under adaptive allotment and stopping; the running mean is not" in table
    assert "did so partly by luck" in table
    assert table.strip() in (tmp_path / "run" / "README.md").read_text()
    assert comparison_table(report).csv().startswith("agent,episodes,success %,success % low,success % high")
    latex = comparison_table(report).latex()
    assert latex.count(r"\\") == 4
    assert r"success \% [95\% CI]" in latex
    written = draw_comparison(report, tmp_path)
    assert [path.name for path in written] == ["comparison.png", "comparison.svg"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_text().count('id="axes_') == 2 * 3  # a row per run: score, success, who is best


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"policies": ("rule",)}, "expected at least two, each once"),
        ({"policies": ("rule", "rule")}, "expected at least two, each once"),
        ({"num_episodes": 0}, "num_episodes=0, expected at least 1"),
        ({"allocation": "uniform", "num_episodes": 100}, "cannot be shared evenly by 3 agents; ask for 99"),
        ({"allocation": "ucb"}, "allocation='ucb', expected one of thompson, uniform"),
        ({"exploration": 2.0}, "a share from 0 to 1"),
        ({"stop_at_probability": 0.2}, "more than 0.5"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        config(tmp_path, **changed)


def test_bad_agents_and_folders_are_named(tmp_path: Path, tiny_scorer: Path) -> None:
    with pytest.raises(PolicyError, match="unknown policy 'machting'; did you mean 'matching'"):
        compare(config(tmp_path / "run", policies=("rule", "machting")))
    assert not (tmp_path / "run").exists()

    class Other:
        name, catalog_sha256 = "other", "f" * 64

        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> Any:
            raise AssertionError

    with pytest.raises(PolicyError, match=r"'b' was trained on the catalogue ffffffffffff, this is .*--allow_other"):
        compare(config(tmp_path / "run", policies=("a", "b")), policies=[load_policy("rule"), Other()])
    compare(config(tmp_path / "run", num_episodes=20, runs=1))
    with pytest.raises(ConfigError, match="holds a complete comparison with seed=0, not 7"):
        compare(config(tmp_path / "run", num_episodes=20, runs=1, seed=7))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(ConfigError, match="is not empty and holds no comparison"):
        compare(config(tmp_path / "full"))
    (tmp_path / "run" / "journal.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match="is corrupt"):
        compare(config(tmp_path / "run", num_episodes=20, runs=1))


def test_equal_weights_are_found(tmp_path: Path) -> None:
    for name, content in (("start", b"1"), ("ppo", b"1"), ("dpo", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    start, ppo, dpo = (str(tmp_path / name) for name in ("start", "ppo", "dpo"))
    assert equal_weights(["matching", start, dpo, ppo]) == [(start, ppo)]
    assert equal_weights(["matching", dpo]) == []

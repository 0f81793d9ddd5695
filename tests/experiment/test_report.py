"""The report, from constructed results: means over seeds, both paired differences, curves."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from experiment_results import found, wins

from recrl.errors import ConfigError
from recrl.evaluation.failure_types import KINDS, Failure, Failures
from recrl.evaluation.results import compare_results
from recrl.experiment.curves import Point, curve_table, draw_curves, read_curve
from recrl.experiment.report import BEGIN, END, ArmCost, Report, arm_table, failure_kinds_table, write_report
from recrl.experiment.rows import Cost, Found, comparable

FIELDS = {
    "protocol", "split", "steps", "wording", "arm", "seed", "success_rate", "score", "success_ci", "mean_steps",
    "num_episodes", "num_products", "kept_trajectories", "played_episodes", "minutes", "commit", "catalog_sha256",
    "goals_sha256",
}  # fmt: skip


FOUND = [
    found("rule", wins(2), steps=3),
    found("matching", wins(6), steps=4),
    found("reader", wins(9), steps=14),
    found("50-hit-ceiling", wins(12), steps=None),
    found("reading-imitation", wins(7), seed=0),
    found("reading-imitation", wins(8), seed=1),
    found("ppo", wins(8), seed=0),
    found("ppo", wins(10), seed=1),
    found("ablation-without-notes", wins(3), seed=0),
]


def test_the_table_has_both_differences_and_means_over_seeds() -> None:
    [table] = comparable(FOUND)
    names = ["rule", "matching", "reader", "reading-imitation", "ppo", "50-hit-ceiling", "ablation-without-notes"]
    assert [row[0] for row in arm_table(table).rows] == names
    cells = {row[0]: [str(cell) for cell in row] for row in arm_table(table).rows}
    assert cells["ppo"][1] == "2"
    assert cells["ppo"][2].startswith("75.0 [")
    against = compare_results(table.results["ppo"], table.results["reading-imitation"])
    assert against.success_difference == pytest.approx(12.5)
    assert cells["ppo"][6].startswith("+12.5 [")
    assert cells["ppo"][6].endswith("(reading-imitation)")
    assert cells["ppo"][7].startswith("+25.0 [")  # the reader is stronger, but takes 9 steps more
    assert cells["ppo"][7].endswith("(matching)")
    assert cells["matching"][1] == cells["matching"][6] == cells["matching"][7] == ""
    assert cells["50-hit-ceiling"][5] == ""
    assert cells["ablation-without-notes"][6].endswith("(reading-imitation)")


def test_differences_pair_the_seeds_that_both_have() -> None:
    later = [one for one in FOUND if (one.row.arm, one.row.seed) != ("ppo", 0)]
    [table] = comparable(later)
    assert [str(row[6])[:5] for row in arm_table(table).rows if row[0] == "ppo"] == ["+16.7"]  # 10 against 8 of 12
    assert [str(row[2])[:4] for row in arm_table(table).rows if row[0] == "reading-imitation"] == [
        "62.5"
    ]  # both seeds'


def explained(one: Found, kinds: Sequence[str]) -> Found:
    """With reasons for its failures, in the order of its goals."""
    failed = [record for record in one.result.episodes if not record.success]
    failures = [
        Failure(
            goal_index=record.goal_index, target_asin=record.target_asin, instruction="shoes", kind=kind,
            reward=record.reward, bought=None, perfect=None, actions=("search[shoes]",),
        )
        for record, kind in zip(failed, kinds, strict=True)
    ]  # fmt: skip
    return replace(one, result=replace(one.result, failures=Failures.of(failures)))


def test_why_episodes_fail_is_said_of_arms_that_know_it_for_every_seed() -> None:
    known = [
        explained(found("ppo", wins(10), seed=0), ["looped", "looped"]),
        explained(found("ppo", wins(11), seed=1), ["still_looking"]),
        explained(found("reading-imitation", wins(11), seed=0), ["looped"]),
        found("reading-imitation", wins(11), seed=1),
        explained(found("rule", wins(11), steps=3), ["looped"]),
    ]
    table = failure_kinds_table(comparable(known))
    assert table is not None
    [row] = table.rows
    shares = dict(zip(table.header, map(str, row), strict=True))
    assert (shares["arm"], shares["step limit"]) == ("ppo", "15")
    assert shares[KINDS["looped"]] == "8.3"  # 2 of 24
    assert shares[KINDS["still_looking"]] == "4.2"
    assert shares["all failures"] == "12.5"
    assert failure_kinds_table(comparable(FOUND)) is None


def test_the_table_is_in_every_protocol_apart() -> None:
    goal = found("rule", wins(1), steps=3)
    other = replace(goal, row=replace(goal.row, protocol="embedded"))
    assert [(table.protocol, list(table.results)) for table in comparable([FOUND[0], other])] == [
        ("embedded-unseen", ["rule"]), ("embedded", ["rule"]),
    ]  # fmt: skip


CURVES = {"embedded-unseen": {0: [Point(0, 0.0, 50.0), Point(5, 2.0, 60.0)], 1: [Point(5, 4.0, 70.0)]}}
REPORT = Report(
    FOUND,
    [ArmCost("embedded-unseen", "ppo", 2, Cost(0, 300, 4.25), Cost(400, 900, None))],
    CURVES,
    ["product/seed_1/x"],
)


def test_rows_have_their_fields_and_pages_their_parts(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["missing"] == ["product/seed_1/x"]
    assert len(content["rows"]) == len(FOUND)
    assert all(set(row) == FIELDS for row in content["rows"])
    page = (tmp_path / "results.md").read_text()
    assert page.startswith("Not complete: 1 stages are missing (`product/seed_1/x`).")
    assert "### embedded-unseen, 15 steps" in page
    assert "| embedded-unseen | ppo | 2 | 4.2 | not known | 400 | 900 |" in page
    assert "![Dev success of PPO](ppo_embedded-unseen.png)" in page
    assert "| 0 | 0.0 | 50.0 | 50.0 |  |\n| 5 | 3.0 | 65.0 | 60.0 | 70.0 |" in page
    assert (tmp_path / "ppo_embedded-unseen.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_of_docs_keeps_what_is_around_the_report(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nTables by hand.\n")
    with pytest.raises(
        ConfigError, match=r"results.md has no place for the report; put the two lines '<!-- experiment"
    ):
        write_report(REPORT, tmp_path, pictures="results", between_marks=True)
    assert page.read_text() == "# Results\n\nTables by hand.\n"
    assert not (tmp_path / "results.json").exists()
    page.write_text(f"# Results\n\n{BEGIN}\nold tables\n{END}\n\nTables by hand.\n")
    for _ in range(2):
        write_report(REPORT, tmp_path, pictures="results", between_marks=True)
        text = page.read_text()
        assert text.startswith(f"# Results\n\n{BEGIN}\nNot complete")
        assert text.endswith(f"\n{END}\n\nTables by hand.\n")
        assert "old tables" not in text
        assert "(results/ppo_embedded-unseen.png)" in text
    assert (tmp_path / "results" / "ppo_embedded-unseen.png").exists()
    page.unlink()
    write_report(REPORT, tmp_path, pictures="results", between_marks=True)
    assert page.read_text().startswith(f"# Results\n\n{BEGIN}\n")


def test_a_curve_begins_with_the_start(tmp_path: Path) -> None:
    log = [
        {"update": 1, "train/minutes": 0.5},
        {"update": 2, "train/minutes": 1.5, "dev/success": 40.0},
    ]
    metrics = {"start_on_dev": {"dev/success": 30.0, "dev/score": 50.0}, "log_history": log}
    (tmp_path / "training_metrics.json").write_text(json.dumps(metrics))
    assert read_curve(tmp_path) == [Point(0, 0.0, 30.0), Point(2, 1.5, 40.0)]
    (tmp_path / "training_metrics.json").write_text(json.dumps(metrics | {"start_on_dev": {}}))
    assert read_curve(tmp_path) == [Point(2, 1.5, 40.0)]
    shown = curve_table({3: read_curve(tmp_path)}).csv()
    assert shown == "update,minutes,dev success %,seed 3\n2,1.5,40.0,40.0\n"
    draw_curves({3: read_curve(tmp_path)}, tmp_path / "a" / "b.png", title="x")
    assert (tmp_path / "a" / "b.png").exists()

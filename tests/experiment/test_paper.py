"""The experiment, tiny: from end to end and again, interrupted and gone on with, within a budget, and its docs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from launching import launch

from recrl.errors import CatalogError, ConfigError
from recrl.experiment.config import PaperConfig
from recrl.experiment.paper import run_paper, write_docs
from recrl.experiment.report import BEGIN
from recrl.scoring.inputs import PLAIN_FEATURES, READING_FEATURES

ROOT = Path(__file__).parents[2]
FEW = ["rule", "planner-judged", "reading-imitation", "ablation-without-notes", "efficiency-2", "page-1-ceiling"]


def tiny(folder: Path, **settings: Any) -> PaperConfig:
    defaults: dict[str, Any] = {"arms": FEW, "seeds": [0], "wordings": ["template"]}
    return PaperConfig(output_dir=str(folder), tiny=True, **(defaults | settings))


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows without what every run has of its own."""
    rows = json.loads((folder / "results.json").read_text())["rows"]
    return [row | {"minutes": 0, "commit": ""} for row in rows]


class StopAt:
    """Interrupts when a stage is about to be made."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __call__(self, text: str) -> None:
        if self.stage in text:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_own_play_learns_from_the_episodes_of_all_rounds(tmp_path: Path) -> None:
    assert run_paper(tiny(tmp_path, arms=["untrained", "own-play", "own-play-ppo"])) == []
    kept = {row["arm"]: row["kept_trajectories"] for row in rows_of(tmp_path)}
    assert kept == {"untrained": 0, "own-play": 3 * 4, "own-play-ppo": 3 * 4}
    metrics = json.loads((tmp_path / "product/seed_0/own_imitation_3/training_metrics.json").read_text())
    assert metrics["num_demonstrations"] == 12


@pytest.mark.slow
def test_from_end_to_end_in_parts_and_again(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_paper(tiny(whole)) == []
    rows = rows_of(whole)
    assert [row["arm"] for row in rows if row["steps"] != 8] == FEW[:1] + FEW[-1:] + FEW[1:-1]
    by_arm = {row["arm"]: row for row in rows}
    assert (by_arm["efficiency-2"]["kept_trajectories"], by_arm["reading-imitation"]["kept_trajectories"]) == (2, 8)
    assert by_arm["rule"]["seed"] is by_arm["page-1-ceiling"]["steps"] is None
    made = [json.loads(line) for line in (whole / "journal.jsonl").read_text().splitlines()]
    assert len(made) == 2 * json.loads((whole / "stages.json").read_text())["num_stages"]
    assert "Imitation of demonstrations" in (whole / "product/seed_0/reading_imitation/README.md").read_text()
    assert "| embedded-unseen, test | 4 (4)" in (whole / "product/seed_0/reading_imitation/README.md").read_text()

    before = files_of(whole)
    assert run_paper(tiny(whole)) == []
    assert files_of(whole) == before

    for stage in ("seed_0/reading_imitation", "seed_0/efficiency-2/reading_imitation"):
        with pytest.raises(KeyboardInterrupt):
            run_paper(tiny(parts), say=StopAt(stage))
        assert not (parts / "product" / stage).exists()
    left = run_paper(tiny(parts, budget_minutes=60.0, expected_minutes={"reading_imitation": 1e6, "evaluation": 0.1}))
    assert left == []  # one of its kind was made, which says how long it takes
    assert rows_of(parts) == rows

    with pytest.raises(ConfigError, match=r"seed_0/judgement is complete with listwise=None, not 0.5; use the same"):
        run_paper(tiny(whole, judgement={"listwise": 0.5}))
    assert files_of(whole) == before


@pytest.mark.slow
def test_a_budget_ends_before_what_does_not_fit(tmp_path: Path) -> None:
    said: list[str] = []
    config = tiny(tmp_path, arms=["rule", "planner-judged"], budget_minutes=50.0, expected_minutes={"judgement": 60})
    missing = run_paper(config, say=said.append)
    assert missing[0] == "product/seed_0/judgement"
    assert len(missing) == 3
    assert "does not fit into the" in said[-1]
    assert json.loads((tmp_path / "results.json").read_text())["missing"] == missing
    assert "Not complete: 3 stages are missing (`product/seed_0/judgement`" in (tmp_path / "results.md").read_text()
    assert not (tmp_path / "stages.json").exists()
    docs = tmp_path / "docs"
    assert write_docs(config, docs) == missing
    assert BEGIN in (docs / "results.md").read_text()
    assert run_paper(replace(config, budget_minutes=None)) == []
    arms = {row["arm"] for row in rows_of(tmp_path)}
    assert arms == {"rule", "planner-judged"}

    # Fewer arms are asked for: what is there stays in the report. Another one: it is added.
    assert run_paper(tiny(tmp_path, arms=["rule"])) == []
    assert run_paper(tiny(tmp_path, arms=["matching"])) == []
    assert {row["arm"] for row in rows_of(tmp_path)} == arms | {"matching"}


@pytest.mark.slow
def test_a_variant_can_begin_anew(tmp_path: Path) -> None:
    run_paper(tiny(tmp_path, arms=["ablation-without-judgement"], steps=[5]))
    folder = tmp_path / "product" / "seed_0" / "ablation-without-judgement" / "reading_imitation"
    config = json.loads((folder / "config.json").read_text())
    assert config["match_features"] == []
    assert config["action_features"] == [*PLAIN_FEATURES, *READING_FEATURES]
    made = json.loads((folder / "config_resolved.json").read_text())
    own = [Path(one).relative_to(Path(one).parents[1]).as_posix() for one in made["arguments"]["demonstrations"]]
    assert own == [
        f"{kind}/{part}"
        for kind in ("reading_demonstrations", "taught")
        for part in ("template_5", "template_8", "reworded_5", "reworded_8")
    ]


def test_what_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(CatalogError):
        run_paper(tiny(folder, catalog=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="unknown setting 'num_update'"):
        run_paper(tiny(folder, ppo={"num_update": 1}))
    with pytest.raises(ConfigError, match="holds no experiment"):
        write_docs(tiny(folder), tmp_path / "docs")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_kind_of_stage_as_launched(tmp_path: Path) -> None:
    command = ["python", "recipes/paper.py", "--tiny", "--seeds", "0", "1", "--output_dir", str(tmp_path / "run")]
    done = launch(command, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "run")
    assert {row["seed"] for row in rows if row["arm"] == "self-improvement"} == {0, 1}
    page = (tmp_path / "run" / "results.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("### ")]
    assert len(headings) == 4 + 4  # two wordings with two step limits, the columns, failures, minutes, PPO
    assert "### Why episodes fail" in headings
    assert (tmp_path / "run" / "ppo_embedded-unseen.png").exists()
    done = launch([*command, "--budget_minutes", "0", "--arms", "efficiency-2"], cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "stages are missing; the same command goes on from here" in done.stderr
    done = launch([*command, "--arms", "readng-imitation"], cwd=ROOT, timeout=300)
    assert done.returncode == 2
    assert "did you mean 'reading-imitation'?" in done.stderr

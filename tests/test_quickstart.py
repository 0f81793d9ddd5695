"""The whole road, tiny: every stage leaves its folder, and an interrupted run ends like a whole one."""

import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from unittest.mock import patch

import pytest

from recrl.cli import main
from recrl.errors import CatalogError, ConfigError
from recrl.policies.loading import RULES
from recrl.quickstart import AGENTS, START, TEACHER, QuickstartConfig, run_quickstart


def test_the_tiny_road_from_end_to_end_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    config = QuickstartConfig(output_dir=str(tmp_path / "run"), tiny=True)
    table = run_quickstart(config, say=said.append)
    assert [row[0] for row in table.rows] == [*RULES, TEACHER, START, "DPO", "page-1 ceiling", "50-hit ceiling"]
    assert [line.split(" ")[0] for line in said if line[0].isdigit()] == [f"{stage}/6" for stage in range(1, 7)]
    run = tmp_path / "run"
    assert said[-1] == f"the report is {run / 'report.html'}; open it in a browser"
    assert (run / "table.md").read_text() == table.markdown()
    assert json.loads((run / "table.json").read_text())["DPO"]["num_episodes"] == 8
    assert table.markdown().strip() in (run / "README.md").read_text()
    for path in ("quickstart.json", "judgement/model.safetensors", "demonstrations/trajectories.json",
                 "imitation/model.safetensors", "trajectories/trajectories.json", "dpo/preferences",
                 "dpo/model.safetensors", "imitation/config_resolved.json", "dpo/README.md",
                 "evaluation/DPO.json", "report.html"):  # fmt: skip
        assert (run / path).exists(), path
    card = (run / "dpo" / "README.md").read_text()
    assert "Direct preference optimisation" in card
    assert "Not evaluated" not in card
    assert "| embedded-unseen, test | 8 (" in card

    # As if it had been killed during DPO, and then moved: the stages before are not done again, those after are.
    untouched = (run / "imitation" / "model.safetensors").stat().st_mtime_ns
    weights = (run / "dpo" / "model.safetensors").read_bytes()
    shutil.rmtree(run / "dpo")
    (run / "evaluation" / "DPO.json").unlink()
    (run / "table.md").unlink()
    run = run.rename(tmp_path / "moved[seed1]")
    assert run_quickstart(replace(config, output_dir=str(run))) == table
    assert (run / "dpo" / "model.safetensors").read_bytes() == weights
    assert (run / "imitation" / "model.safetensors").stat().st_mtime_ns == untouched

    main(["evaluate", "--policy", str(run / "dpo"), "--num_episodes", "3", "--decoding", "sample"])
    assert f"the card {run / 'dpo' / 'README.md'} names this result" in capsys.readouterr().out
    assert "| embedded-unseen, test | 3 (" in (run / "dpo" / "README.md").read_text()

    shutil.rmtree(run / "dpo" / "preferences")  # of which the card counts the pairs
    main(["evaluate", "--policy", str(run / "dpo"), "--num_episodes", "2"])
    assert f"the card {run / 'dpo' / 'README.md'} was left as it is: " in capsys.readouterr().err


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("not ours")
    with pytest.raises(ConfigError, match="is not empty and holds no quickstart run"):
        run_quickstart(QuickstartConfig(output_dir=str(tmp_path / "run"), tiny=True))
    (tmp_path / "run" / "thesis.txt").unlink()
    settings = asdict(QuickstartConfig(output_dir="elsewhere", tiny=True, seed=7).sized())
    (tmp_path / "run" / "quickstart.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="holds an interrupted quickstart run with seed=7, not 0;"):
        run_quickstart(QuickstartConfig(output_dir=str(tmp_path / "run"), tiny=True))


@pytest.mark.slow
def test_the_plain_agent_is_the_papers(tmp_path: Path) -> None:
    said: list[str] = []
    config = QuickstartConfig(output_dir=str(tmp_path / "run"), agent="plain", tiny=True)
    table = run_quickstart(config, say=said.append)
    assert TEACHER not in [row[0] for row in table.rows]
    assert [line.split(" ")[0] for line in said if line[0].isdigit()] == [f"{stage}/5" for stage in range(1, 6)]
    run = tmp_path / "run"
    assert not (run / "judgement").exists()
    assert json.loads((run / "imitation" / "config.json").read_text())["match_features"] == []
    shown = json.loads((run / "demonstrations" / "trajectories.json").read_text())
    assert shown["config"]["policy"] == "demonstrator"


@pytest.mark.parametrize("agent", AGENTS)
def test_what_a_command_leaves_open_is_the_agents_own(agent: str) -> None:
    sizes = dict(AGENTS[agent].sizes)
    config = QuickstartConfig(agent=agent).sized()
    assert {name: getattr(config, name) for name in sizes} == sizes
    assert config.num_eval_episodes == 200
    assert QuickstartConfig(agent=agent, catalog="elsewhere").sized().num_eval_episodes is None
    said = QuickstartConfig(agent=agent, num_demonstrations=7, goal_draw="product").sized()
    assert (said.num_demonstrations, said.goal_draw) == (7, "product")
    assert said.sized() == said
    for field in fields(QuickstartConfig):
        if field.name in sizes:
            assert f"{sizes[field.name]} for {agent}" in field.metadata["help"]


def test_the_plain_agent_has_no_judgement_to_size() -> None:
    with pytest.raises(ConfigError, match="goals_per_product=3 is of the judgement, and the plain agent has none"):
        QuickstartConfig(agent="plain", goals_per_product=3)
    with pytest.raises(ConfigError, match="agent='plane', expected one of reading, plain"):
        QuickstartConfig(agent="plane")


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        run_quickstart(QuickstartConfig(output_dir=str(tmp_path / "run"), catalog=str(tmp_path / "none"), tiny=True))
    assert not list(tmp_path.iterdir())


STAGE_ENDS = {
    "judgement": "recrl.training.judgement.save_scorer",
    "demonstrations": "recrl.rollouts.collecting._write_dataset",
    "imitation": "recrl.training.imitation.save_result",
    "trajectories": "recrl.rollouts.collecting._write_dataset",
    "dpo": "recrl.training.dpo.save_result",
}


@pytest.mark.slow
def test_a_run_that_is_interrupted_in_every_stage_and_moved_each_time_ends_as_undisturbed(tmp_path: Path) -> None:
    run = tmp_path / "undisturbed"
    table = run_quickstart(QuickstartConfig(output_dir=str(run), tiny=True))
    weights = (run / "dpo" / "model.safetensors").read_bytes()
    run = tmp_path / "moved"
    for number, (stage, its_end) in enumerate(STAGE_ENDS.items()):
        with patch(its_end, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            run_quickstart(QuickstartConfig(output_dir=str(run), tiny=True))
        begun = run / (f"{stage}.collecting" if its_end.endswith("_write_dataset") else stage)
        assert begun.is_dir()
        run = run.rename(tmp_path / f"moved_{number}")
    assert run_quickstart(QuickstartConfig(output_dir=str(run), tiny=True)) == table
    assert (run / "dpo" / "model.safetensors").read_bytes() == weights

"""The whole road, tiny: every stage leaves its folder, and an interrupted run ends like a whole one."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from recrl.cli import main
from recrl.errors import CatalogError, ConfigError
from recrl.policies.loading import RULES
from recrl.quickstart import TINY, QuickstartConfig, run_quickstart


def test_the_tiny_road_from_end_to_end_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    config = QuickstartConfig(output_dir=str(tmp_path / "run"), tiny=True)
    table = run_quickstart(config, say=said.append)
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    names = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert names == [*RULES, "imitation start", "DPO", "page-1 ceiling", "50-hit ceiling"]
    run = tmp_path / "run"
    assert (run / "table.md").read_text() == table
    assert json.loads((run / "table.json").read_text())["DPO"]["num_episodes"] == 8
    assert table.strip() in (run / "README.md").read_text()
    for path in ("quickstart.json", "demonstrations/trajectories.json", "imitation/model.safetensors",
                 "trajectories/trajectories.json", "dpo/preferences", "dpo/model.safetensors",
                 "imitation/config_resolved.json", "dpo/README.md", "evaluation/DPO.json"):  # fmt: skip
        assert (run / path).exists(), path
    card = (run / "dpo" / "README.md").read_text()
    assert "Direct preference optimisation" in card
    assert "Not evaluated" not in card
    assert "| embedded-unseen, test | 8 (" in card

    # As if it had been killed during DPO: the stages before are not done again, those after are.
    untouched = (run / "imitation" / "model.safetensors").stat().st_mtime_ns
    weights = (run / "dpo" / "model.safetensors").read_bytes()
    shutil.rmtree(run / "dpo")
    (run / "evaluation" / "DPO.json").unlink()
    (run / "table.md").unlink()
    assert run_quickstart(config) == table
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
    settings = asdict(QuickstartConfig(output_dir="elsewhere", **TINY)) | {"tiny": True, "seed": 7}
    (tmp_path / "run" / "quickstart.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="holds an interrupted quickstart run with seed=7, not 0;"):
        run_quickstart(QuickstartConfig(output_dir=str(tmp_path / "run"), tiny=True))


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        run_quickstart(QuickstartConfig(output_dir=str(tmp_path / "run"), catalog=str(tmp_path / "none"), tiny=True))
    assert not list(tmp_path.iterdir())

"""The scripts in examples/ run, and print what their first lines promise."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

from recrl import evaluate
from recrl.webshop.own_catalog import import_catalog
from recrl.webshop.own_catalog_config import CatalogImportConfig

FOLDER = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def run(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a script in this process; returns what it printed."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_an_episode_by_a_rule(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run("play_an_episode", monkeypatch, capsys, "--goal_index", 17).splitlines()
    assert lines[1].startswith("search   search[")
    assert [line.split()[0] for line in lines[2:-1]] == ["results", "item", "item", "item"]
    assert lines[-1].startswith("reward 0.833 {'r_type': 1.0")


def test_a_policy_of_ones_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("own_policy", monkeypatch, capsys, "--num_episodes", 8)
    assert re.search(r"difference in success: [+-]\d+\.\d points \[", printed)
    assert "title words" in printed.splitlines()[4]


def test_a_policy_in_ten_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("recrl.evaluate", lambda *given, num_episodes: evaluate(*given, num_episodes=8))
    assert "named_options" in run("ten_lines", monkeypatch, capsys)


def test_an_estimate_from_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("estimate_from_log", monkeypatch, capsys, "--num_episodes", 60)
    row = re.search(
        r"^│ matching-price +│ ([\d.]+) \[([\d.]+), ([\d.]+)\] +│ +\d+ +│ +([\d.]+) ", printed, re.MULTILINE
    )
    assert row is not None
    estimate, low, high, played = map(float, row.groups())
    assert low <= estimate <= high
    assert low <= played <= high


def test_preference_pairs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("preference_pairs", monkeypatch, capsys, "--num_goals", 3, "--num_shown", 2)
    assert re.match(r"\d+ pairs of 24 episodes; left out: \{", printed)
    assert printed.count("  chosen    click[") == printed.count("  rejected  click[") == 2


def test_a_ranked_slate(tiny_scorer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("rank_actions", monkeypatch, capsys)
    assert printed.startswith("no --checkpoint: a tiny random model, whose ranking means nothing\n")
    probabilities = [float(found) for found in re.findall(r"^ *([\d.]+)%  ", printed, re.MULTILINE)]
    assert len(probabilities) == 12  # ten products and two buttons
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(100, abs=0.6)
    assert "random model" not in run("rank_actions", monkeypatch, capsys, "--checkpoint", tiny_scorer)


def test_imitation_from_python(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--encoder", tiny_encoder, "--num_demonstrations", 4, "--num_episodes", 4)
    printed = run("train_imitation", monkeypatch, capsys, "--output_dir", tmp_path, *small)
    assert re.search(r"^mean training loss: \d\.\d{3}$", printed, re.MULTILINE)
    assert "imitation" in printed
    assert (tmp_path / "imitation" / "model.safetensors").exists()


def test_a_made_up_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "products.csv"
    assert run("make_shop", monkeypatch, capsys, "--output_csv", table) == f"400 products are in {table}\n"
    report = import_catalog(CatalogImportConfig(source=str(table), output_dir=str(tmp_path / "shop")))
    assert (report["num_products"], report["num_goal_products"], len(report["ids"])) == (400, 400, 156)
    for isbn in report["ids"].values():
        digits = [int(digit) for digit in isbn.replace("-", "")]
        assert len(digits) == 13
        assert sum(digits[::2] + [3 * digit for digit in digits[1::2]]) % 10 == 0


def test_a_text_game(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("text_game", monkeypatch, capsys)
    assert printed.startswith("the game keeps to the protocol\nBring me the key, ")
    assert printed.endswith("-> take key\nreward 1.0\n")


@pytest.mark.slow
def test_an_agent_learns_the_text_game(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    small = ("--encoder", tiny_encoder, "--num_frozen_layers", 0, "--num_updates", 2)
    printed = run("train_text_game", monkeypatch, capsys, "--output_dir", tmp_path, *small)
    success = {name: float(rate) for name, rate in re.findall(r"^│ (\w+) +│ ([\d.]+) \[", printed, re.MULTILINE)}
    assert set(success) == {"random", "imitation", "dpo", "ppo"}
    assert success["imitation"] > success["random"] + 20
    assert "Protocol treasure-house-unseen, test split, 56 goals of 28 products" in " ".join(printed.split())
    assert (tmp_path / "comparison" / "report.json").exists()


@pytest.mark.slow
def test_games_that_no_one_here_wrote(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("textworld", reason="an extra: pip install 'recrl[games]'")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TEXTWORLD_GAMES", "10")  # four for the test, one for dev
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path))
    printed = run("textworld_game", monkeypatch, capsys, "--num_episodes", 4)
    assert "Protocol textworld-4-rooms-unseen, test split, 4 goals of 4 products" in " ".join(printed.split())
    small = ("--game", "textworld_game", "--max_steps", 6, "--state_form", "compact", "--num_demonstrations", 5)
    tiny = ("--encoder", tiny_encoder, "--num_frozen_layers", 0, "--num_updates", 1)
    printed = run("train_text_game", monkeypatch, capsys, "--output_dir", tmp_path / "run", *small, *tiny)
    assert {"random", "imitation", "dpo", "ppo"} <= set(re.findall(r"^│ (\w+) +│ [\d.]+ \[", printed, re.MULTILINE))
    assert (tmp_path / "run" / "comparison" / "report.json").exists()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    about = ast.get_docstring(ast.parse(text)) or ""
    assert f"python examples/{path.name}" in about
    assert "Prints" in about
    assert len(text.splitlines()) <= 100
    assert re.search(rf'run\(\s*"{path.stem}"', Path(__file__).read_text(encoding="utf-8"))

"""The command line: exit codes, one line for what is wrong, and a start that imports nothing heavy."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recrl.cli import main

COMMANDS = (
    [], ["quickstart"], ["catalog"], ["catalog", "build"], ["catalog", "synth"], ["catalog", "info"],
    ["generate-trajectories"], ["evaluate"],
)  # fmt: skip


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\nfrom recrl.cli import main\n"
        f"try:\n    main({[*command, '--help']})\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = [name for name in ('torch', 'datasets', 'spacy', 'pyarrow', 'transformers', 'numpy.testing', 'scipy')"
        " if name in sys.modules]\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: recrl")


def test_unknown_words_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'evaluat'" in fails(capsys, "evaluat")
    said = fails(capsys, "evaluate", "--policy", "rule", "--num_episode", "3")
    assert "unknown argument '--num_episode', did you mean '--num_episodes'?" in said
    assert "did you mean 'matching'" in fails(capsys, "evaluate", "--policy", "matchin")


def test_bad_input_is_one_line_and_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    said = fails(capsys, "evaluate", "--policy", "rule", "--num_episodes", "9999", "--output_json", output)
    assert "holds 500 goals" in said
    assert "is no folder" in fails(capsys, "catalog", "build", str(tmp_path / "none"), "--output_dir", output)
    assert "num_products=0" in fails(capsys, "catalog", "synth", "--num_products", "0", "--output_dir", output)
    generate = ("generate-trajectories", "--policy", "rule", "--output_dir", output)
    assert "--hub_dataset_id" in fails(capsys, *generate, "--push_to_hub")
    assert "min_reward=3.0" in fails(capsys, *generate, "--min_reward", "3")
    assert not list(tmp_path.iterdir())


def test_evaluate_writes_its_result_and_compares(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    common = ("--split_by", "product", "--num_episodes", "40")
    main(("evaluate", "--policy", "rule", *common, "--output_json", str(tmp_path / "rule.json")))
    main(("evaluate", "--policy", "matching", *common, "--output_json", str(tmp_path / "matching.json"),
          "--baseline", str(tmp_path / "rule.json")))  # fmt: skip
    shown = capsys.readouterr().out
    assert "paired difference in success: +" in shown
    assert "embedded-unseen" in shown
    result = json.loads((tmp_path / "matching.json").read_text())
    assert result["comparison"]["baseline"] == "rule"


def test_catalogues_are_made_up_built_and_described(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(("catalog", "info"))
    assert json.loads(capsys.readouterr().out)["num_products"] == 1000
    main(("catalog", "synth", "--num_products", "30", "--seed", "4", "--output_dir", str(tmp_path / "raw")))
    pytest.importorskip("spacy", reason="tagging a raw catalogue needs the extra 'tagger'")
    main(("catalog", "build", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "built")))
    capsys.readouterr()
    main(("catalog", "info", str(tmp_path / "built")))
    assert json.loads(capsys.readouterr().out)["num_products"] == 30


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    arguments = ["generate-trajectories", "--policy", "random", "--num_trajectories", "5000", "--min_reward", "0"]
    command = [sys.executable, "-m", "recrl", *arguments, "--output_dir", str(tmp_path / "data")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "data.collecting" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in said
    assert journal.read_bytes().endswith(b"\n")


def test_trajectories_are_collected(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = str(tmp_path / "data")
    main(("generate-trajectories", "--policy", "demonstrator", "--num_trajectories", "5", "--output_dir", output))
    assert "kept 5 of" in capsys.readouterr().out
    from recrl.episodes import load_episodes

    assert all(episode.success for episode in load_episodes(output))

"""The command line: exit codes, one line for what is wrong, and a start that imports nothing heavy."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recrl.cli import COMMANDS, main
from recrl.policies.base import Choice, Policy
from recrl.terminal import ProgressLine
from recrl.version import __version__

WORDS = [[], ["catalog"], *(command.name.split() for command in COMMANDS)]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", WORDS, ids=" ".join)
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
    assert "unknown command 'evaluat', did you mean 'evaluate'?" in fails(capsys, "evaluat")
    assert "unknown action 'bild', did you mean 'build'?" in fails(capsys, "catalog", "bild")
    assert "did you mean '--version'?" in fails(capsys, "--versoin")
    assert "did you mean '--policy'?" in fails(capsys, "evaluate", "--polcy", "rule")  # rather than "--policy missing"
    assert "did you mean '--num_episodes'?" in fails(capsys, "evaluate", "--policy", "rule", "--num-episodes=3")
    assert "required: --policy" in fails(capsys, "evaluate")
    said = fails(capsys, "evaluate", "--policy", "rule", "--num_episode", "3")
    assert "unknown argument '--num_episode', did you mean '--num_episodes'?" in said
    assert "did you mean 'matching'" in fails(capsys, "evaluate", "--policy", "matchin")


def test_bad_input_is_one_line_and_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    said = fails(capsys, "evaluate", "--policy", "rule", "--num_episodes", "9999", "--output_json", output)
    assert "holds 855 goals" in said
    assert "is no folder" in fails(capsys, "catalog", "build", str(tmp_path / "none"), "--output_dir", output)
    assert "num_products=0" in fails(capsys, "catalog", "synth", "--num_products", "0", "--output_dir", output)
    generate = ("generate-trajectories", "--policy", "rule", "--output_dir", output)
    assert "--hub_dataset_id" in fails(capsys, *generate, "--push_to_hub")
    assert "--seed: '-1', expected a whole number" in fails(capsys, *generate, "--seed", "-1")
    said = fails(capsys, "evaluate", "--policy", "rule", "--output_json", str(tmp_path))
    assert "it is a folder; name a file" in said
    assert "min_reward=3.0" in fails(capsys, *generate, "--min_reward", "3")
    assert not list(tmp_path.iterdir())


def test_evaluate_writes_its_result_and_compares(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    common = ("--split_by", "product", "--num_episodes", "40")
    main(("evaluate", "--policy", "rule", *common, "--output_json", str(tmp_path / "rule.json")))
    main(("evaluate", "--policy", "matching", *common, "--output_json", str(tmp_path / "matching.json"),
          "--baseline", str(tmp_path / "rule.json")))  # fmt: skip
    shown = capsys.readouterr().out
    assert "paired difference in success: +" in shown
    assert "exact sign test over products:" in shown
    assert "embedded-unseen" in shown
    result = json.loads((tmp_path / "matching.json").read_text())
    assert result["comparison"]["baseline"] == "rule"


def test_tables_for_programs_stand_alone_on_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    main(("evaluate", "--policy", "demonstrator", "--num_episodes", "2", "--format", "json"))
    [results] = json.loads(capsys.readouterr().out)
    assert results["rows"][0]["policy"] == "demonstrator (knows the goal)"
    main(("evaluate", "--policy", "rule", "--num_episodes", "2", "--format", "csv"))
    shown = capsys.readouterr()
    assert shown.out.startswith("policy,success %,success % low,success % high,score,")
    assert "recrl show rule --goal" in shown.err
    main(("catalog", "info", "--format", "md"))
    assert "| num products | 1000 |" in capsys.readouterr().out


def test_commands_play_goals_in_people_s_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    main(
        [
            "evaluate",
            "--policy",
            "matching",
            "--wording",
            "reworded",
            "--num_episodes",
            "3",
            "--output_json",
            str(output),
        ]
    )
    result = json.loads(output.read_text())
    assert (result["protocol"], result["num_episodes"]) == ("embedded-unseen-reworded", 3)
    capsys.readouterr()
    main(["catalog", "info", "--wording", "reworded"])
    described = json.loads(capsys.readouterr().out)
    assert (described["wording"], described["protocol"]) == ("reworded", "embedded-reworded")
    assert described["goals_sha256"] == result["goals_sha256"]
    for command in (["evaluate", "--policy", "rule"], ["catalog", "info"], ["shop"]):
        said = fails(capsys, *command, "--wording", "reworded", "--human_goals")
        assert "wording='reworded' is for synthetic goals" in said
    assert "invalid choice: 'free'" in fails(capsys, "catalog", "info", "--wording", "free")


def test_catalogues_are_made_up_built_and_described(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(("catalog", "info"))
    assert json.loads(capsys.readouterr().out)["num_products"] == 1000
    main(("catalog", "synth", "--num_products", "30", "--seed", "4", "--output_dir", str(tmp_path / "raw")))
    pytest.importorskip("spacy", reason="tagging a raw catalogue needs the extra 'tagger'")
    main(("catalog", "build", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "built")))
    capsys.readouterr()
    main(("catalog", "info", str(tmp_path / "built")))
    assert json.loads(capsys.readouterr().out)["num_products"] == 30


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_and_sigterm_keep_what_was_done(tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["generate-trajectories", "--policy", "random", "--num_trajectories", "5000", "--min_reward", "0"]
    command = [sys.executable, "-m", "recrl", *arguments, "--output_dir", str(tmp_path / "data")]

    def take_interrupts() -> None:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # a test run in the background ignores them, and so would its child

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=take_interrupts)
    journal = tmp_path / "data.collecting" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in said
    assert journal.read_bytes().endswith(b"\n")


def interrupted_policy() -> Policy:
    """A policy during whose first action Ctrl-C is pressed."""

    class Interrupted:
        name = "interrupted"
        catalog_sha256 = None

        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
            raise KeyboardInterrupt

    return Interrupted()


def test_ctrl_c_in_an_evaluation_says_that_nothing_was_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(("evaluate", "--policy", f"{__name__}:interrupted_policy", "--output_json", str(tmp_path / "result.json")))
    assert exit_info.value.code == 130
    assert capsys.readouterr().err == "interrupted; nothing was written: run the same command again from the start\n"
    assert not list(tmp_path.iterdir())


def test_help_shows_defaults_that_are_values(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(("evaluate", "--help"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "Seed of the goals and actions that are drawn (default: 0)." in shown
    assert "95% intervals" in shown
    assert "None" not in shown


def test_a_log_shows_progress_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine(every=float("inf"))
    for played in range(1, 100):
        line(f"{played} goals")
    line.end()
    line.end()
    assert capsys.readouterr().err == "99 goals\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "recrl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"recrl {__version__}\n"


def test_trajectories_are_collected(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = str(tmp_path / "data")
    main(("generate-trajectories", "--policy", "demonstrator", "--num_trajectories", "5", "--output_dir", output))
    assert "kept 5 of" in capsys.readouterr().out
    from recrl.episodes.data import load_episodes

    assert all(episode.success for episode in load_episodes(output))


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "recrl", "catalog", "info"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1

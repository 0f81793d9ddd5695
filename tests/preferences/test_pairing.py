"""Preference pairs by command: built, counted, described again, and refused before anything is written."""

import json
from pathlib import Path

import pytest

from decision_data import colour_episode
from recrl.cli import main
from recrl.episodes.data import episodes_to_dataset
from recrl.preferences.data import dataset_to_preferences, load_preferences
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments, train_dpo
from recrl.training.tuning import TuningArguments


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories") / "dataset"
    episodes_to_dataset([colour_episode(number) for number in range(5)]).save_to_disk(str(folder))
    return folder


def build(trajectories: Path, scorer: Path, output_dir: Path, *flags: str) -> None:
    main(
        ["build-preferences", "--trajectories", str(trajectories), "--policy", str(scorer), "--output_dir",
         str(output_dir), *flags]
    )  # fmt: skip


def test_pairs_are_built_and_described_by_one_command_each(
    trajectories: Path, tiny_scorer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(trajectories, tiny_scorer, tmp_path / "pairs", "--output_json", str(tmp_path / "built.json"))
    printed = capsys.readouterr().out
    assert "10 pairs on 5 goals" in printed
    assert "left out: 5 pages without a choice" in printed
    pairs = dataset_to_preferences(load_preferences(tmp_path / "pairs"))
    assert len(pairs) == 10
    main(["describe-preferences", str(tmp_path / "pairs"), "--output_json", str(tmp_path / "described.json")])
    assert "left out: 5 pages without a choice" in capsys.readouterr().out
    built, described = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("built", "described"))
    assert built == described
    assert built["by_action"]["option"]["num_pairs"] == built["by_action"]["buy"]["num_pairs"] == 5


def test_the_pairs_of_a_dpo_run_are_those_of_the_command(trajectories: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    build(trajectories, tiny_scorer, tmp_path / "pairs", "--seed", "3")
    config = ChoiceDPOConfig(output_dir=str(tmp_path / "run"), max_steps=1, disable_tqdm=True)
    arguments = DPOArguments(model_name_or_path=str(tiny_scorer), trajectories=str(trajectories), pairs_seed=3)
    train_dpo(arguments, TuningArguments(), config)
    made, trained_on = (load_preferences(tmp_path / name) for name in ("pairs", "run/preferences"))
    assert made.to_list() == trained_on.to_list()
    main(["describe-preferences", str(tmp_path / "run/preferences"), "--output_json", str(tmp_path / "run.json")])
    assert json.loads((tmp_path / "run.json").read_text())["left_out"] == {"pages without a choice": 5}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--pairs", "step"), "pairs=['step']: expected one or more of steps, contrasts, trajectories"),
        (("--pairs", "trajectories"), "no preference pair is left of 5 episodes"),
        (("--min_reward", "2"), "min_reward=2.0, expected a number from 0 to 1"),
        (("--num_trajectories", "6"), "holds 5; ask for fewer"),
        (("--trajectories", "nowhere"), "expected a trajectory dataset"),
    ],
)
def test_bad_input_ends_with_two_and_one_line(
    trajectories: Path, tiny_scorer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        build(trajectories, tiny_scorer, tmp_path / "pairs", *flags)
    assert stopped.value.code == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "pairs").exists()


def test_a_folder_that_is_there_is_not_overwritten(
    trajectories: Path, tiny_scorer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs").mkdir()
    with pytest.raises(SystemExit):
        build(trajectories, tiny_scorer, tmp_path / "pairs")
    assert "exists; choose another --output_dir" in capsys.readouterr().err

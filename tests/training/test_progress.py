"""What training says: a line for each log step, and at the end what was saved, the result and the next command."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PrinterCallback, ProgressCallback

from recrl.progress import Bar, duration, tracked
from recrl.training.fields import TITLES
from recrl.training.outcome import outcome_lines
from recrl.training.progress import FIGURES, log_line, shown_progress

START = {"dev/score": 85.6, "dev/success": 50.0, "dev/episodes": 8}


def test_a_line_has_the_step_the_loss_the_figures_and_the_time_left() -> None:
    logs = {"loss": 0.66731, "accuracy": 0.8, "grad_norm": 0.09}
    assert log_line("step", 10, 38, 125, logs, "imitation") == "step 10/38  loss 0.667  right actions 80.0%  2 min left"
    played = {"episode/success": 40.0}
    assert log_line("update", 1, 2, 3, played, "ppo") == "update 1/2  sampled success 40.0%  3 s left"
    assert [duration(seconds) for seconds in (0, 89.6, 90, 7200)] == ["0 s", "90 s", "2 min", "2.0 h"]


def test_every_method_has_its_figures() -> None:
    methods = {name.replace("_", "-") for name in TITLES}
    assert methods <= set(FIGURES)


class Trainer:
    """What `shown_progress` needs of a trainer."""

    def __init__(self) -> None:
        self.removed: list[Any] = []
        self.callbacks: list[Any] = []

    def remove_callback(self, one: Any) -> None:
        self.removed.append(one)

    def add_callback(self, one: Any) -> None:
        self.callbacks.append(one)


def test_a_trainer_talks_by_lines_alone(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recrl.progress.EVERY", float("inf"))
    trainer = Trainer()
    state = SimpleNamespace(global_step=0, max_steps=4, is_world_process_zero=True)
    with caplog.at_level(logging.INFO, logger="recrl"), shown_progress(trainer, "dpo"):
        [talk] = trainer.callbacks
        talk.on_train_begin(None, state, None)
        state.global_step = 4
        talk.on_step_end(None, state, None)
        talk.on_log(None, state, None, logs={"loss": 0.69, "rewards/accuracies": 0.5, "rewards/margins": 0.01})
        talk.on_log(None, state, None, logs={"train_runtime": 3.0})
        state.is_world_process_zero = False
        talk.on_log(None, state, None, logs={"loss": 0.69})
    assert trainer.removed == [PrinterCallback, ProgressCallback]
    assert caplog.messages == ["step 4/4  loss 0.690  pairs in order 50.0%  margin 0.010  0 s left"]


def test_a_bar_is_drawn_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with Bar("ppo") as bar:
        bar.update(1, 2)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Bar("ppo") as bar:
        bar.update(1, 2)
    assert capsys.readouterr().err == ""  # nothing was said to be logged
    with caplog.at_level(logging.INFO, logger="recrl"), Bar("[b]ppo") as bar:
        bar.update(1, 2, "success [i]1%")
        assert list(tracked("ab", "within", 2)) == ["a", "b"]  # which draws no second bar
        bar.line("a [line]")
    shown = capsys.readouterr().err
    for text in ("a [line]", "1/2", "[b]ppo", "success [i]1%"):
        assert text in shown
    assert "within" not in shown


def test_without_a_terminal_a_line_is_said_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("recrl.progress.time.monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, logger="recrl"):
        for item in tracked(range(6), "playing", 6):
            now[0] += 10 * (item < 5)
    assert caplog.messages == [f"    playing: {done}/6, {10 * (6 - done)} s left" for done in (2, 4)]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"start_given_back": True, "start_on_dev": START}, "NOT better than its start: none of the 20 updates beat"),
        (
            {
                "start_given_back": False, "start_on_dev": START, "best_update": 5,
                "log_history": [{"update": 5, "dev/score": 90.0, "dev/success": 62.5}],
            },
            "better than its start on 8 dev goals: score 90.0, success 62.5% after update 5 of 20 (its start 85.6, 50",
        ),
        ({"start_given_back": False, "start_on_dev": {}}, "nothing was played on dev goals"),
    ],
)  # fmt: skip
def test_ppo_says_whether_it_is_better_than_its_start(metrics: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved, result, following = outcome_lines(tmp_path, {"method": "ppo", "num_updates": 20} | metrics)
    assert saved.startswith(f"saved: {tmp_path}")
    assert said in result
    assert following == f"next: recrl evaluate --policy {tmp_path}"


def test_self_improvement_says_whether_it_is_better_than_its_start() -> None:
    rounds = [
        {"round": 0, "dev_score": 80.0, "dev_success": 40.0, "num_dev_episodes": 140},
        {"round": 1, "dev_score": 82.0, "dev_success": 45.0, "num_dev_episodes": 140},
    ]
    about = {"method": "self-improvement", "num_rounds": 1, "rounds": rounds}
    kept = outcome_lines("run", about | {"best_round": 0, "start_given_back": True})
    assert "NOT better than its start: none of the 1 rounds beat the start's score of 80.0 on 140 dev goals" in kept[1]
    better = outcome_lines("run", about | {"best_round": 1, "start_given_back": False})
    assert "better than its start on 140 dev goals: score 82.0, success 45.0% after round 1 of 1" in better[1]


def test_a_method_without_a_sentence_of_its_own_ends_with_the_next_command() -> None:
    assert outcome_lines("run", {"method": "other"})[1:] == ["next: recrl evaluate --policy run"]
    judged = {"method": "judgement", "num_held_out_goals": 9,
              "held_out_log_loss": {"before_calibration": 0.5, "after_calibration": 0.4}}  # fmt: skip
    assert "log loss 0.400 on 9 goals that were held out (0.500 before" in outcome_lines("run", judged)[1]
    assert "planner:run" in outcome_lines("run", judged)[2]

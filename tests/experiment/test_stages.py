"""Stages: each made once, within the budget, gone on with when interrupted, refused where it is another one now."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recrl.errors import ConfigError
from recrl.experiment.stages import Stage, StageLog, run_stages
from recrl.journals import Journal


class Work:
    """Stages that write a file each, and what was made of them in which order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, list[str]()
        self.settings: dict[str, dict[str, Any]] = {}
        self.fails: str | None = None

    def log(self) -> StageLog:
        return StageLog(self.folder, Journal(self.folder / "journal.jsonl"))

    def stage(self, name: str, *needs: str, kind: str = "") -> Stage:
        def make() -> None:
            path = self.folder / name
            path.mkdir(exist_ok=True)
            (path / "begun").write_text("")
            if name == self.fails:
                raise KeyboardInterrupt
            self.made.append(name)
            (path / "done").write_text("")

        return Stage(
            name=name, kind=kind or name, marker="done", needs=needs, settings=self.settings.get(name, {}), make=make
        )

    def run(self, *stages: Stage, budget: float | None = None, expected: Mapping[str, float] = {}) -> list[str]:
        log, said = self.log(), list[str]()
        log.check(stages)
        missing = run_stages(stages, log, budget_minutes=budget, expected_minutes=expected, say=said.append)
        self.said = said
        return [stage.name for stage in missing]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_every_stage_is_made_once(work: Work) -> None:
    stages = [work.stage("a"), work.stage("b", "a"), work.stage("c", "b")]
    work.fails = "b"
    with pytest.raises(KeyboardInterrupt):
        work.run(*stages)
    assert work.made == ["a"]
    work.fails = None
    assert work.run(*stages) == []
    assert work.made == ["a", "b", "c"]
    assert work.run(*stages) == []
    assert work.made == ["a", "b", "c"]


def test_a_stage_that_does_not_fit_is_not_begun(work: Work) -> None:
    stages = [work.stage("a", kind="short"), work.stage("b", "a", kind="long"), work.stage("c", kind="short")]
    assert work.run(*stages, budget=5, expected={"long": 6}) == ["b", "c"]
    assert work.said[-1] == (
        "b, about 6.0 minutes, does not fit into the 5.0 minutes that are left of budget_minutes=5; the same command "
        "goes on from here"
    )
    assert work.run(*stages, budget=0) == ["b", "c"]
    assert work.run(*stages, budget=7, expected={"long": 6}) == []


def test_others_of_its_kind_say_how_long_a_stage_takes(work: Work) -> None:
    stages = [work.stage("a", kind="training"), work.stage("b", kind="training"), work.stage("c")]
    log = work.log()
    assert log.expected(stages[0], {"training": 3.0}, stages) == 3.0
    assert log.expected(stages[2], {"training": 3.0, "evaluation": 1.0}, stages) == 0.0
    log.run(stages[0])
    assert log.expected(stages[1], {"training": 3.0}, stages) == pytest.approx(log.minutes("a"))
    assert log.minutes("b") is None
    for record in log.records:
        record.update({"minutes": 8.0} if "minutes" in record else {})
    assert log.expected(stages[1], {}, stages) == 8.0
    log.records += [{"stage": "b", "begun": 0.0, "fresh": True}, {"stage": "b", "minutes": 5.0}]
    assert log.expected(stages[1], {}, stages) == 3.0  # what was done of it is taken off


def test_minutes_count_every_part_and_a_killed_one_to_its_last_file(work: Work) -> None:
    (work.folder / "a").mkdir()
    (work.folder / "a" / "checkpoint").write_text("")
    written = (work.folder / "a" / "checkpoint").stat().st_mtime
    log = work.log()
    log.records += [
        {"stage": "a", "begun": written - 900, "fresh": True},
        {"stage": "a", "minutes": 2.0},
        {"stage": "a", "begun": written - 120, "fresh": False},
        {"stage": "a", "begun": written + 60, "fresh": False},
        {"stage": "a", "minutes": 3.0},
    ]
    assert log.minutes("a") == pytest.approx(2 + 2 + 3)
    log.records += [{"stage": "a", "begun": time.time(), "fresh": True}, {"stage": "a", "minutes": 0.5}]
    assert log.minutes("a") == 0.5  # made anew


def test_other_settings_are_refused_with_both_values(work: Work) -> None:
    work.settings["a"] = {"beta": 0.1}
    work.run(work.stage("a"))
    work.settings["a"] = {"beta": 0.3}
    with pytest.raises(ConfigError, match=r"a is complete with beta=0.1, not 0.3; use the same settings, .* remove it"):
        work.run(work.stage("a"))
    shutil.rmtree(work.folder / "a")
    assert work.run(work.stage("a")) == []
    assert work.made == ["a", "a"]


def test_what_was_made_from_a_stage_that_is_another_one_now_is_refused(work: Work) -> None:
    stages = [work.stage("a"), work.stage("b", "a")]
    work.run(*stages)
    shutil.rmtree(work.folder / "a")
    work.run(stages[0])
    with pytest.raises(ConfigError, match=r"b is complete, but was made from an earlier .*a; remove it"):
        work.run(*stages)
    shutil.rmtree(work.folder / "b")
    assert work.run(*stages) == []

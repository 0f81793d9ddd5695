"""A run folder: claimed by one process at a time, safe against a kill at every step, and never somebody else's."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recrl.errors import ConfigError, DatasetError, StorageError
from recrl.journals import Journal
from recrl.runs import LOCK_FILE, README_MARK, RunFolder, RunState
from recrl.same_settings import refuse_other_settings
from recrl.seals import read_sealed_json
from recrl.verifying import verify


def run_folder(path: Path, **changed: Any) -> RunFolder:
    fields: dict[str, Any] = {
        "kind": "comparison", "command": "recrl compare", "settings": {"seed": 0, "policies": ("rule", "reader")},
        "settings_file": "config.json", "result_file": "report.json", "files": {"report.json": "what came out"},
    }  # fmt: skip
    return RunFolder(path=path, **(fields | changed))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def work(run: RunFolder) -> None:
    """A whole run of three records, from wherever it stopped."""
    with run.claim():
        for number in range(len(run.journal.read()), 3):
            run.journal.append({"number": number})
        run.complete({"records": len(run.journal.read())})


def test_a_run_is_new_then_interrupted_then_complete(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "runs" / "a")
    assert run.state() is RunState.NEW
    with run.claim() as state:
        assert state is RunState.NEW
        assert (run.path / LOCK_FILE).read_text().startswith(f"process {os.getpid()} on ")
        run.journal.append({"number": 0})
    assert run.state() is RunState.INTERRUPTED
    with run.claim() as state:
        assert state is RunState.INTERRUPTED
        run.complete({"score": 12.34567, "agents": ["rule", "reader"]})
    assert run.state() is RunState.COMPLETE
    assert read_sealed_json(run.path / "config.json") == {"seed": 0, "policies": ["rule", "reader"]}
    assert json.loads((run.path / "report.json").read_text())["score"] == 12.34567
    assert set(contents(run.path)) == {"config.json", "journal.jsonl", "report.json", "manifest.json", "README.md"}


def test_the_folder_explains_itself(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", free=("batch_size",), settings={"seed": 0, "tuning": {"lora_r": 8, "none": None}})
    with run.claim():
        text = (run.path / "README.md").read_text()
        assert "This comparison is not complete as long as `report.json` is missing." in text
        assert (
            "run `recrl compare` again with the settings below. Other settings are refused, except for batch_" in text
        )
        assert "- seed: 0\n- tuning:\n  - lora_r: 8\n" in text
        assert "- `report.json`: what came out\n" in text
        run.complete({"score": 12.34567, "agents": ["rule"]})
    text = (run.path / "README.md").read_text()
    assert "This comparison is complete.\n\n## Result\n\n- score: 12.3457\n" in text
    with run.claim():  # goes on, and does not say meanwhile that it is incomplete
        assert (run.path / "README.md").read_text() == text
        run.complete({}, "| a | table |")
    assert "## Result\n\n| a | table |\n" in (run.path / "README.md").read_text()


def test_a_readme_of_the_users_own_stays(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a")
    work(run)
    assert (run.path / "README.md").read_text().startswith(README_MARK)
    (run.path / "README.md").write_text("my notes")
    work(run)
    assert (run.path / "README.md").read_text() == "my notes"


def killed_at(step: int, folder: Path, what: Callable[[], None]) -> bool:
    """Runs it in a child that ends, as by a kill, before its step-th touch of the folder; False if it has fewer."""
    child = os.fork()
    if child == 0:
        touches = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal touches
            if event.startswith(("open", "os.", "shutil.")) and arguments and str(arguments[0]).startswith(str(folder)):
                touches += 1
                if touches == step:
                    os._exit(9)

        try:
            sys.addaudithook(watch)
            what()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_at_any_step_blocks_nothing(tmp_path: Path) -> None:
    states = []
    for step in range(1, 1000):
        run = run_folder(tmp_path / str(step))
        if not killed_at(step, run.path, lambda run=run: work(run)):
            break
        states.append(run.state())
        if states[-1] is RunState.NEW:  # nothing is recorded yet, so the corrected command may come as well
            run = replace(run, settings={"seed": 7})
        work(run)
        assert read_sealed_json(run.path / "report.json") == {"records": 3}
        assert set(contents(run.path)) == {"config.json", "journal.jsonl", "report.json", "manifest.json", "README.md"}
    assert {state: states.count(state) > 3 for state in RunState} == dict.fromkeys(RunState, True)
    assert states == sorted(states, key=list(RunState).index)


def refused(run: RunFolder) -> None:
    """A command that finds its input bad after it has made something that it would make again."""
    with run.claim():
        (run.path / "pairs").mkdir(exist_ok=True)
        (run.path / "pairs" / "data").write_text("made again")
        raise DatasetError("too few")


def test_a_kill_while_a_claim_is_taken_back_blocks_nothing(tmp_path: Path) -> None:
    for step in range(1, 1000):
        run = run_folder(tmp_path / str(step), scratch=("pairs",))
        if not killed_at(step, run.path, lambda run=run: refused(run)):
            break
        work(run)
    assert step > 20


def test_what_earlier_kills_left_is_no_content(tmp_path: Path) -> None:
    """The temporary file of a settings file, without a lock."""
    run = run_folder(tmp_path)
    (tmp_path / ".config.json.tmp-ab12_xyz").write_text('{"seed"')
    work(run)
    (tmp_path / ".report.json.tmp-ab12_xyz").write_text("{")
    (tmp_path / ".notes.tmp-ab12_xyz").write_text("the user's")
    work(run)
    assert [name for name in contents(tmp_path) if name.startswith(".")] == [".notes.tmp-ab12_xyz"]


HOLD = """
import sys, time
from pathlib import Path
from recrl.runs import RunFolder
run = RunFolder(Path(sys.argv[1]), "comparison", "recrl compare", {"seed": 0}, "config.json", "report.json")
with run.claim():
    run.journal.append({"number": 0})
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_folder_in_which_another_process_works_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", settings={"seed": 0})
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    before = contents(run.path)
    with pytest.raises(ConfigError, match=rf"a is in use: process {process.pid} on .* works on this comparison; wait"):
        work(run)
    assert contents(run.path) == before
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with run.claim() as state:
        assert state is RunState.INTERRUPTED
        assert run.journal.read() == [{"number": 0}]
        with pytest.raises(ConfigError, match=f"in use: process {os.getpid()} "):
            work(run)


def test_processes_that_claim_and_give_up_at_once_are_never_two_in_the_folder(tmp_path: Path) -> None:
    """Folders and locks are made and removed all the time; a folder's counter would lose additions."""
    runs = {tmp_path / f"counter{number}": run_folder(tmp_path / f"a{number}") for number in range(20)}
    for counter in runs:
        counter.write_text("0")

    def add() -> None:
        for counter, run in runs.items():
            added = False
            while not added:
                try:
                    with run.claim():
                        counter.write_text(str(int(counter.read_text()) + 1))
                        added = True
                        raise DatasetError("given up")
                except (ConfigError, DatasetError):
                    pass

    children = []
    for _ in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                add()
                os._exit(0)
            finally:
                os._exit(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert contents(tmp_path) == {counter.name: b"4" for counter in runs}


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "years of work"},
        {"checkpoint-3/trainer_state.json": "{}", "checkpoint-3/optimizer.pt": "", "README.md": "# mine"},
        {"config.json": '{"model_type": "bert", "seed": 0, "hidden_size": 32}', "model.safetensors": "weights"},
        {".config.json.notes": "no temporary file of ours"},
    ],
    ids=["text", "checkpoints", "model", "hidden"],
)
def test_a_foreign_folder_is_refused_and_stays_byte_for_byte(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    before, changed = contents(tmp_path / "a"), (tmp_path / "a").stat().st_mtime_ns
    settings = {"seed": 0, "policies": ("rule",), "split": "test", "runs": 3}
    with pytest.raises(ConfigError, match="a is not empty and holds no comparison; choose another --output_dir"):
        work(run_folder(tmp_path / "a", settings=settings))
    assert contents(tmp_path / "a") == before
    assert (tmp_path / "a").stat().st_mtime_ns == changed  # not even a lock was made and removed


def test_a_file_in_place_of_the_folder_and_damaged_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="file is no folder; choose another --output_dir"):
            work(run_folder(place))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "link", tmp_path / "link" / "below"):
        with pytest.raises(ConfigError, match=r"link is a link to .*nowhere, which is not there; choose another"):
            work(run_folder(place))
    (tmp_path / "folder").mkdir()
    (tmp_path / "good_link").symlink_to(tmp_path / "folder")
    work(run_folder(tmp_path / "good_link" / "below"))
    run = run_folder(tmp_path / "a")
    work(run)
    for text, message in (("{", r"config\.json is corrupt .* choose another"), ("[1]", "expected a JSON object")):
        (run.path / "config.json").write_text(text)
        with pytest.raises(DatasetError, match=message):
            work(run)


def test_a_refused_command_leaves_the_folder_free_for_the_corrected_one(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", scratch=("pairs",))
    with pytest.raises(DatasetError):
        refused(run)
    assert not run.path.exists()
    run.path.mkdir()
    with pytest.raises(DatasetError):
        refused(run)
    assert not list(run.path.iterdir())  # the folder that was there is kept
    work(replace(run, settings={"seed": 7}))


@pytest.mark.parametrize("error", [StorageError("disk full"), KeyboardInterrupt(), RuntimeError()], ids=repr)
def test_other_ends_keep_the_claim(tmp_path: Path, error: BaseException) -> None:
    run = run_folder(tmp_path / "a", scratch=("pairs",))
    with pytest.raises(type(error)), run.claim():
        raise error
    assert run.state() is RunState.INTERRUPTED


def test_a_refusal_after_some_progress_keeps_it(tmp_path: Path) -> None:
    for name in ("journal.jsonl", "round_1/dev.json", "README.md"):
        run = run_folder(tmp_path / name, scratch=("pairs",))
        with run.claim():
            (run.path / name).parent.mkdir(exist_ok=True)
            (run.path / name).write_text("by a stage, or by the user")
        with pytest.raises(DatasetError):
            refused(run)
        assert run.state() is RunState.INTERRUPTED
        assert (run.path / name).read_text() == "by a stage, or by the user"
        assert (run.path / "pairs" / "data").exists()


def test_other_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 0, "split": None, "batch_size": 4, "trainer": {"beta": 0.1, "seed": 1}}
    run = run_folder(tmp_path / "a", settings=settings, free=("batch_size",))

    def refusal(**changed: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            work(replace(run, settings=settings | changed))
        return str(caught.value)

    with run.claim():
        pass
    before = contents(run.path)
    assert "a holds an interrupted comparison with seed=0, not 7; use the same settings, choose" in refusal(seed=7)
    assert "with split=None, not 'dev';" in refusal(split="dev")
    assert "with beta=0.1, not 0.5;" in refusal(trainer={"beta": 0.5, "seed": 1})
    assert "with beta=0.1, not None and seed=1, not None;" in refusal(trainer=None)
    assert "with lora_r=None, not 8;" in refusal(tuning={"lora_r": 8, "target": None})
    many = refusal(seed=7, split="dev", trainer={"beta": 0.5, "seed": 3})
    assert "seed=0, not 7 and split=None, not 'dev' and beta=0.1, not 0.5 and 1 more differences;" in many
    assert contents(run.path) == before
    work(replace(run, settings=settings | {"batch_size": 9}))  # a free one is recorded anew
    assert json.loads((run.path / "config.json").read_text())["batch_size"] == 9
    assert "a holds a complete comparison with seed=0, not 7" in refusal(seed=7)


def test_a_complete_run_keeps_the_settings_that_it_was_made_with(tmp_path: Path) -> None:
    settings = {"seed": 0, "batch_size": 4, "runs": 1}
    run = run_folder(tmp_path / "a", settings=settings, free=("batch_size", "runs"))
    work(run)
    before = contents(run.path)
    changed = replace(run, settings=settings | {"batch_size": 9, "runs": 2})
    with changed.claim() as state:
        assert state is RunState.COMPLETE
    assert contents(run.path) == before
    work(changed)  # goes on, and is complete anew
    assert read_sealed_json(run.path / "config.json") == changed.settings
    assert [one.damage for one in verify(run.path)] == [[], []]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (("runs/a", "trained"), ("runs/b", "trained")),
        (("runs/a", "trained"), ("/elsewhere/a", "trained")),
        (("/x/runs/a", "trained"), ("runs/a", "trained")),
        (("a", "arm/trained"), ("b/a", "arm/trained")),
    ],
)
def test_what_was_moved_together_is_the_same(before: tuple[str, str], now: tuple[str, str]) -> None:
    def settings(folder: str, run: str, **changed: Any) -> dict[str, Any]:
        data = {"shown": [f"{folder}/shown", "other/shown"], "policy": f"planner:{folder}/scorer", "encoder": "/m/bert"}
        return {"data": data | changed, "trainer": {"output_dir": f"{folder}/{run}", "seed": 0}}

    def compare(wanted: dict[str, Any]) -> None:
        refuse_other_settings("it", settings(*before), wanted, ("output_dir",))

    compare(settings(*now))
    for changed in ({"shown": [f"{now[0]}/more"]}, {"policy": f"{now[0]}/scorer"}, {"encoder": f"{now[0]}/bert"}):
        with pytest.raises(ConfigError, match=f"it with {next(iter(changed))}="):
            compare(settings(*now, **changed))


RECORDS = st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.none(), max_size=3), max_size=5)


@given(records=RECORDS, cut=st.integers(0, 40))
def test_a_journal_gives_back_what_was_written_but_for_a_torn_last_line(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], cut: int
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    assert journal.read() == []
    for record in records:
        journal.append(record)
    assert journal.read() == records
    if not records:
        return
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: max(0, len(content) - cut)])
    left = journal.read()
    assert left == records[: len(left)]
    assert len(left) == content[: max(0, len(content) - cut)].count(b"\n")
    journal.append({"next": 1})
    assert journal.read() == [*left, {"next": 1}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b'{"a": ', "Expecting value"), (b"3", "expected a JSON object"), (b"", "Expecting value"), (b"\xff", "utf-8")],
)
def test_any_other_damage_to_a_journal_is_refused_with_its_place(tmp_path: Path, line: bytes, reason: str) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    content = b'{"a": 1}\n' + line + b'\n{"a": 3}\n{"torn'
    journal.path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"journal\.jsonl is corrupt in line 2 \(.*{reason}.*\); remove "):
        journal.read()
    assert journal.path.read_bytes() == content


def test_a_full_disk_is_said_and_the_records_before_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"number": 0})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            journal.append({"number": 1})
    assert journal.read()[0] == {"number": 0}


def test_without_locks_a_run_goes_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def no_locks(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    work(run_folder(tmp_path / "a"))
    assert "cannot be locked (" in caplog.text

"""The tests' own launcher: a command that hangs fails with stacks, and leaves no process behind."""

import sys
from pathlib import Path

import psutil
import pytest
from launching import launch

HANGS = """
import subprocess, sys, time
def waits_for_its_child():
    print("child", child.pid, flush=True)
    child.wait()
def sleeps():
    time.sleep(600)
if len(sys.argv) > 1:
    sleeps()
child = subprocess.Popen([sys.executable, __file__, "child"])
waits_for_its_child()
"""


def test_what_a_command_writes_and_how_it_ends() -> None:
    done = launch([sys.executable, "-c", "import os; print(os.environ['COLOUR']); exit(3)"], timeout=60, COLOUR="red")
    assert (done.returncode, done.stdout) == (3, "red\n")


@pytest.mark.slow
def test_a_command_that_hangs_fails_with_the_stacks_of_all_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "hangs.py"
    script.write_text(HANGS)
    with pytest.raises(pytest.fail.Exception) as failed:
        launch([sys.executable, str(script)], timeout=10)
    said = str(failed.value)
    assert "had not ended after 10 s" in said
    assert "in sleeps" in said
    assert "in waits_for_its_child" in said
    child = int(said.partition("\nchild ")[2].split()[0])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

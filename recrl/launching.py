"""Starting a recipe on several devices, through `accelerate launch`."""

import logging
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from recrl.errors import ConfigError, WorkerError
from recrl.shipped import ACCELERATE_CONFIGS, find_file, shipped_files

CONFIG, PROCESSES = "--accelerate_config", "--num_processes"
LAUNCH_FLAGS = {  # flag -> how its value is called, and what it is
    CONFIG: (
        "FILE",
        "Start through `accelerate launch` with this configuration: a file, or one of "
        f"{', '.join(shipped_files(ACCELERATE_CONFIGS))}.",
    ),
    PROCESSES: ("N", "Processes on this machine, if another number than the configuration's."),
}


def take_launch_flags(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The flags that are about launching, and the other words.

    Raises:
        ConfigError: a flag has no value, or ``--num_processes`` stands alone.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, is_joined, value = word.partition("=")
        if flag not in LAUNCH_FLAGS:
            others.append(word)
            continue
        found[flag] = value if is_joined else next(rest, "")
        if not found[flag]:
            raise ConfigError(f"{flag}: expected a value")
    if found and CONFIG not in found:
        raise ConfigError(f"{PROCESSES} goes with {CONFIG}; name a file, or multi_gpu")
    return found, others


def launch(words: Sequence[str], flags: dict[str, str]) -> None:
    """Runs ``recrl`` with these words in the processes that the flags ask for, and exits as these did.

    Raises:
        ConfigError: the configuration is not there.
        WorkerError: a process was killed, and so could not say what is wrong.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    path = find_file(ACCELERATE_CONFIGS, flags[CONFIG])
    if not Path(path).is_file():
        raise ConfigError(
            f"{CONFIG} {path}: no such file; expected one, or {', '.join(shipped_files(ACCELERATE_CONFIGS))}"
        )
    options = ["--config_file", path]
    if PROCESSES in flags:
        options += [PROCESSES, flags[PROCESSES]]
    arguments = launch_command_parser().parse_args([*options, "--module", "recrl", *words])
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes have said what is wrong
    try:
        launch_command(arguments)
    except subprocess.CalledProcessError as error:
        _end_as(error.returncode)
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        killed = [code for code in codes if code < 0 and code != -signal.SIGTERM]  # with SIGTERM the others are ended
        _end_as(killed[0] if killed else max(codes))
    except KeyboardInterrupt:  # which they were told too
        sys.exit(130)


def _end_as(code: int) -> NoReturn:
    """Ends with a process's exit code; a negative one is the signal that killed it."""
    if code < 0:
        raise WorkerError(
            f"a process was killed ({signal.Signals(-code).name}), perhaps because memory ran out, and the others were "
            "ended; run the same command again to go on from the last checkpoint"
        )
    sys.exit(code)

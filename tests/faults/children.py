"""Work in a child process, whose limits and privileges are its own; it says in one word how that ended."""

import contextlib
import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

from recrl.errors import RecrlError, StorageError

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
MS_REMOUNT, MS_REC, MS_PRIVATE = 32, 16384, 1 << 18  # linux/mount.h
_CAPABILITIES = 0x20080522  # version 3 of capset(2): two words of each set


def in_child(work: Callable[[], str | None]) -> str:
    """What the work returns, or "done"; "clear" for one clear error about the disk; else what is wrong.

    The child writes its lines to nowhere: a bound on the size of files would hold for a log too.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "ended without a word"
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            said = work() or "done"
        except RecrlError as error:
            said = outcome_of(error)
        except BaseException:  # the child has no other way to say it
            said = f"traceback: {traceback.format_exc()[-2000:]}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def outcome_of(error: RecrlError) -> str:
    """ "clear" for one line about the disk."""
    return "clear" if isinstance(error, StorageError) and "\n" not in str(error) else f"unclear: {error!r}"


def heed_modes() -> bool:
    """Lets root be refused by the modes of files as others are, by giving up its privileges; False where it cannot."""
    if os.geteuid() != 0:
        return True
    with contextlib.suppress(OSError, AttributeError):
        header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        return ctypes.CDLL(None, use_errno=True).capset(header, sets) == 0
    return False


def own_mounts() -> bool:
    """Gives this process mounts of its own, which end with it; False where that is not permitted."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        flags = CLONE_NEWNS | (0 if os.geteuid() == 0 else CLONE_NEWUSER)
        return libc.unshare(flags) == 0 and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    return False


def mount_tmpfs(place: Path, size: int, *, again: bool = False) -> bool:
    """Mounts a file system in memory of that many bytes, or gives one another size; False where it is not permitted."""
    with contextlib.suppress(OSError, AttributeError):
        flags, options = MS_REMOUNT if again else 0, f"size={size}".encode()
        return ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", bytes(place), b"tmpfs", flags, options) == 0
    return False

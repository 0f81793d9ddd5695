"""Fetching the published WebShop files from a dataset on the Hugging Face Hub, and checking that they are the published
ones.

The original's links are dead; public copies remain. Whatever the copy, a file counts only if its size and SHA-256 are
those of the published one.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from recrl.errors import HubError
from recrl.files import clear_disk_errors, sha256_of


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published raw file: its name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


_HUMAN = PublishedFile(
    "items_human_ins.json", 5_137_548, "cf78667548a71786e1d9049c24b802e48e1084ad4bb021cae56ce1f6d96954a3"
)
PUBLISHED = {
    "1000": (
        PublishedFile(
            "items_shuffle_1000.json", 4_467_013, "30a4765c3a327af72d9a9a95a6b2486d516f0fa1d3ecd83681901ce82a21b269"
        ),
        PublishedFile(
            "items_ins_v2_1000.json", 147_099, "f88a36314a397b53b3d9c3fa5878e5f7b26d35019a51ec83fbedeca61a948f6f"
        ),
        _HUMAN,
    ),
    "full": (
        PublishedFile(
            "items_shuffle.json", 5_479_720_229, "2ef591d65df3af89e972ab72468eb82cbf124d876552d9f3678667edd620a6c8"
        ),
        PublishedFile(
            "items_ins_v2.json", 186_295_270, "1d36af476bdb8f82a5da62bd8acdabe54cd8de2fa84010d37da5c4890feb447e"
        ),
        _HUMAN,
    ),
}
HUB_DATASET_ID = "YWZBrandon/webshop-data"  # a public copy; any other with the same file names does
PARTS_ENDING = ".downloading"
PROGRESS_EVERY = 0.5  # seconds
TRIES_WITHOUT_PROGRESS = 4
PAUSE = 1.0  # seconds before a broken connection is taken up again
TIMEOUT = 30.0  # seconds without an answer

Say = Callable[[str], None]


def download_catalog(
    which: str,
    output_dir: str | Path,
    *,
    hub_dataset_id: str = HUB_DATASET_ID,
    endpoint: str | None = None,
    say: Say = lambda text: None,
) -> Path:
    """Downloads the raw files of one configuration; files that are there already are checked and kept.

    Args:
        which: "1000" or "full".
        output_dir: takes the files, each when it is whole and checked; an interrupted download goes on where it was.
        hub_dataset_id: ``user/name`` of a dataset that holds them; endpoint: defaults to the Hub's.
        say: called with a line of text for every file.

    Raises:
        HubError: the configuration is unknown, the dataset cannot be reached or lacks a file, or a file is not the
            published one.
        StorageError: the disk is full.
    """
    if which not in PUBLISHED:
        raise HubError(f"{which!r} is no published catalogue, expected one of {', '.join(PUBLISHED)}")
    output_dir = Path(output_dir)
    parts = output_dir.with_name(f".{output_dir.name}{PARTS_ENDING}")
    with clear_disk_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        for file in PUBLISHED[which]:
            target = output_dir / file.name
            if target.exists():
                _check(target, file, f"{target} is not the published file; move it away, then repeat the command")
                say(f"{file.name}: there already, SHA-256 as published")
                continue
            say(f"{file.name}: downloading {file.size / 1e6:,.1f} MB from {hub_dataset_id}")
            part = parts / file.name
            _fetch(hub_dataset_id, file, part, endpoint, say)
            try:
                _check(part, file, f"{hub_dataset_id} holds another {file.name} than the published one")
            except HubError:
                part.unlink()
                raise
            os.replace(part, target)
            say(f"{file.name}: SHA-256 as published")
        shutil.rmtree(parts, ignore_errors=True)
    return output_dir


def _fetch(hub_dataset_id: str, file: PublishedFile, part: Path, endpoint: str | None, say: Say) -> None:
    """Receives what ``part`` still lacks of the file; a broken connection is taken up again while that brings more."""
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    from recrl.hub import reason_of

    url = hf_hub_url(hub_dataset_id, file.name, repo_type="dataset", endpoint=endpoint)
    part.parent.mkdir(parents=True, exist_ok=True)
    tries_left = TRIES_WITHOUT_PROGRESS
    with open(part, "ab") as output:
        if output.tell() > file.size:
            output.truncate(0)
        while output.tell() < file.size:
            had = output.tell()
            try:
                _receive(url, output, file, say)
                return  # all that the server has, be it the published file or not
            except (OSError, ValueError, RuntimeError, HTTPError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                tries_left = TRIES_WITHOUT_PROGRESS if output.tell() > had else tries_left - 1
                if tries_left and not isinstance(error, HfHubHTTPError):
                    time.sleep(PAUSE)
                    continue
                raise HubError(
                    f"{file.name} could not be downloaded from the dataset {hub_dataset_id!r} of "
                    f"{HfApi(endpoint=endpoint).endpoint}: {reason_of(error)} The {output.tell():,} bytes received are "
                    "kept; repeat the command, or name another copy with --hub_dataset_id."
                ) from error


def _receive(url: str, output: IO[bytes], file: PublishedFile, say: Say) -> None:
    """One request for the rest of the file."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    start, started = output.tell(), time.monotonic()
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT) as response:
        hf_raise_for_status(response)
        if start and response.status_code != 206:  # the server does not know ranges
            output.truncate(0)
            start = 0
        said = 0.0
        for data in response.iter_bytes():
            output.write(data)
            if time.monotonic() - said < PROGRESS_EVERY:
                continue
            said = time.monotonic()
            rate = (output.tell() - start) / max(time.monotonic() - started, 1e-3)
            left = (file.size - output.tell()) / rate
            done = f"{output.tell() / 1e6:,.1f} of {file.size / 1e6:,.1f} MB"
            say(f"  {file.name}: {done}, {rate / 1e6:.1f} MB/s, {left:.0f} s left")


def _check(path: Path, file: PublishedFile, otherwise: str) -> None:
    """Raises HubError unless size and SHA-256 are the published ones."""
    size = path.stat().st_size
    found = sha256_of(path) if size == file.size else f"not computed, {size:,} bytes instead of {file.size:,}"
    if found != file.sha256:
        raise HubError(f"{otherwise}: its SHA-256 is {found}, expected {file.sha256}")

"""The published files from a Hub: the real client against a local server that can break off."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from hub_server import HubServer, hub_environment
from recrl.errors import HubError
from recrl.webshop import download
from recrl.webshop.download import PublishedFile, download_catalog

CONTENTS = {
    "items_shuffle_1000.json": b"[1]" * 100_000,
    "items_ins_v2_1000.json": b"{}",
    "items_human_ins.json": b"{ }",
}


def published(contents: dict[str, bytes]) -> dict[str, tuple[PublishedFile, ...]]:
    return {
        "1000": tuple(
            PublishedFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()
        )
    }


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """Holds files that count as the published ones."""
    import huggingface_hub.constants

    server.repos["datasets/user/copy"] = dict(CONTENTS)
    monkeypatch.setattr(download, "PUBLISHED", published(CONTENTS))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return server


def fetch(hub: HubServer, folder: Path) -> list[str]:
    said: list[str] = []
    download_catalog("1000", folder, hub_dataset_id="user/copy", endpoint=hub.endpoint, say=said.append)
    return said


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_arrive_checked_and_are_not_fetched_twice(hub: HubServer, tmp_path: Path) -> None:
    fetch(hub, tmp_path / "raw")
    assert files_of(tmp_path / "raw") == CONTENTS
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    hub.requests.clear()
    assert all("there already" in line for line in fetch(hub, tmp_path / "raw"))
    assert not hub.requests


def test_a_broken_download_goes_on_where_it_was(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a command while something comes, and from one command to the next."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    name = "items_shuffle_1000.json"
    hub.cuts[name] = 70_000
    fetch(hub, tmp_path / "raw")
    assert files_of(tmp_path / "raw") == CONTENTS
    assert hub.ranges == [f"bytes={start}-" for start in (70_000, 140_000, 210_000, 280_000)]

    hub.ranges.clear()
    monkeypatch.setattr(download, "TRIES_WITHOUT_PROGRESS", 1)
    (tmp_path / "again").mkdir()
    hub.cuts[name] = 0
    part = tmp_path / ".again.downloading" / name
    part.parent.mkdir()
    part.write_bytes(CONTENTS[name][:123_456])
    with pytest.raises(HubError, match=r"The 123,456 bytes received are kept; repeat the command"):
        fetch(hub, tmp_path / "again")
    hub.cuts.clear()
    fetch(hub, tmp_path / "again")
    assert files_of(tmp_path / "again") == CONTENTS
    assert hub.ranges == ["bytes=123456-"] * 2


def test_another_file_than_the_published_one_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["datasets/user/copy"]["items_ins_v2_1000.json"] = b"[]"
    with pytest.raises(HubError, match=r"user/copy holds another items_ins_v2_1000\.json .*its SHA-256 is 4f53cda1"):
        fetch(hub, tmp_path / "raw")
    assert set(files_of(tmp_path / "raw")) == {"items_shuffle_1000.json"}
    hub.repos["datasets/user/copy"]["items_ins_v2_1000.json"] = b"{}"
    fetch(hub, tmp_path / "raw")
    (tmp_path / "raw" / "items_human_ins.json").write_bytes(b"mine")
    with pytest.raises(HubError, match=r"is not the published file; move it away.*4 bytes instead of 3"):
        fetch(hub, tmp_path / "raw")
    assert (tmp_path / "raw" / "items_human_ins.json").read_bytes() == b"mine"


@pytest.mark.parametrize("missing", ["repository", "file"])
def test_what_is_missing_is_named(hub: HubServer, tmp_path: Path, missing: str) -> None:
    if missing == "repository":
        hub.repos.clear()
    else:
        del hub.repos["datasets/user/copy"]["items_human_ins.json"]
    with pytest.raises(HubError, match=r"could not be downloaded from the dataset 'user/copy'.*--hub_dataset_id"):
        fetch(hub, tmp_path / "raw")


def test_an_unknown_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="'100' is no published catalogue, expected one of 1000, full"):
        download_catalog("100", tmp_path)


def test_the_command_line_names_a_wrong_copy(server: HubServer, tmp_path: Path) -> None:
    """The true hashes, and files that are not the published ones."""
    server.repos["datasets/user/copy"] = dict(CONTENTS)
    command = [sys.executable, "-m", "recrl", "catalog", "download", "1000", "--output_dir", str(tmp_path / "raw")]
    done = subprocess.run(
        [*command, "--hub_dataset_id", "user/copy"],
        env=hub_environment(server.endpoint, tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: user/copy holds another items_shuffle_1000.json than the published one" in done.stderr
    assert not files_of(tmp_path / "raw")

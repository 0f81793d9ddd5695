"""Files as Windows writes them, terminals of any encoding, and sources that are not there."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_data import colour_episode
from recrl.episodes import episodes_to_dataset, load_episodes
from recrl.errors import CheckpointError, ConfigError, DatasetError, StorageError
from recrl.files import clear_disk_errors, replace_folder, write_text
from recrl.pretrained import refused
from recrl.queries.pairs import load_pairs
from recrl.rollouts.collecting import TrajectoryConfig, generate_trajectories
from recrl.webshop.building import build_catalog
from recrl.webshop.synthetic import embedded_catalog
from small_catalog import item, options, write_catalog

ODD = "Rotes Kleid für Bäume ½ № \U0001f45f"
COMMAND = "import sys; from recrl.cli import main; main(sys.argv[1:])"


def as_windows_writes(path: Path) -> None:
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def test_raw_files_and_pairs_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_catalog(raw)
    for path in raw.glob("*.json"):
        as_windows_writes(path)
    build_catalog(
        raw, tmp_path / "built", nouns=lambda titles: [("hat",) for _ in titles], tagger={"name": "t", "version": "0"}
    )
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps({"find me a hat": ["hat"]}))
    as_windows_writes(pairs)
    assert load_pairs(str(pairs))[0].queries == ("hat",)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_any_encoding_shows_what_it_can(tmp_path: Path, encoding: str) -> None:
    raw = tmp_path / "raw"
    odd = [item(f"B00000000{i}", ODD, customization_options=options(Farbe=["grün"])) for i in range(1, 4)]
    goals = {
        product["asin"]: {"attributes": ["weich"], "instruction": f"finde {ODD}", "instruction_attributes": ["weich"]}
        for product in odd
    }
    write_catalog(raw, odd, goals, {})
    settings = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "RECRL_CACHE": str(tmp_path / "cache")}
    for words, given in ((["catalog", "info", str(raw)], ""), (["shop", "--catalog", str(raw)], "1\n1\nq\n")):
        command = [sys.executable, "-c", COMMAND, *words]
        done = subprocess.run(
            command,
            env=settings,
            input=given.encode(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


def test_other_forms_of_a_dataset_are_named(tmp_path: Path) -> None:
    dataset = episodes_to_dataset([colour_episode(number) for number in range(4)])
    dataset.train_test_split(0.5, seed=0).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(DatasetError, match=r"it holds the splits train, test; name .*splits/train or .*splits/test"):
        load_episodes(tmp_path / "splits")
    dataset.rename_column("goal_index", "goal").save_to_disk(str(tmp_path / "renamed"))
    with pytest.raises(DatasetError, match=r"it lacks the columns goal_index; it has .*goal"):
        load_episodes(tmp_path / "renamed")


@pytest.fixture
def silent_hub() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("hub", [pytest.param("silent", marks=pytest.mark.slow), "closed"])
def test_an_id_that_no_hub_answers_for_is_refused_within_seconds(tmp_path: Path, silent_hub: str, hub: str) -> None:
    endpoint = silent_hub if hub == "silent" else "http://127.0.0.1:9"
    code = (
        "import time, recrl\n"
        "from recrl.errors import RecrlError\n"
        "from recrl.episodes import load_episodes\n"
        "from recrl.queries.seq2seq import new_query_model\n"
        "from recrl.scoring import BertForChoiceScoring\n"
        "for load in (recrl.load_policy, load_episodes, BertForChoiceScoring.from_encoder,\n"
        "             lambda source: new_query_model(source, texts=[])):\n"
        "    started = time.monotonic()\n"
        "    try: load('nobody/nothing')\n"
        "    except RecrlError as error: print(round(time.monotonic() - started, 1), type(error).__name__, error)\n"
    )
    settings = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    assert "CheckpointError" in lines[0]
    assert "expected a folder or Hub id" in lines[0]
    for line in lines:
        seconds, _, message = line.partition(" ")
        assert float(seconds) < 30, line  # a download that waits would take minutes
        assert "no such folder, and http://127.0.0.1" in message


def test_a_path_is_called_a_missing_folder() -> None:
    for source in ("./x", "a/b/c", "/nowhere", "../x/y"):
        with pytest.raises(DatasetError, match=r"no such folder$"):
            load_episodes(source)


def test_a_full_disk_is_not_taken_for_a_damaged_file() -> None:
    with (
        pytest.raises(StorageError, match=r"no model in a: could not write .* No space left on device; free space"),
        refused(CheckpointError, "no model in a"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(CheckpointError, match=r"no model in a: .*Permission denied"),
        refused(CheckpointError, "no model in a"),
    ):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Places at which nothing can be written."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return {
        "below a file": tmp_path / "file" / "new",
        "below a dangling link": tmp_path / "dangling" / "new",
        "a long name": tmp_path / ("a" * 300),
    }


@pytest.mark.parametrize("where", ["below a file", "below a dangling link", "a long name"])
def test_a_place_at_which_nothing_can_be_written_is_named(
    places: dict[str, Path], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places[where]
    with pytest.raises(StorageError, match="choose another place"):
        write_text(place, "new")
    with pytest.raises(StorageError, match="choose another place"), replace_folder(place):
        pass
    config = TrajectoryConfig(policy="rule", num_trajectories=1, min_reward=0, output_dir=str(place))
    with pytest.raises(ConfigError, match="choose another --output_dir"):
        generate_trajectories(config)
    monkeypatch.setenv("RECRL_CACHE", str(place))
    with pytest.raises(StorageError, match="choose another place"):
        embedded_catalog()
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_read_elsewhere_is_not_said_to_be_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError), clear_disk_errors(tmp_path / "out"):
        (tmp_path / "file" / "read").read_text()
    with pytest.raises(NotADirectoryError), replace_folder(tmp_path / "out"):
        (tmp_path / "file" / "read").read_text()


def test_a_folder_does_not_take_the_place_of_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="Not a directory"), replace_folder(tmp_path / "dangling"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["dangling"]

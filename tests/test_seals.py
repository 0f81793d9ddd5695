"""A seal finds every change of what is finished; what was made without one is read, and that is said once."""

import json
import logging
import os
import random
import shutil
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decision_data import colour_episode
from recrl import seals
from recrl.episodes.data import episodes_to_dataset, load_episodes
from recrl.errors import CheckpointError, DatasetError
from recrl.files import replace_folder
from recrl.journals import Journal
from recrl.preferences.building import read_pairs
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.seals import (
    MANIFEST,
    check_folder,
    damages,
    read_sealed_json,
    seal_folder,
    unsealed,
    write_sealed_json,
)

AGAIN = "make it again"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed folder of two files, a part with a seal of its own, and what no seal covers."""
    folder = tmp_path / "thing"
    (folder / "inner" / "part").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 10)
    (folder / "inner" / "settings.json").write_text('{"seed": 1}')
    (folder / "inner" / "part" / "data").write_text("of the part")
    (folder / "checkpoint-3").mkdir()
    for name in ("README.md", "journal.jsonl", ".hidden", "checkpoint-3/state"):
        (folder / name).write_text("not sealed")
    seal_folder(folder / "inner" / "part", "part")
    seal_folder(folder, "thing")
    return folder


def test_a_seal_names_what_is_there_and_what_made_it(sealed: Path) -> None:
    manifest = check_folder(sealed, DatasetError, AGAIN)
    assert manifest is not None
    assert set(manifest["files"]) == {"weights.bin", "inner/settings.json"}
    assert list(manifest["parts"]) == ["inner/part"]
    assert manifest["kind"] == "thing"
    assert manifest["versions"]["recrl"]
    assert damages(sealed, manifest) == []


@pytest.mark.parametrize("name", ["weights.bin", "inner/settings.json", MANIFEST])
def test_every_damage_is_found_with_its_place(sealed: Path, name: str) -> None:
    rng, path = random.Random(0), sealed / name
    content = path.read_bytes()
    for number in range(40):
        data = bytearray(content)
        place = rng.randrange(len(data))
        if number % 4 == 3:
            del data[place:]
        else:
            data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        if name == MANIFEST and _same_json(bytes(data), content):  # white space, say
            continue
        with pytest.raises(DatasetError, match=rf"was altered: {name}|format version .*; make it again"):
            check_folder(sealed, DatasetError, AGAIN)
    path.write_bytes(content)
    assert check_folder(sealed, DatasetError, AGAIN) is not None


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_missing_files_and_what_is_no_file_are_named(sealed: Path) -> None:
    (sealed / "weights.bin").unlink()
    with pytest.raises(DatasetError, match=r"is incomplete: weights\.bin is missing"):
        check_folder(sealed, DatasetError, AGAIN)
    os.mkfifo(sealed / "weights.bin")  # reading it would never end
    with pytest.raises(DatasetError, match=r"weights\.bin is no file"):
        check_folder(sealed, DatasetError, AGAIN)


def test_a_manifest_reads_nothing_outside(sealed: Path) -> None:
    manifest = json.loads((sealed / MANIFEST).read_text())
    del manifest["manifest_sha256"]
    manifest["files"]["../outside"] = "0"
    (sealed / MANIFEST).write_text(json.dumps(manifest | {"manifest_sha256": seals.hash_of(manifest)}))
    with pytest.raises(DatasetError, match=r"lists '\.\./outside', which is not in the folder"):
        check_folder(sealed, DatasetError, AGAIN)


def test_what_has_no_seal_is_read_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert check_folder(tmp_path, DatasetError, AGAIN) is None
    assert caplog.text.count("has no seal") == 1


def test_files_are_hashed_once(sealed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    check_folder(sealed, DatasetError, AGAIN)
    monkeypatch.setattr(seals, "sha256_of", lambda path: pytest.fail("it was read again"))
    check_folder(sealed, DatasetError, AGAIN)


def test_others_may_read_what_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("")
    path.chmod(0o600)  # as safetensors writes files
    seal_folder(tmp_path, "thing")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~seals.umask()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(value=st.dictionaries(st.text().filter(lambda name: name != seals.CHECKSUM), VALUES, max_size=4))
def test_a_json_file_comes_back_and_a_change_of_a_value_is_found(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_sealed_json(path, value)
    assert read_sealed_json(path) == value
    changed = json.loads(path.read_text()) | {"changed": 1}
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="it was altered"):
        read_sealed_json(path)


@pytest.mark.parametrize("value", [3, [1], {"of": "others"}, None])
def test_json_of_others_is_taken_as_it_is(value: object) -> None:
    assert unsealed(value) == value


def test_every_changed_line_of_a_journal_is_found_with_its_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for number in range(4):
        journal.append({"number": number, "reward": 0.25 * number})
    lines = journal.path.read_text().splitlines(keepends=True)
    for text, line in (
        ([lines[0], lines[1].replace("0.25", "8.25"), *lines[2:]], 2),
        ([lines[0], *lines[2:]], 2),
        ([lines[0], lines[2], lines[1], lines[3]], 2),
        ([*lines, lines[3]], 5),
        ([*lines[:3], lines[3].partition(', "checksum"')[0] + "}\n"], 4),
    ):
        journal.path.write_text("".join(text))
        with pytest.raises(DatasetError, match=rf"is corrupt in line {line} \(another checksum"):
            Journal(journal.path).read()
        with pytest.raises(DatasetError, match=r"is corrupt in line"):
            Journal(journal.path).append({"number": 4})


def test_a_journal_from_before_checksums_goes_on_with_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"number": 0}\n{"number": 1}\n')
    Journal(path).append({"number": 2})
    assert Journal(path).read() == [{"number": number} for number in range(3)]
    path.write_text(path.read_text().replace('"number": 0', '"number": 7'))
    with pytest.raises(DatasetError, match="line 3"):
        Journal(path).read()


def test_two_journals_on_one_file_see_each_other(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "journal.jsonl"), Journal(tmp_path / "journal.jsonl")
    for number in range(4):
        (one, two)[number % 2].append({"number": number})
    assert [record["number"] for record in one.read()] == list(range(4))


@pytest.fixture
def scorer(tiny_scorer: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "scorer"
    save_scorer(*load_scorer(tiny_scorer), folder)
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_scorer_that_lacks_or_has_another_file_is_refused(scorer: Path, name: str) -> None:
    data = bytearray((scorer / name).read_bytes())
    data[len(data) // 2] ^= 1
    (scorer / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"was altered: {name} has another SHA-256"):
        load_scorer(scorer)
    (scorer / name).unlink()
    with pytest.raises(CheckpointError, match=f"is incomplete: {name} is missing; copy it again"):
        load_scorer(scorer)


def test_a_scorer_without_a_seal_needs_its_vocabulary(scorer: Path) -> None:
    (scorer / MANIFEST).unlink()
    load_scorer(scorer)
    (scorer / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_scorer(scorer)


def test_transformers_own_saving_makes_a_folder_of_its_own(scorer: Path, tmp_path: Path) -> None:
    model, tokenizer = load_scorer(scorer)
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    load_scorer(tmp_path / "other")
    with torch.no_grad():
        model.dot_scale.add_(1)
    model.save_pretrained(scorer)  # into the sealed one
    with pytest.raises(CheckpointError, match=r"was altered: model\.safetensors"):
        load_scorer(scorer)


def test_a_dataset_is_checked_and_one_of_datasets_own_is_read(tmp_path: Path) -> None:
    from datasets import load_from_disk

    folder = tmp_path / "shown"
    episodes_to_dataset([colour_episode(0)]).save_to_disk(str(folder))
    assert len(load_episodes(folder)) == 1
    seal_folder(folder, "trajectory dataset")
    load_from_disk(str(folder)).save_to_disk(str(tmp_path / "again"))  # as a user does
    assert load_episodes(tmp_path / "again") == load_episodes(folder)
    [data] = folder.glob("*.arrow")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(DatasetError, match=r"was altered: data-.*arrow"):
        load_episodes(folder)
    shutil.rmtree(folder)
    with pytest.raises(DatasetError):
        read_pairs(folder)


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    (tmp_path / ".thing.tmp-ab12_xyz").mkdir()
    (tmp_path / ".thing.building").mkdir()  # somebody's, of eight letters too
    with replace_folder(tmp_path / "thing") as first:
        (first / "data").write_text("1")
        with replace_folder(tmp_path / "thing") as second:  # as another process does
            (second / "data").write_text("2")
        assert first.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".thing.building", "thing"]
    assert (tmp_path / "thing" / "data").read_text() == "1"


def test_a_folder_that_was_put_aside_by_a_killed_process_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".thing.old-ab12_xyz" / "content").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), replace_folder(tmp_path / "thing"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_an_altered_encoder_is_refused_wherever_a_model_begins_with_it(tiny_encoder: Path, tmp_path: Path) -> None:
    from recrl.queries.seq2seq import new_query_model
    from recrl.scoring.model import BertForChoiceScoring

    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    seal_folder(folder, "encoder")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    for begin in (
        lambda: BertForChoiceScoring.from_encoder(folder),
        lambda: new_query_model(str(folder), texts=["a shirt"]),
    ):
        with pytest.raises(CheckpointError, match=r"model\.safetensors has another SHA-256"):
            begin()

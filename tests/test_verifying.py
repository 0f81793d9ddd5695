"""`recrl verify` names what a place is, every damage in it, and what to do."""

import json
import shutil
from pathlib import Path

import pytest

from decision_data import colour_episode
from recrl.cli import main
from recrl.episodes.data import episodes_to_dataset
from recrl.errors import DatasetError
from recrl.runs import RunFolder
from recrl.seals import seal_folder, write_sealed_json
from recrl.verifying import verify
from recrl.webshop.building import build_catalog
from small_catalog import plain_nouns, write_catalog


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A complete run with a sealed dataset inside."""
    run = RunFolder(
        path=tmp_path / "run",
        kind="comparison",
        command="recrl compare",
        settings={"seed": 0},
        settings_file="config.json",
        result_file="report.json",
    )
    with run.claim():
        run.journal.append({"number": 0})
        run.journal.append({"number": 1})
        episodes_to_dataset([colour_episode(0)]).save_to_disk(str(run.path / "shown"))
        seal_folder(run.path / "shown", "trajectory dataset", command="recrl generate-trajectories")
        run.complete({"score": 1.5})
    return run.path


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_is_whole_is_said_to_be(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(run)])
    assert capsys.readouterr().out.splitlines() == [
        f"{run}: comparison, 2 files, unaltered",
        f"{run}/journal.jsonl: journal of 2 records, unaltered",
        f"{run}/shown: trajectory dataset, 3 files, unaltered",
    ]


@pytest.mark.parametrize(
    ("name", "said", "advice"),
    [
        ("report.json", "report.json was altered", "make it again: recrl compare"),
        ("journal.jsonl", "journal.jsonl is corrupt in line", "run its command again"),
        ("shown/state.json", "state.json was altered", "make it again: recrl generate-trajectories"),
        ("shown/manifest.json", "it was altered: manifest.json", "copy it again"),
    ],
)
def test_every_damage_has_its_line_and_advice(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, said: str, advice: str
) -> None:
    damage(run / name)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match="2"):
        main(["verify", str(run)])
    captured = capsys.readouterr()
    assert said in captured.out
    assert advice in captured.out
    assert "is damaged in" in captured.err
    assert captured.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before  # only reads


def test_missing_files_parts_and_torn_lines_are_said(run: Path) -> None:
    (run / "report.json").unlink()
    with open(run / "journal.jsonl", "a") as file:
        file.write('{"torn')
    found = {one.path.name: one for one in verify(run)}
    assert found["run"].damage == ["report.json is missing"]
    assert found["journal.jsonl"].what == "journal of 2 records; the last line was cut off and will be dropped"
    shutil.rmtree(run / "shown")
    episodes_to_dataset([colour_episode(1)]).save_to_disk(str(run / "shown"))
    seal_folder(run / "shown", "trajectory dataset")
    assert "shown is another than when the folder was finished" in verify(run)[0].damage


def test_catalogues_files_and_folders_of_others(tmp_path: Path, tiny_encoder: Path) -> None:
    built = build_catalog(write_catalog(tmp_path / "raw"), tmp_path / "built", nouns=plain_nouns, tagger={"name": "x"})
    assert [one.what.split(",")[0] for one in verify(built)] == ["built catalogue", "goals of a catalogue"]
    damage(built / "products.arrow")
    assert verify(built)[0].damage == ["products.arrow was altered"]
    assert "recrl catalog build RAW_FOLDER" in verify(built)[0].again
    [encoder] = verify(tiny_encoder)
    assert (encoder.checked, encoder.damage) == (False, [])
    write_sealed_json(tmp_path / "result.json", {"score": 1})
    assert verify(tmp_path / "result.json")[0].what == "JSON file with a checksum"
    value = json.loads((tmp_path / "result.json").read_text()) | {"score": 2}
    (tmp_path / "result.json").write_text(json.dumps(value))
    assert "it was altered" in verify(tmp_path / "result.json")[0].damage[0]


def test_nothing_of_ours_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds nothing that recrl has written"):
        verify(tmp_path)
    with pytest.raises(DatasetError, match="no such file or folder"):
        verify(tmp_path / "none")

"""Building catalogues: in parts, by several processes, interrupted, with bad records left out; and their goals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from recrl import seals
from recrl.errors import CatalogError, StorageError
from recrl.webshop import building, products, sealed
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import load_catalog
from small_catalog import ATTRIBUTES, HUMAN, ITEMS, item, plain_nouns, write_catalog

TAGGER = {"name": "every word", "version": "1"}


def build(raw: Path, output_dir: Path, **settings: Any) -> Path:
    return build_catalog(raw, output_dir, nouns=plain_nouns, tagger=TAGGER, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Raw files with 60 products."""
    items = [item(f"B{number:09d}", f"Thing number {number}", pricing="$1.00 - $9.00") for number in range(60)]
    return write_catalog(tmp_path / "many", items, {one["asin"]: ATTRIBUTES["B000000002"] for one in items}, {})


@pytest.mark.parametrize("num_workers", [1, 2])
def test_parts_and_processes_change_nothing_but_where_batches_end(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    whole = load_catalog(build(many, tmp_path / "whole"))
    monkeypatch.setattr(building, "ROWS_PER_BATCH", 7)
    said: list[str] = []
    folder = build(many, tmp_path / "parts", num_workers=num_workers, say=said.append)
    parts = load_catalog(folder)
    assert (parts.sha256, parts.goals_sha256) == (whole.sha256, whole.goals_sha256)
    assert list(parts.products) == list(whole.products)
    for words in ("thing number", "59 described", "bullet one of thing 12"):
        assert parts.search(words) == whole.search(words)
    assert [parts.position(product.asin) for product in whole.products] == list(range(60))
    other, own = contents(tmp_path / "whole"), contents(folder)
    assert {name for name in own if own[name] != other[name]} == {
        "products.arrow", "manifest.json", "goals/synthetic-0/manifest.json",
    }  # fmt: skip
    assert said[0].startswith("needs up to ")
    assert any("60 products, 100% of the raw file" in line for line in said)
    assert not list(tmp_path.glob(".*"))


def test_a_killed_build_goes_on(many: Path, tmp_path: Path) -> None:
    """The first process is killed in its fourth part; the second tags only what the first had not stored."""
    script = tmp_path / "build.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from recrl.webshop import building
            from small_catalog import plain_nouns

            tagged = []
            def nouns(titles):
                tagged.extend(titles)
                if len(tagged) > int(sys.argv[3]):
                    os.kill(os.getpid(), signal.SIGKILL)
                return plain_nouns(titles)

            building.ROWS_PER_BATCH = 7
            building.build_catalog(sys.argv[1], sys.argv[2], nouns=nouns, tagger={"name": "every word", "version": "1"})
            print(len(tagged))
            """
        )
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

    def run(most: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(script), str(many), str(tmp_path / "built"), str(most)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert run(21).returncode == -signal.SIGKILL
    assert not (tmp_path / "built").exists()
    done = run(1000)
    assert (done.returncode, done.stdout) == (0, "39\n"), done.stderr
    assert not list(tmp_path.glob(".built*"))
    assert load_catalog(tmp_path / "built").sha256 == load_catalog(build(many, tmp_path / "other")).sha256


def test_workers_end_with_a_killed_build(many: Path, tmp_path: Path) -> None:
    script = tmp_path / "build.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from recrl.webshop import building
            from small_catalog import plain_nouns

            def nouns(titles):
                if any("number 30" in title for title in titles):
                    time.sleep(300)
                return plain_nouns(titles)

            if __name__ == "__main__":
                building.ROWS_PER_BATCH = 7
                tagger = {"name": "every word", "version": "1"}
                building.build_catalog(sys.argv[1], sys.argv[2], nouns=nouns, tagger=tagger, num_workers=2)
            """
        )
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    build = subprocess.Popen([sys.executable, str(script), str(many), str(tmp_path / "built")], env=environment)
    parts, deadline = tmp_path / ".built.building", time.monotonic() + 60
    while time.monotonic() < deadline and len(list(parts.glob("*.arrow"))) < 3:
        time.sleep(0.05)
    workers = psutil.Process(build.pid).children(recursive=True)
    assert len(workers) >= 2
    build.kill()
    build.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_parts_of_other_raw_files_are_not_used(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "ROWS_PER_BATCH", 7)

    def interrupt(titles: Any) -> Any:
        if "Thing number 30" in titles:
            raise KeyboardInterrupt
        return plain_nouns(titles)

    with pytest.raises(KeyboardInterrupt):
        build_catalog(many, tmp_path / "built", nouns=interrupt, tagger=TAGGER)
    assert len(list((tmp_path / ".built.building").glob("*.arrow"))) == 4
    other = write_catalog(tmp_path / "other")
    assert len(load_catalog(build(other, tmp_path / "built")).products) == 4


def test_invalid_records_are_left_out_and_listed(tmp_path: Path) -> None:
    items = [
        item("B000000001", "Odd", pricing="15"),
        item("B000000001", "The next with its asin"),
        3,
        item("B000000002", "Even \ud800"),
        *ITEMS[2:],
    ]
    raw = write_catalog(tmp_path / "raw", items)
    with pytest.raises(CatalogError, match=r"record 0 .*--skip_invalid"):
        build(raw, tmp_path / "built")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    folder = build(raw, tmp_path / "built", skip_invalid=True)
    catalog = load_catalog(folder)
    assert catalog.product("B000000001").title == "The next with its asin"
    assert [product.record for product in map(catalog.store.raw, range(len(catalog.products)))] == [1, 4, 8]
    skipped = json.loads((folder / "skipped.json").read_text())
    assert [(entry["record"], entry["asin"]) for entry in skipped] == [(0, "B000000001"), (2, "?"), (3, "B000000002")]
    for entry, field in zip(skipped, ("'pricing'", "'record'", "'title': holds half of a surrogate"), strict=True):
        assert field in entry["reason"]


def test_too_small_a_disk_is_said_before_the_work(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match=r"may need .* GB of disk and .* has 0\.00 GB free"):
        build_catalog(many, tmp_path / "built", nouns=lambda titles: pytest.fail("began"), tagger=TAGGER)


def test_goals_of_another_seed_are_drawn_once_and_stored_beside(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(many, tmp_path / "built")
    assert sorted(path.name for path in (folder / "goals").iterdir()) == ["synthetic-0"]
    first = load_catalog(folder, goal_seed=5)
    assert sorted(path.name for path in (folder / "goals").iterdir()) == ["synthetic-0", "synthetic-5"]
    goals, fingerprint = list(first.goals), first.goals_sha256
    del first
    monkeypatch.setattr("recrl.webshop.built.draw_goals", lambda *_, **__: pytest.fail("drawn again"))
    again = load_catalog(folder, goal_seed=5)
    assert (list(again.goals), again.goals_sha256) == (goals, fingerprint)


def test_goals_of_a_folder_that_cannot_be_written_to_go_to_the_cache(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    folder = build(many, tmp_path / "built")
    before = contents(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    assert load_catalog(folder, goal_seed=5).goal_seed == 5
    assert contents(folder) == before
    assert [path.name for path in (tmp_path / "cache" / "goals").rglob("synthetic-5")] == ["synthetic-5"]


def test_altered_or_foreign_goals_are_refused(many: Path, tmp_path: Path) -> None:
    folder, other = build(many, tmp_path / "built"), build(write_catalog(tmp_path / "raw"), tmp_path / "other")
    goals = folder / "goals" / "synthetic-0"
    (goals / "bounds.npy").write_bytes((goals / "bounds.npy").read_bytes()[:-8] + b"\0" * 8)
    with pytest.raises(CatalogError, match=r"synthetic-0 was altered: bounds\.npy"):
        load_catalog(folder)
    shutil.rmtree(goals)
    shutil.copytree(other / "goals" / "synthetic-0", goals)
    with pytest.raises(CatalogError, match="belongs to another catalogue"):
        load_catalog(folder)
    shutil.rmtree(goals)
    assert len(load_catalog(folder).goals) == 60  # drawn again


def test_files_are_read_once_and_again_when_they_changed(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    folder = build(many, tmp_path / "built")
    read: list[str] = []
    real = seals.sha256_of
    monkeypatch.setattr(seals, "sha256_of", lambda path: read.append(Path(path).name) or real(path))
    load_catalog(folder)
    assert read == []  # the build has just hashed them
    shutil.rmtree(tmp_path / "cache" / "verified")
    sealed.read_sealed(folder)
    assert "products.arrow" in read
    read.clear()
    sealed.read_sealed(folder)
    assert read == []
    path = folder / "index" / "documents.npy"
    data, times = bytearray(path.read_bytes()), path.stat()
    data[-1] ^= 1
    time.sleep(0.02)  # seconds; longer than a tick of the file system's clock
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copying tool would set it
    with pytest.raises(CatalogError, match=r"was altered: index/documents\.npy"):
        sealed.read_sealed(folder)


def test_environments_of_a_process_share_one_catalogue(many: Path, tmp_path: Path) -> None:
    folder = build(many, tmp_path / "built")
    one = load_catalog(folder)
    assert load_catalog(str(folder)) is one
    assert load_catalog(folder, goal_seed=1) is not one


def test_human_goals_alone_can_be_built(tmp_path: Path) -> None:
    """A product that the attributes file lacks takes synthetic goals away, nothing else."""
    attributes = {asin: entry for asin, entry in ATTRIBUTES.items() if asin != "B000000003"}
    folder = build(write_catalog(tmp_path / "raw", attributes=attributes), tmp_path / "built")
    assert not (folder / "goals").exists()
    [goal] = load_catalog(folder, human_goals=True).goals
    assert goal.instruction_without_price == HUMAN["B000000003"][0]["instruction"].strip(".")


@pytest.mark.parametrize("settings", [{"num_workers": 0}, {"num_products": 0}, {"num_products": 61}])
def test_bad_numbers_are_refused(many: Path, tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(CatalogError, match=r"expected at least 1|ask for 1 to 60"):
        build(many, tmp_path / "built", **settings)
    assert not list(tmp_path.glob("*built*"))


def test_the_goals_of_a_product_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of many options has as many goals, in an order that is drawn, and its record is as long."""
    colours = {"Color": [{"value": f"shade {number}"} for number in range(40)]}
    items = [item(f"B{number:09d}", "Lamp", customization_options=colours) for number in range(2)]
    raw = write_catalog(tmp_path / "raw", items, {one["asin"]: ATTRIBUTES["B000000002"] for one in items}, {})
    read: list[str] = []
    decode = products.from_row
    monkeypatch.setattr(products, "from_row", lambda row: read.append(row) or decode(row))
    catalog = load_catalog(build(raw, tmp_path / "built"))
    assert len(catalog.goals) == 80
    assert len(read) < 20

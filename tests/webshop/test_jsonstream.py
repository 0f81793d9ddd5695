"""Reading huge JSON files item by item, against the standard library reading them whole."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop import jsonstream
from recrl.webshop.jsonstream import stream_list, stream_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    items=st.lists(VALUES, max_size=6),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
    packed=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_equals_reading_it_whole(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], indent: int, ascii_only: bool, packed: bool, chunk: int
) -> None:
    """Wherever the chunks end: within numbers, escapes, characters of several bytes."""
    folder = tmp_path_factory.mktemp("json")
    named = {f"{number} é": item for number, item in enumerate(items)}
    ending = ".json.gz" if packed else ".json"
    for name, value in (("list", items), ("object", named)):
        data = f" \n{json.dumps(value, indent=indent, ensure_ascii=ascii_only)}\r\n".encode()
        (folder / f"{name}{ending}").write_bytes(gzip.compress(data) if packed else data)
    shares: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonstream, "CHUNK", chunk)
        assert list(stream_list(folder / f"list{ending}", shares.append)) == items
        assert dict(stream_object(folder / f"object{ending}")) == named
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] == 1


@settings(max_examples=150, deadline=None, derandomize=True)
@given(items=st.lists(VALUES, min_size=1, max_size=4), cut=st.integers(1, 200), chunk=st.integers(1, 40))
def test_a_cut_file_is_named_after_its_whole_items(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], cut: int, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "items.json"
    data = json.dumps(items).encode()
    path.write_bytes(data[: -min(cut, len(data))])
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonstream, "CHUNK", chunk)
        with pytest.raises(CatalogError, match=r"items\.json.*(cannot be read as JSON|expected a JSON list)"):
            seen.extend(stream_list(path))
    assert seen[:-1] == items[: max(len(seen) - 1, 0)]  # the last may be a number that was cut


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("{}", "expected a JSON list, got dict"),
        ("3", "expected a JSON list, got int"),
        ("[1 2]", r"expected '\]' at character 3"),
        ("[1,]", "Expecting value"),
        ("[1] 2", "more than one JSON value at character 4"),
        ('["\udcff"]', "can't decode"),
        ("[" * 100_000, "without end"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "items.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CatalogError, match=message):
        list(stream_list(path))


def test_what_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "entries.json"
    for text, message in (("[]", "expected a JSON dict, got list"), ("{1: 2}", "double quotes"), ('{"a" 1}', "':'")):
        path.write_text(text)
        with pytest.raises(CatalogError, match=message):
            dict(stream_object(path))
    with pytest.raises(CatalogError, match="No such file"):
        dict(stream_object(tmp_path / "none.json"))


def test_damage_does_not_read_the_rest_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "CHUNK", 100)
    monkeypatch.setattr(jsonstream, "LARGEST_ITEM", 1000)
    path = tmp_path / "items.json"
    path.write_text('[1, "' + "x" * 100_000)
    read = []
    with pytest.raises(CatalogError, match="Unterminated string"):
        list(stream_list(path, read.append))
    assert read[-1] < 0.1

"""Pairs: what is read, what is refused, and that no instruction is on both sides of the split."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recrl.errors import DatasetError
from recrl.queries.pairs import (
    HELD_OUT_SHARE,
    QueryPair,
    content_words,
    is_held_out,
    left_out_words,
    load_instructions,
    load_pairs,
    normalised,
    split_pairs,
)


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_equal_instructions_are_one_pair(tmp_path: Path) -> None:
    source = write(tmp_path / "pairs.json", {"I need  a HAT": ["hat", "Hat ", "wool [hat]"], "i need a hat": ["cap"]})
    assert load_pairs(source) == [QueryPair("i need a hat", ("hat", "wool hat", "cap"))]


def test_a_dataset_reads_like_a_file(tmp_path: Path) -> None:
    rows = [("a hat", "hat"), ("a shoe", "shoe"), ("a hat", "wool hat")]
    found = datasets.Dataset.from_dict({"instruction": [a for a, _ in rows], "query": [b for _, b in rows]})
    found.save_to_disk(str(tmp_path / "folder"))
    assert load_pairs(str(tmp_path / "folder")) == [
        QueryPair("a hat", ("hat", "wool hat")),
        QueryPair("a shoe", ("shoe",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a hat"], "expected a JSON object, instruction -> list of queries, got a list"),
        ({}, "holds no pairs"),
        ({"a hat": "hat"}, "'a hat' has 'hat', expected a list of at least one query"),
        ({"a hat": []}, "expected a list of at least one query"),
        ({"a hat": ["hat", 3]}, "expected a list of at least one query"),
        ({"a hat": ["[]"]}, "expected words in each"),
        ({" ": ["hat"]}, "expected words in each"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DatasetError) as raised:
        load_pairs(write(tmp_path / "pairs.json", content))
    assert message in str(raised.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(DatasetError, match="is no JSON"):
        load_pairs(str(tmp_path / "broken.json"))
    with pytest.raises(DatasetError, match="expected a JSON file, a folder of `datasets`, or a dataset's Hub id"):
        load_pairs(str(tmp_path / "nowhere.json"))
    datasets.Dataset.from_dict({"instruction": ["a"], "answer": ["b"]}).save_to_disk(str(tmp_path / "columns"))
    with pytest.raises(DatasetError, match="it lacks the columns query; it has instruction, answer"):
        load_pairs(str(tmp_path / "columns"))
    datasets.Dataset.from_dict({"instruction": ["a", "b"], "query": ["b", " "]}).save_to_disk(str(tmp_path / "blank"))
    with pytest.raises(DatasetError, match=r"row 1 is \('b', ' '\), expected words in both"):
        load_pairs(str(tmp_path / "blank"))
    with pytest.raises(DatasetError, match="no such file"):
        load_instructions(str(tmp_path / "nowhere.json"))
    with pytest.raises(DatasetError, match="expected a JSON list of instructions"):
        load_instructions(write(tmp_path / "list.json", ["a hat", 3]))


@given(st.lists(st.text(min_size=1).filter(normalised), unique_by=normalised))
def test_the_split_depends_on_the_words_alone(instructions: list[str]) -> None:
    pairs = [QueryPair(normalised(text), ("query",)) for text in instructions]
    train, held_out = split_pairs(pairs)
    assert sorted(map(hash, train + held_out)) == sorted(map(hash, pairs))
    assert split_pairs(pairs[::-1]) == (train[::-1], held_out[::-1])
    for text in instructions:
        assert is_held_out(text) == is_held_out(normalised(text)) == is_held_out(f" {text} ")


def test_a_tenth_is_held_out() -> None:
    share = sum(is_held_out(f"i want product {number}") for number in range(20_000)) / 20_000
    assert abs(share - HELD_OUT_SHARE) < 0.01


@given(st.text())
def test_normalised_text_stays_as_it_is(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert not set("[]\n") & set(once)


def test_content_words_are_what_people_keep() -> None:
    pairs = [QueryPair(f"i want a {colour} hat", (f"{colour} hat",)) for colour in ("red", "blue", "green")]
    left_out = left_out_words(pairs)
    assert left_out == {"i", "want", "a"}
    assert content_words("I want a Purple hat", left_out) == "purple hat"
    assert content_words("i want a", left_out) == "i want a"
    assert left_out_words(pairs[:2]) == frozenset()  # two queries are too few to tell


@pytest.mark.realdata
def test_the_published_pairs(webshop_dir: Path) -> None:
    pairs = load_pairs(str(webshop_dir / "goal_query_map.json"))
    train, held_out = split_pairs(pairs)
    assert (len(pairs), len(train), len(held_out)) == (1506, 1362, 144)
    assert sum(len(pair.queries) for pair in pairs) == 2140
    assert len(load_instructions(str(webshop_dir / "human_goals.json"))) == 11562

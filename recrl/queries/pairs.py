"""What a search model learns from: pairs of an instruction and a query that a person typed for it.

Pairs are split by instruction, by a hash of its words: the same instruction is always on the same side, whatever else
the file holds and in whatever order.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError
from recrl.files import read_json
from recrl.webshop.actions import as_query

QUERY_COLUMNS = ("instruction", "query")
HELD_OUT_SHARE = 0.1
LEFT_OUT_BELOW = 1 / 3  # share of the queries that keep a word, below which it counts as left out


@dataclass(frozen=True, slots=True)
class QueryPair:
    """An instruction and the queries that were typed for it, each once, all as `normalised` makes them."""

    instruction: str
    queries: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.instruction or not self.queries or not all(self.queries):
            raise DatasetError(
                f"instruction={self.instruction!r} with queries={list(self.queries)!r}: expected words in each"
            )


def normalised(text: str) -> str:
    """Lower-case words with single blanks between them; brackets count as blanks. It may be empty."""
    return " ".join(as_query(text.lower()).split())


def is_held_out(instruction: str) -> bool:
    """Whether the instruction is kept for the report: a tenth of all texts is, by their SHA-256."""
    digest = hashlib.sha256(normalised(instruction).encode("utf-8")).hexdigest()
    return int(digest[:8], 16) / 16**8 < HELD_OUT_SHARE


def split_pairs(pairs: Iterable[QueryPair]) -> tuple[list[QueryPair], list[QueryPair]]:
    """The pairs to train on, and the held-out ones; see `is_held_out`."""
    sides: tuple[list[QueryPair], list[QueryPair]] = ([], [])
    for pair in pairs:
        sides[is_held_out(pair.instruction)].append(pair)
    return sides


def load_pairs(source: str) -> list[QueryPair]:
    """Reads pairs; instructions that are equal when normalised are one pair, in the order of their first appearance.

    Args:
        source: a JSON file with one object, instruction -> list of queries (WebShop's ``goal_query_map.json``); or a
            `datasets` folder, or a dataset's Hub id, with the columns ``instruction`` and ``query``.

    Raises:
        DatasetError: the file is missing, of another form, or holds no pair.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for instruction, query in _file_rows(Path(source)) if Path(source).is_file() else _dataset_rows(source):
        found[normalised(instruction)].append(normalised(query))
    if not found:
        raise DatasetError(f"{source} holds no pairs of an instruction and a query; expected at least one")
    return [QueryPair(instruction, tuple(dict.fromkeys(queries))) for instruction, queries in found.items()]


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise DatasetError(f"{path} is no JSON ({error}); expected a UTF-8 JSON file") from error


def _file_rows(path: Path) -> Iterable[tuple[str, str]]:
    content = _read_json(path)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected a JSON object, instruction -> list of queries, got a {_name(content)}")
    for instruction, queries in content.items():
        if not isinstance(queries, list) or not queries or not all(isinstance(query, str) for query in queries):
            raise DatasetError(f"{path}: {instruction!r} has {queries!r:.80}, expected a list of at least one query")
        if not normalised(instruction) or not all(map(normalised, queries)):
            raise DatasetError(
                f"{path}: {instruction!r} with {queries!r:.80}: expected words in each; remove the entry"
            )
        yield from ((instruction, query) for query in queries)


def _dataset_rows(source: str) -> Iterable[tuple[str, str]]:
    from recrl.episodes.stored import open_dataset

    found = open_dataset(source, QUERY_COLUMNS, "a JSON file, a folder of `datasets`, or a dataset's Hub id")
    for number, row in enumerate(found):
        words = row["instruction"], row["query"]
        if not all(isinstance(text, str) and normalised(text) for text in words):
            raise DatasetError(f"{source}: row {number} is {words!r:.120}, expected words in both; remove the row")
        yield words


def load_instructions(source: str) -> list[str]:
    """Reads instructions without queries from a JSON list of texts (WebShop's ``human_goals.json``), normalised, each
    once.

    Raises:
        DatasetError: the file is missing, or no such list.
    """
    path = Path(source)
    if not path.is_file():
        raise DatasetError(f"{source}: no such file; expected a JSON list of instructions")
    content = _read_json(path)
    if not isinstance(content, list) or not all(isinstance(text, str) and normalised(text) for text in content):
        raise DatasetError(f"{path}: expected a JSON list of instructions, each a text, got a {_name(content)}")
    return list(dict.fromkeys(map(normalised, content)))


def _name(value: Any) -> str:
    names: dict[type, str] = {dict: "object", list: "list with other things"}
    return names.get(type(value), type(value).__name__)


def left_out_words(pairs: Sequence[QueryPair]) -> frozenset[str]:
    """The words of instructions that people leave out of their queries: fewer than a third keep them.

    Every word starts with one query that keeps it, so a word must be left out of three to be among them; queries of
    one instruction share its weight.
    """
    seen: dict[str, float] = defaultdict(lambda: 1.0)
    kept: dict[str, float] = defaultdict(lambda: 1.0)
    for pair in pairs:
        for query in pair.queries:
            words = set(query.split())
            for word in set(pair.instruction.split()):
                seen[word] += 1 / len(pair.queries)
                kept[word] += (word in words) / len(pair.queries)
    return frozenset(word for word in seen if kept[word] / seen[word] < LEFT_OUT_BELOW)


def content_words(instruction: str, left_out: frozenset[str]) -> str:
    """The normalised instruction without the words that are left out; all of it if none remains."""
    words = normalised(instruction)
    return " ".join(word for word in words.split() if word not in left_out) or words

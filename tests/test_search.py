"""Search against a plain-loop twin, closed forms, and the rankings and scores that Lucene gave."""

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import read_recording, recorded_catalogs, recorded_products
from recrl.errors import CatalogError
from recrl.webshop.analyzer import analyze
from recrl.webshop.search import SearchIndex, rounded_length

TEXTS = ["red running shoe", "blue shoe shoe", "red hat", "the of", "shoe"]
ASINS = ["B5", "B2", "B3", "B4", "B1"]


def plain_search(texts: list[str], asins: list[str], words: str, limit: int) -> list[tuple[int, float]]:
    """The formula of `recrl.webshop.search`, one document and one term at a time, in double precision."""
    documents = [analyze(text) for text in texts]
    count = sum(1 for tokens in documents if tokens)
    average = sum(len(tokens) for tokens in documents) / max(count, 1)
    hits = []
    for position, tokens in enumerate(documents):
        score = 0.0
        for term in set(analyze(words)):
            frequency = sum(term in other for other in documents)
            if term in tokens:
                weight = analyze(words).count(term) * math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
                norm = 1 / (0.9 * (1 - 0.4 + 0.4 * len(tokens) / average))
                score += weight - weight / (1 + tokens.count(term) * norm)
        if score > 0:
            hits.append((position, score))
    hits.sort(key=lambda hit: (-round(hit[1], 5), asins[hit[0]]))
    return hits[:limit]


def test_score_of_one_word_in_closed_form() -> None:
    """N = 4 documents with tokens, df = 1, tf = 1, length 3, average 9 / 4."""
    [(position, score)] = SearchIndex.build(TEXTS, ASINS).search_scores("running")
    weight = math.log(1 + 3.5 / 1.5)
    assert position == 0
    assert score == pytest.approx(weight - weight / (1 + 1 / (0.9 * (0.6 + 0.4 * 3 / 2.25))), abs=1e-6)


def test_order_ties_and_limit() -> None:
    index = SearchIndex.build(["red hat", "red hat", "red hat", "red red hat"], ["B3", "B1", "B2", "B4"])
    assert index.search("red") == [3, 1, 2, 0]  # the better one, then equal scores by asin
    assert index.search("red", limit=2) == [3, 1]
    assert index.search("hat", limit=1) == [1]


def test_no_hits() -> None:
    index = SearchIndex.build(TEXTS, ASINS)
    assert index.search("the of") == index.search("") == index.search("unheard words") == []


def test_repeated_words_count_more() -> None:
    index = SearchIndex.build(["red", "hat", "hat"], ["B1", "B2", "B3"])
    once, thrice = (dict(index.search_scores(words)) for words in ("hat red", "hat hat hat red"))
    assert thrice[1] == pytest.approx(3 * once[1], rel=1e-6)
    assert thrice[0] == once[0]
    assert index.search("hat red")[0] == 0
    assert index.search("hat hat hat red") == [1, 2, 0]


WORDS = st.lists(st.sampled_from("red blue shoe hat wool warm soft cheap".split()), max_size=9).map(" ".join)


@settings(deadline=None, derandomize=True)
@given(st.lists(WORDS, min_size=1, max_size=8), WORDS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_equals_the_plain_loop(texts: list[str], words: str, limit: int, random: Random) -> None:
    """Scores within float32's precision, the same products up to differences that small, in any product order."""
    asins = [f"B{number}" for number in random.sample(range(100), len(texts))]
    ours = SearchIndex.build(texts, asins).search_scores(words, limit)
    expected = plain_search(texts, asins, words, limit)
    assert [score for _, score in ours] == pytest.approx([score for _, score in expected], abs=1e-5)
    every = dict(plain_search(texts, asins, words, len(texts)))
    assert all(score == pytest.approx(every[position], abs=1e-5) for position, score in ours)
    assert ours == sorted(ours, key=lambda hit: (-hit[1], asins[hit[0]]))


def test_lengths_are_rounded_as_lucene_does() -> None:
    """Four significant bits above 24: the values of Lucene's SmallFloat.byte4ToInt(intToByte4(length))."""
    assert [rounded_length(length) for length in range(41)] == [*range(40), 40]
    assert [rounded_length(length) for length in (41, 55, 56, 57, 59, 60, 100, 1000, 1023)] == [
        *[40, 54, 56, 56, 56, 60, 96, 984, 984]
    ]


def test_saved_index_is_memory_mapped_and_equal(tmp_path: Path) -> None:
    built = SearchIndex.build(TEXTS, ASINS)
    built.save(tmp_path / "search")
    loaded = SearchIndex.load(tmp_path / "search")
    assert isinstance(loaded.documents.base, np.memmap)
    for words in ("red shoe", "blue", "hat running shoe shoe"):
        assert loaded.search_scores(words) == built.search_scores(words)


def test_catalogue_without_a_token(tmp_path: Path) -> None:
    SearchIndex.build(["the", ""], ["B1", "B2"]).save(tmp_path)
    assert SearchIndex.load(tmp_path).search("the shoe") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "idf.npy").unlink(), "cannot read"),
        (lambda folder: (folder / "vocabulary.json").write_text("[", encoding="utf-8"), "cannot read"),
        (lambda folder: (folder / "vocabulary.json").write_text('["red"]', encoding="utf-8"), "term_starts has 6"),
        (lambda folder: (folder / "documents.npy").write_bytes((folder / "documents.npy").read_bytes()[:-4]), "cannot"),
    ],
)
def test_damaged_index(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    SearchIndex.build(TEXTS, ASINS).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(CatalogError, match=message):
        SearchIndex.load(tmp_path)


def test_wrong_input() -> None:
    with pytest.raises(CatalogError, match="2 for 1 products"):
        SearchIndex.build(["a", "b"], ["B1"])
    with pytest.raises(CatalogError, match="B1 is repeated"):
        SearchIndex.build(["a", "b"], ["B1", "B1"])


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "num_searches"), [("real", 150), ("quirks", 500)])
def test_equals_the_recorded_rankings(webshop_dir: Path, golden_dir: Path, name: str, num_searches: int) -> None:
    """All 50 places, and the scores to the four decimals that the recordings have."""
    items_file, recordings = recorded_catalogs(webshop_dir, golden_dir)[name]
    products = recorded_products(items_file, recordings)
    asins = [product.asin for product in products]
    index = SearchIndex.build([product.search_text for product in products], asins)
    records = read_recording(recordings, "searches")
    assert len(records) == num_searches
    for record in records:
        hits = index.search_scores(record["q"])
        assert [asins[position] for position, _ in hits] == record["asins"], record["q"]
        assert [score for _, score in hits] == pytest.approx(record["scores"], abs=1e-4), record["q"]

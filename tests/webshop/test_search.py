"""Search against a plain-loop twin, closed forms, and the rankings and scores that Lucene gave."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import read_recording, recorded_catalogs, recorded_products
from recrl.errors import CatalogError
from recrl.webshop import search
from recrl.webshop.analyzer import analyze
from recrl.webshop.catalog import LONGEST_QUERY_KEPT, load_catalog
from recrl.webshop.indexing import Postings, rounded_length, write_index
from recrl.webshop.search import SearchIndex

TEXTS = ["red running shoe", "blue shoe shoe", "red hat", "the of", "shoe"]
ASINS = ["B5", "B2", "B3", "B4", "B1"]


def build_index(folder: Path, texts: Sequence[str], asins: Sequence[str], part_size: int = 1 << 20) -> SearchIndex:
    """Indexes the texts in parts of so many, and opens the result."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(texts), part_size):
        parts.append(folder / f"part{start}.npz")
        Postings.count(texts[start : start + part_size]).save(parts[-1])
    write_index(folder, parts, asins)
    return SearchIndex.load(folder)


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


def test_score_of_one_word_in_closed_form(tmp_path: Path) -> None:
    """N = 4 documents with tokens, df = 1, tf = 1, length 3, average 9 / 4."""
    [(position, score)] = build_index(tmp_path, TEXTS, ASINS).search_scores("running")
    weight = math.log(1 + 3.5 / 1.5)
    assert position == 0
    assert score == pytest.approx(weight - weight / (1 + 1 / (0.9 * (0.6 + 0.4 * 3 / 2.25))), abs=1e-6)


def test_order_ties_and_limit(tmp_path: Path) -> None:
    index = build_index(tmp_path, ["red hat", "red hat", "red hat", "red red hat"], ["B3", "B1", "B2", "B4"])
    assert index.search("red") == [3, 1, 2, 0]  # the better one, then equal scores by asin
    assert index.search("red", limit=2) == [3, 1]
    assert index.search("hat", limit=1) == [1]


def test_no_hits(tmp_path: Path) -> None:
    index = build_index(tmp_path, TEXTS, ASINS)
    assert index.search("the of") == index.search("") == index.search("unheard words") == []


def test_repeated_words_count_more(tmp_path: Path) -> None:
    index = build_index(tmp_path, ["red", "hat", "hat"], ["B1", "B2", "B3"])
    once, thrice = (dict(index.search_scores(words)) for words in ("hat red", "hat hat hat red"))
    assert thrice[1] == pytest.approx(3 * once[1], rel=1e-6)
    assert thrice[0] == once[0]
    assert index.search("hat red")[0] == 0
    assert index.search("hat hat hat red") == [1, 2, 0]


WORDS = st.lists(st.sampled_from("red blue shoe hat wool warm soft cheap".split()), max_size=9).map(" ".join)


@settings(deadline=None, derandomize=True)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=8),
    words=WORDS,
    limit=st.integers(1, 5),
    part_size=st.integers(1, 8),
    random=st.randoms(use_true_random=False),
)
def test_equals_the_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], words: str, limit: int, part_size: int, random: Random
) -> None:
    """Scores within float32's precision, the same products up to differences that small, in any product order."""
    asins = [f"B{number}" for number in random.sample(range(100), len(texts))]
    ours = build_index(tmp_path_factory.mktemp("index"), texts, asins, part_size).search_scores(words, limit)
    expected = plain_search(texts, asins, words, limit)
    assert [score for _, score in ours] == pytest.approx([score for _, score in expected], abs=1e-5)
    every = dict(plain_search(texts, asins, words, len(texts)))
    assert all(score == pytest.approx(every[position], abs=1e-5) for position, score in ours)
    assert ours == sorted(ours, key=lambda hit: (-hit[1], asins[hit[0]]))


@pytest.mark.parametrize("few_postings", [0, 40])
def test_leaving_documents_out_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_postings: int
) -> None:
    """Scores and places are the very ones that scoring every document gives, among many ties, for any limit."""
    random = Random(0)
    vocabulary = [f"w{number}" for number in range(60)]
    rare_first = [1 / (number + 1) for number in range(60)]
    texts = [" ".join(random.choices(vocabulary, rare_first, k=random.randint(1, 12))) for _ in range(400)]
    asins = [f"B{number}" for number in random.sample(range(1000), 400)]
    index = build_index(tmp_path, texts, asins, part_size=150)
    queries = [" ".join(random.choices(vocabulary, k=random.randint(1, 9))) for _ in range(150)]
    expected = {(words, limit): index.search_scores(words, limit) for words in queries for limit in (1, 7, 50, 1000)}
    left_out = []
    candidates = SearchIndex._candidates

    def counted(self: SearchIndex, terms: np.ndarray, weights: np.ndarray, limit: int) -> np.ndarray:
        documents = candidates(self, terms, weights, limit)
        left_out.append(len(expected_holders(self, terms)) - len(documents))
        return documents

    def expected_holders(index: SearchIndex, terms: np.ndarray) -> set[int]:
        spans = (index.documents[index.term_starts[term] : index.term_starts[term + 1]] for term in terms)
        return set().union(*(span.tolist() for span in spans))

    monkeypatch.setattr(search, "FEW_POSTINGS", few_postings)
    monkeypatch.setattr(SearchIndex, "_candidates", counted)
    for (words, limit), hits in expected.items():
        assert index.search_scores(words, limit) == hits, (words, limit)
    assert sum(count > 0 for count in left_out) > len(left_out) / 3  # it does leave documents out


def test_lengths_are_rounded_as_lucene_does() -> None:
    """Four significant bits above 24: the values of Lucene's SmallFloat.byte4ToInt(intToByte4(length))."""
    assert [rounded_length(length) for length in range(41)] == [*range(40), 40]
    assert [rounded_length(length) for length in (41, 55, 56, 57, 59, 60, 100, 1000, 1023)] == [
        *[40, 54, 56, 56, 56, 60, 96, 984, 984]
    ]


def test_an_index_is_memory_mapped(tmp_path: Path) -> None:
    index = build_index(tmp_path, [" ".join(f"w{number}" for number in range(100))] * 3, ["B1", "B2", "B3"])
    assert all(isinstance(getattr(index, name).base, np.memmap) for name in ("documents", "saturations", "term_hashes"))


def test_catalogue_without_a_token(tmp_path: Path) -> None:
    assert build_index(tmp_path, ["the", ""], ["B1", "B2"]).search("the shoe") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "idf.npy").unlink(), "cannot be read"),
        (lambda folder: np.save(folder / "term_hashes.npy", np.array([1, 2], np.uint64)), "term_starts has 6 entries"),
        (lambda folder: (folder / "documents.npy").write_bytes((folder / "documents.npy").read_bytes()[:-4]), "cannot"),
    ],
)
def test_damaged_index(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    build_index(tmp_path, TEXTS, ASINS)
    damage(tmp_path)
    with pytest.raises(CatalogError, match=message):
        SearchIndex.load(tmp_path)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "num_searches"), [("real", 150), ("quirks", 500)])
def test_equals_the_recorded_rankings(
    webshop_dir: Path, golden_dir: Path, tmp_path: Path, name: str, num_searches: int
) -> None:
    """All 50 places, and the scores to the four decimals that the recordings have."""
    items_file, recordings = recorded_catalogs(webshop_dir, golden_dir)[name]
    products = recorded_products(items_file, recordings)
    asins = [product.asin for product in products]
    index = build_index(tmp_path, [product.search_text for product in products], asins, part_size=300)
    records = read_recording(recordings, "searches")
    assert len(records) == num_searches
    for record in records:
        hits = index.search_scores(record["q"])
        assert [asins[position] for position, _ in hits] == record["asins"], record["q"]
        assert [score for _, score in hits] == pytest.approx(record["scores"], abs=1e-4), record["q"]


def test_long_queries_are_answered_and_not_kept() -> None:
    catalog = load_catalog()
    before = catalog._search.cache_info().currsize
    title = catalog.products[0].title
    long = f"{title} {'shoe ' * LONGEST_QUERY_KEPT}"
    assert catalog.search(long) == list(catalog._index.search(long, 50))
    assert catalog._search.cache_info().currsize == before

"""Making the search index: the postings of one part of the products after another, then all merged into one folder.

Documents are numbered as the products are. Terms are known by 64 bits of their BLAKE2b hash alone, in ascending order,
so that the vocabulary is memory-mapped like the rest; of two million terms two agree with a probability of 1e-7, and a
word that is in no product passes for one with 1e-13.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recrl.webshop.analyzer import analyze
from recrl.webshop.rawfiles import RawProduct

K1 = np.float32(0.9)
B = np.float32(0.4)
INDEX_ARRAYS = (
    "term_hashes",
    "term_starts",
    "idf",
    "most_saturations",
    "documents",
    "saturations",
    "ranks",
    "by_asin",
)


def search_text(product: RawProduct) -> str:
    """What the search engine reads of a product."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join([product.title, product.description, product.bullet_points[0], options]).lower()


@functools.lru_cache(maxsize=1 << 17)
def term_hash(term: str) -> int:
    """64 bits that stand for a term."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """Which terms stand in which of some documents, and how often.

    Attributes:
        term_hashes: (terms,) uint64, ascending.
        term_starts: (terms + 1,) int64; the postings of term t are ``term_starts[t]:term_starts[t + 1]``.
        documents: (postings,) int32, from 0, ascending within a term; counts: (postings,) int32.
        lengths: (documents,) int64, tokens of each.
    """

    term_hashes: np.ndarray
    term_starts: np.ndarray
    documents: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def count(cls, texts: Sequence[str]) -> "Postings":
        """Analyses and counts one text per document."""
        terms: list[int] = []
        counts: list[int] = []
        sizes, lengths = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        for document, text in enumerate(texts):
            found = Counter(analyze(text))
            terms.extend(map(term_hash, found))
            counts.extend(found.values())
            sizes[document], lengths[document] = len(found), found.total()
        hash_of = np.array(terms, np.uint64)
        by_term = np.argsort(hash_of, kind="stable")
        hashes, frequencies = np.unique(hash_of, return_counts=True)
        return cls(
            term_hashes=hashes,
            term_starts=np.concatenate(([0], np.cumsum(frequencies))).astype(np.int64),
            documents=np.repeat(np.arange(len(texts), dtype=np.int32), sizes)[by_term],
            counts=np.array(counts, np.int32)[by_term],
            lengths=lengths,
        )

    def save(self, path: Path) -> None:
        """Writes one file, which `load` reads."""
        with open(path, "wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> "Postings":
        with np.load(path) as arrays:
            return cls(**arrays)


def write_index(folder: Path, parts: Sequence[Path], asins: Iterable[str]) -> None:
    """Merges the saved postings of consecutive parts of the products into the arrays of a `SearchIndex`.

    Args:
        folder: takes one file per array of `INDEX_ARRAYS`; must exist.
        parts: files that `Postings.save` wrote.
        asins: of all products; equal scores are ordered by them.
    """
    vocabulary = np.empty(0, np.uint64)
    all_lengths = []
    for path in parts:
        part = Postings.load(path)
        vocabulary = np.union1d(vocabulary, part.term_hashes)
        all_lengths.append(part.lengths)
    frequencies = np.zeros(len(vocabulary), np.int64)
    for path in parts:
        part = Postings.load(path)
        frequencies[np.searchsorted(vocabulary, part.term_hashes)] += np.diff(part.term_starts)
    starts = np.concatenate(([0], np.cumsum(frequencies)))
    lengths = np.concatenate([np.empty(0, np.int64), *all_lengths])
    document_norms = norms(lengths)

    def on_disk(name: str, dtype: type, length: int) -> np.ndarray:
        if not length:  # nothing can be mapped
            np.save(folder / f"{name}.npy", np.empty(0, dtype))
            return np.empty(0, dtype)
        return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(length,))

    documents = on_disk("documents", np.int32, int(starts[-1]))
    saturations = on_disk("saturations", np.float32, int(starts[-1]))
    most = np.zeros(len(vocabulary), np.float32)
    free, first_document = starts[:-1].copy(), 0  # the next free place of each term
    for path in parts:
        part = Postings.load(path)
        terms, sizes = np.searchsorted(vocabulary, part.term_hashes), np.diff(part.term_starts)
        places = np.repeat(free[terms] - part.term_starts[:-1], sizes) + np.arange(len(part.documents))
        document_of = part.documents + np.int32(first_document)
        values = np.float32(1) + part.counts.astype(np.float32) * document_norms[document_of]
        documents[places], saturations[places] = document_of, values
        if len(terms):
            most[terms] = np.maximum(most[terms], np.maximum.reduceat(values, part.term_starts[:-1]))
        free[terms] += sizes
        first_document += len(part.lengths)
    del documents, saturations  # written

    num_documents = np.count_nonzero(lengths)
    listed = list(asins)
    by_asin = np.array(sorted(range(len(listed)), key=listed.__getitem__), np.int32)
    ranks = np.empty(len(listed), np.int32)
    ranks[by_asin] = np.arange(len(listed), dtype=np.int32)
    for name, array in {
        "term_hashes": vocabulary,
        "term_starts": starts,
        "idf": np.log(1 + (num_documents - frequencies + 0.5) / (frequencies + 0.5)),
        "most_saturations": most,
        "ranks": ranks,
        "by_asin": by_asin,
    }.items():
        np.save(folder / f"{name}.npy", array)


def norms(lengths: np.ndarray) -> np.ndarray:
    """(documents,) token counts -> (documents,) float32 norms of the formula in `recrl.webshop.search`."""
    if not lengths.any():
        return np.ones(len(lengths), np.float32)
    average = np.float32(lengths.sum() / np.count_nonzero(lengths))
    distinct, place = np.unique(lengths, return_inverse=True)
    rounded = np.array([rounded_length(length) for length in distinct.tolist()], np.float32)[place]
    return np.float32(1) / (K1 * ((np.float32(1) - B) + B * rounded / average))


def rounded_length(length: int) -> int:
    """A document length as Lucene's SmallFloat keeps it in one byte: exact up to 39, then four significant bits."""
    exact = 24  # codes left over after Integer.MAX_VALUE has got the largest
    if length < exact:
        return length
    shift = max((length - exact).bit_length() - 4, 0)
    return exact + ((length - exact) >> shift << shift)

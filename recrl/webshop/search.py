"""BM25 search, with the scores and the order of Lucene 8 (k1 = 0.9, b = 0.4).

    score(term, document) = w - w / (1 + tf * norm(length))                     in float32, Lucene's BM25Similarity
    w = qtf * ln(1 + (N - df + 0.5) / (df + 0.5))
    norm(length) = 1 / (k1 * (1 - b + b * length / average))

tf and qtf are the term's counts in the document and in the query, df the number of documents with the term, N the
number of documents with any token. The length is rounded as Lucene stores it, in one byte. The scores of a document's
terms are summed in double precision and then rounded to float32; equal ones are ordered by asin.
"""

import functools
import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recrl.errors import CatalogError
from recrl.webshop.analyzer import analyze

K1 = np.float32(0.9)
B = np.float32(0.4)
MAX_HITS = 50

_ARRAYS = ("term_starts", "documents", "saturations", "idf", "positions")


@dataclass(frozen=True, slots=True, eq=False)
class SearchIndex:
    """An inverted index over the products' search texts. Documents are numbered in the order of their asins.

    Attributes:
        vocabulary: term -> its number.
        term_starts: (terms + 1,) int64; the postings of term t are ``term_starts[t]:term_starts[t + 1]``.
        documents: (postings,) int32, ascending within a term.
        saturations: (postings,) float32, ``1 + tf * norm(length)``.
        idf: (terms,) float64, the logarithm in the formula above.
        positions: (documents,) int32, the place of each document in the list of products.
    """

    vocabulary: dict[str, int]
    term_starts: np.ndarray
    documents: np.ndarray
    saturations: np.ndarray
    idf: np.ndarray
    positions: np.ndarray

    @classmethod
    def build(cls, texts: Sequence[str], asins: Sequence[str]) -> "SearchIndex":
        """Indexes one text per product.

        Raises:
            CatalogError: there are not as many texts as asins, or an asin occurs twice.
        """
        if len(texts) != len(asins):
            raise CatalogError(f"expected one search text per product, got {len(texts)} for {len(asins)} products")
        if len(set(asins)) != len(asins):
            repeated = next(asin for asin, count in Counter(asins).items() if count > 1)
            raise CatalogError(f"expected every asin once, but {repeated} is repeated; drop the later products")
        positions = sorted(range(len(asins)), key=lambda position: asins[position])

        vocabulary: dict[str, int] = {}
        terms, documents, counts = array("i"), array("i"), array("i")  # one entry per posting
        lengths = np.zeros(len(texts), np.int64)
        for document, position in enumerate(positions):
            tokens = analyze(texts[position])
            lengths[document] = len(tokens)
            for token, count in Counter(tokens).items():
                terms.append(vocabulary.setdefault(token, len(vocabulary)))
                documents.append(document)
                counts.append(count)

        term_of = np.asarray(terms, np.int32)
        by_term = np.argsort(term_of, kind="stable")  # (postings,)
        document_of = np.asarray(documents, np.int32)[by_term]
        count_of = np.asarray(counts, np.float32)[by_term]
        frequencies = np.bincount(term_of, minlength=len(vocabulary))  # (terms,)
        num_documents = np.count_nonzero(lengths)
        return cls(
            vocabulary=vocabulary,
            term_starts=np.concatenate(([0], np.cumsum(frequencies))).astype(np.int64),
            documents=document_of,
            saturations=np.float32(1) + count_of * _norms(lengths)[document_of],
            idf=np.log(1 + (num_documents - frequencies + 0.5) / (frequencies + 0.5)),
            positions=np.asarray(positions, np.int32),
        )

    def search(self, words: str, limit: int = MAX_HITS) -> list[int]:
        """The positions of the best products for ``words``, best first; none if no word is in the index."""
        documents, _ = self._hits(words, limit)
        return self.positions[documents].tolist()

    def search_scores(self, words: str, limit: int = MAX_HITS) -> list[tuple[int, float]]:
        """As `search`, each position with its BM25 score."""
        documents, scores = self._hits(words, limit)
        return list(zip(self.positions[documents].tolist(), scores.tolist(), strict=True))

    def _hits(self, words: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """The best documents, best first, and their float32 scores, each (hits,)."""
        query = Counter(token for token in analyze(words) if token in self.vocabulary)
        documents, scores = [], []
        for token, count in query.items():
            term = self.vocabulary[token]
            postings = slice(self.term_starts[term], self.term_starts[term + 1])
            weight = np.float32(count * self.idf[term])
            documents.append(self.documents[postings])
            scores.append(weight - weight / self.saturations[postings])
        if not documents:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        totals = np.bincount(
            np.concatenate(documents), weights=np.concatenate(scores), minlength=len(self.positions)
        ).astype(np.float32)  # (documents,)
        found = np.flatnonzero(totals)
        if len(found) > limit:
            worst_kept = np.partition(totals[found], len(found) - limit)[len(found) - limit]
            found = found[totals[found] >= worst_kept]  # more than limit if several score the same
        best = found[np.argsort(-totals[found], kind="stable")][:limit]
        return best, totals[best]

    def save(self, folder: str | Path) -> None:
        """Writes the index into ``folder``, one file per array and ``vocabulary.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "vocabulary.json").write_text(json.dumps(list(self.vocabulary), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "SearchIndex":
        """Opens an index that `save` wrote; its arrays stay on the disk until they are read.

        Raises:
            CatalogError: a file is missing, truncated or does not belong to the others.
        """
        folder = Path(folder)
        try:
            arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS}
            terms = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, EOFError) as error:
            raise CatalogError(
                f"cannot read the search index in {folder} ({error}); build the catalogue again"
            ) from error
        index = cls(vocabulary={term: number for number, term in enumerate(terms)}, **arrays)
        index._check(folder)
        return index

    def _check(self, folder: Path) -> None:
        """Raises CatalogError if the arrays' lengths contradict each other."""
        expected = {
            "term_starts": len(self.vocabulary) + 1,
            "idf": len(self.vocabulary),
            "documents": int(self.term_starts[-1]) if len(self.term_starts) else 0,
            "saturations": len(self.documents),
        }
        for name, length in expected.items():
            if len(getattr(self, name)) != length:
                raise CatalogError(
                    f"the search index in {folder} is inconsistent: {name} has {len(getattr(self, name))} entries "
                    f"instead of {length}; build the catalogue again"
                )


def _norms(lengths: np.ndarray) -> np.ndarray:
    """(documents,) token counts -> (documents,) float32 norms of the formula above."""
    if not lengths.any():
        return np.ones(len(lengths), np.float32)
    average = np.float32(lengths.sum() / np.count_nonzero(lengths))
    rounded = np.array([rounded_length(length) for length in lengths.tolist()], np.float32)
    return np.float32(1) / (K1 * ((np.float32(1) - B) + B * rounded / average))


@functools.cache
def rounded_length(length: int) -> int:
    """A document length as Lucene's SmallFloat keeps it in one byte: exact up to 39, then four significant bits."""
    exact = 24  # codes left over after Integer.MAX_VALUE has got the largest
    if length < exact:
        return length
    shift = max((length - exact).bit_length() - 4, 0)
    return exact + ((length - exact) >> shift << shift)

"""BM25 search, with the scores and the order of Lucene 8 (k1 = 0.9, b = 0.4).

    score(term, document) = w - w / (1 + tf * norm(length))                     in float32, Lucene's BM25Similarity
    w = qtf * ln(1 + (N - df + 0.5) / (df + 0.5))
    norm(length) = 1 / (k1 * (1 - b + b * length / average))

tf and qtf are the term's counts in the document and in the query, df the number of documents with the term, N the
number of documents with any token. The length is rounded as Lucene stores it, in one byte. The scores of a document's
terms are summed in double precision and then rounded to float32; equal ones are ordered by asin.

Where a query's terms stand in many documents, most of them are never scored: by the MaxScore rule (Turtle and Flood,
"Query evaluation: strategies and optimizations", Information Processing & Management 31(6), 1995) a document that has
none of the rare terms is left out as soon as all frequent terms together cannot lift it among the best. The result is
the same.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recrl.errors import CatalogError
from recrl.webshop.analyzer import analyze
from recrl.webshop.indexing import INDEX_ARRAYS, term_hash
from recrl.webshop.sealed import map_array

MAX_HITS = 50
FEW_POSTINGS = 1 << 14  # of a query; so many are scored one and all
_ROUNDING = 1e-5  # relative; more than float32 sums of a query's terms can be off


@dataclass(frozen=True, slots=True, eq=False)
class SearchIndex:
    """An inverted index over the products' search texts, made by `recrl.webshop.indexing.write_index`.

    Attributes:
        term_hashes: (terms,) uint64, ascending.
        term_starts: (terms + 1,) int64; the postings of term t are ``term_starts[t]:term_starts[t + 1]``.
        idf: (terms,) float64, the logarithm in the formula above.
        documents: (postings,) int32 positions of products, ascending within a term.
        saturations: (postings,) float32, ``1 + tf * norm(length)``; most_saturations: (terms,), the largest of each.
        ranks: (products,) int32, each one's place in the order of the asins; by_asin: (products,) int32, the inverse.
    """

    term_hashes: np.ndarray
    term_starts: np.ndarray
    idf: np.ndarray
    most_saturations: np.ndarray
    documents: np.ndarray
    saturations: np.ndarray
    ranks: np.ndarray
    by_asin: np.ndarray

    @classmethod
    def load(cls, folder: str | Path) -> "SearchIndex":
        """Opens an index; its arrays stay on the disk until they are read.

        Raises:
            CatalogError: a file is missing, cannot be read, or contradicts another.
        """
        index = cls(**{name: map_array(Path(folder) / f"{name}.npy") for name in INDEX_ARRAYS})
        terms, postings = len(index.term_hashes), int(index.term_starts[-1]) if len(index.term_starts) else 0
        expected = {
            "term_starts": terms + 1, "idf": terms, "most_saturations": terms,
            "documents": postings, "saturations": postings, "by_asin": len(index.ranks),
        }  # fmt: skip
        for name, length in expected.items():
            if len(getattr(index, name)) != length:
                raise CatalogError(
                    f"the search index in {folder} is inconsistent: {name} has {len(getattr(index, name))} entries "
                    f"instead of {length}; build the catalogue again"
                )
        return index

    def search(self, words: str, limit: int = MAX_HITS) -> list[int]:
        """The positions of the best products for ``words``, best first; none if no word is in the index."""
        documents, _ = self._hits(words, limit)
        return documents.tolist()

    def search_scores(self, words: str, limit: int = MAX_HITS) -> list[tuple[int, float]]:
        """As `search`, each position with its BM25 score."""
        documents, scores = self._hits(words, limit)
        return list(zip(documents.tolist(), scores.tolist(), strict=True))

    def _hits(self, words: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """The best documents, best first, and their float32 scores, each (hits,)."""
        terms, weights = self._terms(words)
        if not len(terms):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        if (self.term_starts[terms + 1] - self.term_starts[terms]).sum() <= FEW_POSTINGS:
            documents, scores = self._score_all(terms, weights)
        else:
            documents = self._candidates(terms, weights, limit)
            scores = self._score_some(terms, weights, documents)
        if len(scores) > limit:
            worst_kept = np.partition(scores, len(scores) - limit)[len(scores) - limit]
            kept = scores >= worst_kept  # more than limit if several score the same
            documents, scores = documents[kept], scores[kept]
        best = np.lexsort((self.ranks[documents], -scores))[:limit]
        return documents[best], scores[best]

    def _terms(self, words: str) -> tuple[np.ndarray, np.ndarray]:
        """The query's known terms in the order of the query, int64, and their weights w, float32, each (terms,)."""
        query = Counter(analyze(words))
        hashes = np.array([term_hash(term) for term in query], np.uint64)
        places = np.searchsorted(self.term_hashes, hashes)
        known = places < len(self.term_hashes)
        known[known] = self.term_hashes[places[known]] == hashes[known]
        terms = places[known]
        counts = np.array(list(query.values()), np.float64)[known]
        return terms, (counts * self.idf[terms]).astype(np.float32)

    def _postings(self, term: int, weight: np.float32) -> tuple[np.ndarray, np.ndarray]:
        """The documents with a term and what it adds to the score of each."""
        span = slice(self.term_starts[term], self.term_starts[term + 1])
        return self.documents[span], weight - weight / self.saturations[span]

    def _score_all(self, terms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All documents with any of the terms, and their scores."""
        found = [self._postings(term, weight) for term, weight in zip(terms, weights, strict=True)]
        holders, parts = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
        if len(self.ranks) <= 2 * FEW_POSTINGS:
            sums = np.bincount(holders, weights=parts, minlength=len(self.ranks)).astype(np.float32)
            documents = np.flatnonzero(sums).astype(np.int32)
            return documents, sums[documents]
        documents, places = np.unique(holders, return_inverse=True)
        return documents, np.bincount(places, weights=parts).astype(np.float32)

    def _score_some(self, terms: np.ndarray, weights: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """The scores of given documents, which ascend."""
        sums = np.zeros(len(documents))
        for term, weight in zip(terms, weights, strict=True):
            sums += self._parts(term, weight, documents)
        return sums.astype(np.float32)

    def _parts(self, term: int, weight: np.float32, documents: np.ndarray) -> np.ndarray:
        """What a term adds to the scores of given documents, which ascend; 0 for those without it."""
        start, stop = self.term_starts[term], self.term_starts[term + 1]
        holders = self.documents[start:stop]
        places = np.searchsorted(holders, documents)
        places[places == len(holders)] = 0  # the document comes after all that have the term
        parts = weight - weight / self.saturations[start:stop][places]
        parts[holders[places] != documents] = 0
        return parts

    def _candidates(self, terms: np.ndarray, weights: np.ndarray, limit: int) -> np.ndarray:
        """Few documents, ascending, among which the best ``limit`` are certain to be, ties included."""
        most = weights - weights / self.most_saturations[terms]  # the most that each term can add
        order = np.argsort(-most, kind="stable")
        rest = np.append(np.cumsum(most[order][::-1], dtype=np.float64)[::-1], 0.0)  # from each place in the order on
        sums = np.zeros(len(self.ranks), np.float32)
        needed = 0.0  # at least `limit` documents reach it
        done = 0
        while done < len(order) and needed <= rest[done]:  # a document without any term so far may still be among them
            holders, parts = self._postings(terms[order[done]], weights[order[done]])
            sums[holders] += parts
            if len(holders) >= limit:
                reached = np.partition(sums[holders], len(holders) - limit)[len(holders) - limit]
                needed = max(needed, float(reached) * (1 - _ROUNDING))
            done += 1
        documents = np.flatnonzero(sums >= max(needed - rest[done], np.finfo(np.float32).tiny)).astype(np.int32)
        reached_sums = sums[documents]
        for place in range(done, len(order)):
            reached_sums += self._parts(terms[order[place]], weights[order[place]], documents)
            if len(documents) > limit:
                reached = np.partition(reached_sums, len(documents) - limit)[len(documents) - limit]
                needed = max(needed, float(reached) * (1 - _ROUNDING))
            kept = reached_sums >= needed - rest[place + 1]
            documents, reached_sums = documents[kept], reached_sums[kept]
        return documents

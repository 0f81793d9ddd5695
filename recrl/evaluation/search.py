"""What a query model is worth: does it write what people typed, and do its queries find the product?

Two questions on two sets of texts. Held-out instructions of people have typed queries, but hardly any of their products
is in a small catalogue; the catalogue's goals have a product, but their instructions are synthetic when the catalogue's
goals are, and unlike what people write. Everything stands beside the plain instruction as the query, and beside its
content words, for which no model is needed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from recrl.errors import DatasetError
from recrl.evaluation.measure import evaluation_goals
from recrl.evaluation.statistics import difference_interval, mean_interval
from recrl.progress import tracked
from recrl.queries.pairs import QueryPair, content_words, left_out_words, split_pairs
from recrl.queries.proposing import QueryModel, describe_queries, words_of
from recrl.tables import INTERVAL, Cell, Number, Table
from recrl.version import __version__
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import DEFAULT_SPLIT_BY

RECALL_AT = (1, 10, 50)
ORACLES = "best of {} (oracle)", "best of {} and the instruction (oracle)"


def token_f1(query: str, typed: str) -> float:
    """Twice the words in common, repeats counted, over the words of both; 0 without any in common."""
    ours, theirs = Counter(words_of(query)), Counter(words_of(typed))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 0.0


def rank_of(queries: Sequence[str], typed: Sequence[str]) -> int | None:
    """The place, from 1, of the first query that was typed, but for case and punctuation; None if none was."""
    wanted = set(map(words_of, typed))
    return next((place for place, query in enumerate(queries, start=1) if words_of(query) in wanted), None)


def evaluate_search(
    model: QueryModel,
    pairs: Sequence[QueryPair],
    catalog: Catalog,
    *,
    split: str = "test",
    split_by: str = DEFAULT_SPLIT_BY,
    num_goals: int | None = None,
) -> dict[str, Any]:
    """The report; shares and recalls from 0 to 100, mean reciprocal ranks (MRR) and token-F1 from 0 to 1.

    Args:
        model: proposes its ``num_queries`` for each text.
        pairs: all of them; only the held-out ones are asked for, the others give the words that people leave out.
        split, split_by, num_goals: the goals to be found, as `recrl.evaluation.measure.evaluate` takes them.

    Raises:
        DatasetError: no instruction is held out, or the split holds fewer goals.
    """
    train, held_out = split_pairs(pairs)
    if not held_out or not train:
        raise DatasetError(
            f"{len(held_out)} of {len(pairs)} instructions are held out, expected some; bring more pairs"
        )
    goals = [catalog.goals[index] for index in evaluation_goals(catalog, split, split_by, num_goals)]
    texts = [pair.instruction for pair in held_out] + [goal.instruction_without_price for goal in goals]
    for text in tracked(texts, "proposing queries", len(texts)):
        model.propose([text])
    left_out = left_out_words(train)
    return {
        **describe_queries(model),
        "protocol": catalog.protocol(split_by),
        "split": split,
        "split_by": split_by,
        "catalog_sha256": catalog.sha256,
        "goals_sha256": catalog.goals_sha256,
        "recrl": __version__,
        "typed": _typed(model, held_out, left_out),
        "retrieval": _retrieval(model, catalog, goals, left_out),
    }


def _typed(model: QueryModel, held_out: Sequence[QueryPair], left_out: frozenset[str]) -> dict[str, Any]:
    """How near the candidates are to what people typed for held-out instructions."""
    candidates = {
        "plain instruction": [[pair.instruction] for pair in held_out],
        "content words": [[content_words(pair.instruction, left_out)] for pair in held_out],
        "query model": [list(model(pair.instruction)) for pair in held_out],
    }
    rows = {}
    for name, of_pairs in candidates.items():
        ranks = [rank_of(queries, pair.queries) for queries, pair in zip(of_pairs, held_out, strict=True)]
        scores = [
            [max(token_f1(query, typed) for typed in pair.queries) for query in queries]
            for queries, pair in zip(of_pairs, held_out, strict=True)
        ]
        rows[name] = {
            "rank_1": _mean([100.0 * (rank == 1) for rank in ranks]),
            "within_k": _mean([100.0 * (rank is not None) for rank in ranks]),
            "mrr": _mean([1 / rank if rank else 0.0 for rank in ranks]),
            "f1_first": _mean([found[0] if found else 0.0 for found in scores]),
            "f1_best": _mean([max(found, default=0.0) for found in scores]),
        }
    records = [
        {"instruction": pair.instruction, "typed": list(pair.queries), "proposed": proposed}
        for pair, proposed in zip(held_out, candidates["query model"], strict=True)
    ]
    return {"num_instructions": len(held_out), "rows": rows, "instructions": records}


def _retrieval(model: QueryModel, catalog: Catalog, goals: Sequence[Any], left_out: frozenset[str]) -> dict[str, Any]:
    """At which rank each query finds the goal's product; a product that is not among the hits has no rank."""

    def rank(goal: Any, query: str) -> float:
        hits, wanted = catalog.search(query.lower()), catalog.position(goal.asin)
        return hits.index(wanted) + 1 if wanted in hits else np.inf

    plain = np.array([rank(goal, goal.instruction_without_price) for goal in goals])
    content = np.array([rank(goal, content_words(goal.instruction_without_price, left_out)) for goal in goals])
    proposed = [[rank(goal, query) for query in model(goal.instruction_without_price)] for goal in goals]
    best = np.array([min(ranks, default=np.inf) for ranks in proposed])
    ranks = {
        "plain instruction": plain,
        "content words": content,
        "first query": np.array([found[0] if found else np.inf for found in proposed]),
        ORACLES[0].format(model.num_queries): best,
        ORACLES[1].format(model.num_queries): np.minimum(best, plain),
    }
    products = [goal.asin for goal in goals]
    return {
        "num_goals": len(goals),
        "num_products": len(set(products)),
        "rows": {name: _retrieval_row(found, plain, products) for name, found in ranks.items()},
        "goals": [
            {"asin": goal.asin, "instruction": goal.instruction_without_price, "proposed": list(queries)}
            for goal, queries in zip(goals, (model(goal.instruction_without_price) for goal in goals), strict=True)
        ],
    }


def _retrieval_row(ranks: np.ndarray, plain: np.ndarray, products: Sequence[str]) -> dict[str, Any]:
    """Recalls and MRR of (goals,) ranks, and their paired differences to the plain instruction's, with intervals."""
    row: dict[str, Any] = {}
    for name, unit, ours, theirs in (
        *(
            (f"recall@{most}", 100.0, (ranks <= most).astype(float), (plain <= most).astype(float))
            for most in RECALL_AT
        ),
        ("mrr", 1.0, 1 / ranks, 1 / plain),
    ):
        row[name] = unit * _mean(ours)
        row[f"{name}_ci"] = [unit * end for end in mean_interval(ours, products)]
        row[f"{name}_difference"] = unit * _mean(ours - theirs)
        row[f"{name}_difference_ci"] = [unit * end for end in difference_interval(ours, theirs, products)]
    return row


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values))


def search_tables(report: dict[str, Any]) -> list[Table]:
    """The report as two tables: how near the queries are to people's, and what they find."""
    typed, retrieval = report["typed"], report["retrieval"]
    typed_table = Table(
        ("what is searched for", "typed query first %", "within the candidates %", "MRR", "token-F1 of the first",
         "of the best"),
        [
            [name, Number(row["rank_1"]), Number(row["within_k"]),
             *(Number(row[key], form=".3f") for key in ("mrr", "f1_first", "f1_best"))]
            for name, row in typed["rows"].items()
        ],
        f"{typed['num_instructions']} held-out instructions; {report['num_queries']} candidates of the query model, "
        "one of the others. A candidate is the typed query if the words are equal.",
        legend={
            "typed query first, within the candidates": "share of the instructions for which the first candidate, or "
            "any, is a query that a person typed",
            "MRR": "mean of 1 / the place of the typed query among the candidates, 0 where it is not among them",
            "token-F1": "words in common with the typed query: harmonic mean of precision and recall, from 0 to 1",
        },
    )  # fmt: skip
    retrieval_table = Table(
        ("what is searched for", *(f"recall@{most} %{INTERVAL}" for most in RECALL_AT), f"MRR{INTERVAL}",
         f"recall@10 against the plain instruction{INTERVAL}", f"MRR against it{INTERVAL}"),
        [
            [
                name,
                *(_cell(row, f"recall@{most}", ".1f") for most in RECALL_AT),
                _cell(row, "mrr", ".3f"),
                *(
                    ("-", "-")
                    if name == "plain instruction"
                    else (_cell(row, "recall@10_difference", "+.1f"), _cell(row, "mrr_difference", "+.3f"))
                ),
            ]
            for name, row in retrieval["rows"].items()
        ],
        f"Protocol {report['protocol']}, {report['split']} split: where the goal's product stands among the hits, "
        f"for {retrieval['num_goals']} goals of {retrieval['num_products']} products. Query model "
        f"{report['query_model']}, {report['query_model_sha256'][:12]}; catalogue {report['catalog_sha256'][:12]}, "
        f"goals {report['goals_sha256'][:12]}.",
        legend={
            "recall@N": "share of the goals whose product is among the first N hits of the query",
            "MRR": "mean of 1 / the place of the goal's product among the hits, 0 where it is not among them",
            "against": "paired difference on the same goals; an interval without 0 shows that there is one",
            "[low, high]": "95% interval, over target products",
            "oracle": "knows the goal: of several queries it takes the one that finds the product first",
        },
    )  # fmt: skip
    return [typed_table, retrieval_table]


def _cell(row: dict[str, Any], name: str, form: str) -> Cell:
    return Number(row[name], tuple(row[f"{name}_ci"]), form)

"""The report on proposed queries, against numbers counted by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from recrl.cli import main
from recrl.errors import DatasetError
from recrl.evaluation.search import evaluate_search, rank_of, search_tables, token_f1
from recrl.queries.pairs import QueryPair, is_held_out
from recrl.queries.proposing import Proposal, QueryModel
from recrl.webshop.catalog import load_catalog


class Fixed(QueryModel):
    """Proposes what a table says."""

    def __init__(self, table: Mapping[str, Sequence[str]], num_queries: int) -> None:
        self.name, self.num_queries, self.sha256 = "fixed", num_queries, "f" * 64
        self.table, self._known = table, {}

    def _decode(self, instruction: str, count: int) -> tuple[Proposal, ...]:
        return tuple(Proposal(query, -1.0) for query in self.table[instruction])


def test_ranks_and_f1() -> None:
    assert rank_of(["a hat", "Wool, hat", "hat"], ["wool hat", "hat"]) == 2
    assert rank_of(["a hat"], ["hat"]) is None
    assert token_f1("red wool hat", "red hat") == pytest.approx(2 * 2 / 5)
    assert token_f1("red red hat", "red hat hat") == pytest.approx(2 * 2 / 6)
    assert token_f1("cap", "hat") == 0.0


def test_the_report_counts_what_a_person_would_count() -> None:
    catalog = load_catalog(None)
    goals = [catalog.goals[index] for index in catalog.split("test")[:2]]
    titles = [catalog.product(goal.asin).title for goal in goals]
    texts = [f"i want hat number {number}" for number in range(60)]
    held_out = [text for text in texts if is_held_out(text)][:3]
    pairs = [QueryPair(text, (f"hat {text.split()[-1]}",)) for text in texts if not is_held_out(text)]
    typed = [("wool hat",), ("red hat", "hat"), ("cap",)]
    pairs += [QueryPair(text, queries) for text, queries in zip(held_out, typed, strict=True)]
    proposals = [("wool hat", "hat"), ("blue hat", "red hat"), ("hat", "blue hat")]
    table = dict(zip(held_out, proposals, strict=True))
    table[goals[0].instruction_without_price] = ("zzzz", titles[0])
    table[goals[1].instruction_without_price] = ("zzzz", "zzzz yyyy")
    report = evaluate_search(Fixed(table, 2), pairs, catalog, num_goals=2)

    rows = report["typed"]["rows"]
    assert report["typed"]["num_instructions"] == 3
    assert rows["query model"]["rank_1"] == pytest.approx(100 / 3)
    assert rows["query model"]["within_k"] == pytest.approx(200 / 3)
    assert rows["query model"]["mrr"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert rows["query model"]["f1_first"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert rows["query model"]["f1_best"] == pytest.approx((1 + 1 + 0) / 3)
    assert rows["plain instruction"]["within_k"] == 0.0
    assert rows["plain instruction"]["f1_first"] == pytest.approx((2 / 7 + 2 / 6 + 0) / 3)  # "i want hat number N"
    assert rows["content words"]["f1_best"] == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)  # "hat N"

    ranks: list[Any] = []
    for goal in goals:
        hits = catalog.search(goal.instruction_without_price.lower())
        wanted = catalog.position(goal.asin)
        ranks.append(hits.index(wanted) + 1 if wanted in hits else float("inf"))
    place = catalog.search(titles[0].lower()).index(catalog.position(goals[0].asin)) + 1
    found = report["retrieval"]["rows"]
    assert found["plain instruction"]["mrr"] == pytest.approx((1 / ranks[0] + 1 / ranks[1]) / 2)
    assert found["plain instruction"]["recall@10"] == 100 * sum(rank <= 10 for rank in ranks) / 2
    low, high = found["plain instruction"]["mrr_difference_ci"]
    assert -1 <= low < 0 < high <= 1
    assert found["first query"]["mrr"] == found["first query"]["recall@50"] == 0.0
    assert found["first query"]["recall@50_difference"] == -100 * sum(rank <= 50 for rank in ranks) / 2
    assert found["best of 2 (oracle)"]["mrr"] == pytest.approx(1 / place / 2)
    both = found["best of 2 and the instruction (oracle)"]
    assert both["mrr"] == pytest.approx((1 / min(place, ranks[0]) + 1 / ranks[1]) / 2)
    assert both["mrr_difference"] >= 0
    assert report["retrieval"]["num_goals"] == 2
    assert "best of 2 (oracle)" in [row[0] for row in search_tables(report)[1].rows]
    assert json.loads(json.dumps(report)) == report


def test_a_report_without_held_out_instructions_is_refused() -> None:
    text = next(text for text in ("a hat", "a cap", "a shoe") if not is_held_out(text))
    with pytest.raises(DatasetError, match="0 of 1 instructions are held out"):
        evaluate_search(Fixed({}, 1), [QueryPair(text, ("hat",))], load_catalog(None))


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pairs.json").write_text('{"a hat": ["hat"]}', encoding="utf-8")
    for pairs, model in (("none.json", "model"), ("pairs.json", "")):
        words = ["evaluate-search", "--query_model", str(tmp_path / model), "--pairs", str(tmp_path / pairs)]
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        assert captured.err.startswith("error: ")

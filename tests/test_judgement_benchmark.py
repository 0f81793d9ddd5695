"""The numbers of late interaction in benchmarks/judgement.py: against plain loops, and of what was seen alone."""

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recrl.episodes.notes import NotedProduct
from recrl.scoring.wishes import read_wish
from recrl.training.judgement_examples import KNOWN, known_up_to
from recrl.webshop.pages import OptionGroup

PRODUCTS = [
    NotedProduct("B1", "Red walking shoe", "$10", 1, 0, 1, (OptionGroup("size", ("seven", "eight")),),
                 "soft sole\nlight", "Good for hills. Washable!"),
    NotedProduct("B2", "Blue boot", "$20", 1, 1, 1, (), "warm lining", "Leather."),
]  # fmt: skip
WISH = read_wish("find me a red shoe with a soft sole in size seven, washable")


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "judgement.py"))


def encoded(texts: Sequence[str]) -> np.ndarray:
    """A vector of length 1 for each text, that follows from it."""
    rows = np.stack([np.random.default_rng(sum(map(ord, text)) * len(text)).normal(size=5) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_phrase_is_found_in_the_piece_that_is_most_like_it(benchmark: dict[str, Any]) -> None:
    pieces = benchmark["pieces_of"](PRODUCTS[0])
    assert [text for _, text in pieces] == [
        "Red walking shoe", "seven", "eight", "soft sole", "light", "Good for hills.", "Washable!",
    ]  # fmt: skip
    found = benchmark["closeness"](WISH, PRODUCTS, encoded)
    assert found.shape == (2, len(KNOWN), len(WISH.phrases))
    for row, product in enumerate(PRODUCTS):
        for level in range(len(KNOWN)):
            texts = [text for at, text in benchmark["pieces_of"](product) if at == level]
            for column, phrase in enumerate(WISH.phrases):
                cosines = [float(encoded([text])[0] @ encoded([phrase])[0]) for text in texts]
                assert found[row, level, column] == pytest.approx(max([0.0, *cosines]), abs=1e-6)


def test_what_is_not_known_counts_nothing(benchmark: dict[str, Any]) -> None:
    close = benchmark["closeness"](WISH, PRODUCTS, encoded)
    levels = np.array([0, 3])
    seen = [known_up_to(product, level) for product, level in zip(PRODUCTS, levels.tolist(), strict=True)]
    found = benchmark["similarities"](WISH, seen, levels, close)
    hidden = close.copy()
    hidden[0, 1:] = 1.0  # what stands on pages that were not opened
    assert found.tolist() == benchmark["similarities"](WISH, seen, levels, hidden).tolist()
    best = np.stack([close[0, 0], close[1].max(0)])  # (products, phrases)
    assert found[:, 0] == pytest.approx(best.mean(1))
    assert found[:, 1] == pytest.approx(best.min(1))
    unknown = best.copy()
    unknown[0, WISH.phrases.index("red shoe")] = 1.0  # both words stand in the title
    assert found[:, 2] == pytest.approx(unknown.mean(1))
    assert found[:, 3] == pytest.approx(unknown.min(1))
    assert found[:, 4] == pytest.approx(close[:, 0].mean(1))


def test_targets_with_many_goals_weigh_less(benchmark: dict[str, Any]) -> None:
    example = benchmark["Example"](np.zeros((1, 1), np.float32), np.ones(1, bool), 1.0)
    weighted = benchmark["weighted"]([example] * 5, ["a", "a", "a", "a", "b"])
    assert [one.weight for one in weighted] == pytest.approx(np.array([0.5, 0.5, 0.5, 0.5, 1.0]) / 0.6)

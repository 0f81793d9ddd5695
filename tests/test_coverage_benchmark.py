"""The simulations of benchmarks/coverage.py, with few repetitions: what holds the truth and what does not."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPEATS = 60


@pytest.fixture(scope="module")
def coverage() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "coverage.py"))


def shares(rows: list[list[str]]) -> np.ndarray:
    """(rows, methods) in %."""
    return np.array([[float(share) for share in row[1:]] for row in rows])


def test_simulated_outcomes_have_the_rate_and_the_correlation_that_they_are_named_by(coverage: dict[str, Any]) -> None:
    rng, sizes = np.random.default_rng(0), np.full(20_000, 2)
    for rate, alike in ((0.1, 0.2), (0.56, 0.2), (0.56, 1.0)):
        first, second = coverage["outcomes"](rate, alike, sizes, rng).reshape(-1, 2).T
        assert first.mean() == pytest.approx(rate, abs=0.02)
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(alike, abs=0.03)
    ours, theirs = coverage["paired"](0.05, 0.03, sizes, rng)
    assert ((ours > theirs).mean(), (ours < theirs).mean()) == pytest.approx((0.05, 0.03), abs=0.01)


@pytest.mark.slow
def test_our_intervals_of_one_evaluation_hold_the_truth_and_the_percentile_bootstrap_does_not(
    coverage: dict[str, Any],
) -> None:
    """At 0.5 and 98% success it misses up to half of the time; 60 times 95% is at least 85% but once in 1,000."""
    rates = shares(coverage["single_rows"](REPEATS, np.random.default_rng(0)))
    pairs = shares(coverage["paired_rows"](REPEATS, np.random.default_rng(0)))
    for found in (rates, pairs):
        assert found[:, 0].min() >= 85
        assert found[:, 0].mean() >= 95
    assert rates[:, 1].min() < 70
    assert pairs[:, 1].min() < 90


def test_seeds_that_differ_must_be_counted(coverage: dict[str, Any]) -> None:
    rows = coverage["seed_rows"](REPEATS, np.random.default_rng(0))
    found, differ = shares(rows), ["seeds differ" in row[0] for row in rows]
    assert found[:, 0].min() >= 85
    assert found[differ, 0].mean() > found[differ, 1].mean() + 4


@pytest.mark.slow
def test_the_confidence_sequence_holds_under_stopping_where_the_normal_interval_does_not(
    coverage: dict[str, Any],
) -> None:
    rows = coverage["adaptive_rows"](200, np.random.default_rng(0))
    found, stops = shares(rows), ["stops" in row[0] for row in rows]
    assert found[:, :2].min() >= 97
    assert found[stops, 2].max() < 95

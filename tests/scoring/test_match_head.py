"""The match head and its numbers about actions, against plain loops over single decisions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.notes import NotedProduct
from recrl.scoring.evidence import MATCH_FEATURES
from recrl.scoring.judgement import FIT_FEATURES, MatchHead, fit_features, judge
from recrl.scoring.wishes import read_wish


@pytest.fixture(scope="module")
def head() -> MatchHead:
    torch.manual_seed(0)
    return MatchHead(3, 8)


numbers = st.floats(-9, 9, width=32).map(lambda value: round(value, 3))


@st.composite
def decisions(draw: st.DrawFn) -> list[dict]:
    found = []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.integers(0, 5))
        found.append(
            {
                "logits": draw(st.lists(numbers, min_size=size, max_size=size, unique=True)),
                "steps": draw(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 6)), min_size=size, max_size=size)),
                "of_action": draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=6)),
                "steps_left": draw(st.integers(1, 100)),
            }
        )
    return found


def plain_fits(logits: list, steps: list, of_action: list, steps_left: int) -> list[dict[str, float]]:
    """Numbers of `FIT_FEATURES` of one decision, action by action."""
    chances = [1 / (1 + math.exp(-logit)) for logit in logits]

    def gain(place: int) -> float:
        p, other = chances[place], best_of_others(place)
        return p + (1 - p) * other - max(p, other)

    def best_of_others(place: int) -> float:
        return max((chance for at, chance in enumerate(chances) if at != place), default=0.0)

    def by_step(place: int) -> float:
        return gain(place) / steps[place][1] if steps[place][1] else 0.0

    def slack(place: int) -> float:
        return min(2.0, max(-1.0, (steps_left - steps[place][0]) / 5))

    rows = []
    for place in of_action:
        others = [at for at in range(len(logits)) if at != place]
        best_other = max(others, key=lambda at: chances[at], default=None)
        row = dict.fromkeys(FIT_FEATURES, 0.0)
        row["none_fits"] = math.prod(1 - chance for chance in chances)
        row["other_fit"] = 0.0 if best_other is None else chances[best_other]
        row["other_look_gain"] = max((by_step(at) for at in others), default=0.0)
        if place >= 0:
            row |= {
                "fit": chances[place],
                "fit_logit": min(8.0, max(-8.0, logits[place])) / 8,
                "lead": chances[place] - row["other_fit"],
                "look_gain": gain(place),
                "look_gain_a_step": by_step(place),
                "slack": slack(place),
            }
        row["other_slack"] = 0.0 if best_other is None else slack(best_other)
        rows.append(row)
    return rows


def batched(found: list[dict], spare_products: int = 0, spare_actions: int = 0) -> torch.Tensor:
    """`fit_features` of the decisions together, padded with rubbish."""
    products = max(len(one["logits"]) for one in found) + spare_products
    width = max(len(one["of_action"]) for one in found) + spare_actions
    logits, mask = torch.full((len(found), products), 7.0), torch.zeros(len(found), products, dtype=torch.bool)
    steps, of_action = torch.full((len(found), products, 2), 3.0), torch.full((len(found), width), -1)
    for row, one in enumerate(found):
        size = len(one["logits"])
        logits[row, :size], mask[row, :size] = torch.tensor(one["logits"]), True
        steps[row, :size] = torch.tensor(one["steps"], dtype=torch.float32).reshape(size, 2)
        of_action[row, : len(one["of_action"])] = torch.tensor(one["of_action"])
    left = torch.tensor([float(one["steps_left"]) for one in found])
    return fit_features(logits, mask, steps, of_action, left)


@settings(max_examples=200, deadline=None)
@given(found=decisions(), spare_products=st.integers(0, 3), spare_actions=st.integers(0, 2))
def test_numbers_of_actions_are_those_of_a_plain_loop(
    found: list[dict], spare_products: int, spare_actions: int
) -> None:
    together = batched(found, spare_products, spare_actions)
    for row, one in enumerate(found):
        expected = [[numbers[name] for name in FIT_FEATURES] for numbers in plain_fits(**one)]
        np.testing.assert_allclose(together[row, : len(expected)].numpy(), expected, atol=2e-5)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), size=st.integers(1, 6), spare=st.integers(0, 3))
def test_logits_follow_the_products_and_not_the_padding(
    head: MatchHead, data: st.DataObject, size: int, spare: int
) -> None:
    features = torch.randn(1, size, 3, generator=torch.Generator().manual_seed(size))
    order = list(data.draw(st.permutations(range(size))))
    with torch.no_grad():
        alone = head(features, torch.ones(1, size, dtype=torch.bool))
        padded = torch.cat([features[:, order], torch.full((1, spare, 3), 1e3)], dim=1)
        mask = torch.arange(size + spare)[None] < size
        torch.testing.assert_close(head(padded, mask)[:, :size], alone[:, order], atol=1e-5, rtol=1e-4)


def test_a_judgement_is_a_probability_and_nothing_is_judged_of_nothing() -> None:
    head = MatchHead(len(MATCH_FEATURES), 8)
    products = [NotedProduct(f"B{place}", "red boots", "$5.0", 1, place) for place in range(3)]
    chances = judge(head, read_wish("red boots"), products, tuple(MATCH_FEATURES))
    assert chances.shape == (3,)
    assert ((chances > 0) & (chances < 1)).all()
    assert judge(head, read_wish("red boots"), [], tuple(MATCH_FEATURES)).shape == (0,)

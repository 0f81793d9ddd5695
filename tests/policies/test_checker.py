"""The checker: which options an instruction states, what is on offer, and in which order it looks."""

from typing import Any

import pytest

from recrl.episodes.notes import NotedProduct
from recrl.policies import load_policy
from recrl.policies.checker import is_right, options_missing, stated_options
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog
from recrl.webshop.pages import OptionGroup


def noted(asin: str, rank: int, **fields: Any) -> NotedProduct:
    return NotedProduct(asin, "boots", "$15.0", rank // 10 + 1, rank % 10, **fields)


@pytest.mark.parametrize(
    ("instruction", "stated"),
    [
        ("Find me boots with color: red, and fit type: wide, and price lower than 30.00 dollars", ["red", "wide"]),
        ("boots with color: a1- red | blue, and size: 7.5 in, wide", ["a1- red | blue", "7.5 in, wide"]),
        ("boots, size: 8, in red please", ["8"]),
        ("under $50.00: red boots in size 8", []),
        ("with rubber sole: some red boots", []),
        ("red boots, for hiking: size 8", []),
        ("red boots in size 8", []),
    ],
)
def test_options_stated_as_clauses(instruction: str, stated: list[str]) -> None:
    found = stated_options(instruction)
    assert len(found) == len(stated)
    assert all(rest.startswith(value) for rest, value in zip(found, stated, strict=True))


RED = OptionGroup("color", ("red", "blue"))
SIZES = OptionGroup("size", ("8", "8 wide"))


@pytest.mark.parametrize(
    ("instruction", "options", "missing", "right"),
    [
        ("boots with color: red, and size: 8", (RED, SIZES), 0, True),
        ("boots with color: red, and size: 8", (RED,), 1, False),
        ("boots with color: red, and size: 8", (), 2, False),
        ("boots with color: reddish, and size: 8", (RED, SIZES), 1, False),  # whole words only
        ("boots with size: 8", (RED, SIZES), 0, True),  # the other group is free
        ("red boots in size 8", (RED, SIZES), 0, True),
        ("red boots in size 9", (RED, SIZES), 1, False),
        ("red boots", (), 0, False),  # whether red is an option is not known
    ],
)
def test_what_is_on_offer(instruction: str, options: tuple[OptionGroup, ...], missing: int, right: bool) -> None:
    product = noted("B1", 0, options=options)
    assert (options_missing(instruction, product), is_right(instruction, product)) == (missing, right)


def test_every_clause_of_the_shops_template_is_read() -> None:
    for goal in load_catalog().goals:
        found = stated_options(goal.instruction)
        assert len(found) == len(goal.options)
        assert all(rest.startswith(value) for rest, value in zip(found, goal.options.values(), strict=True))


def test_the_checker_never_takes_long_to_read_an_instruction() -> None:
    assert stated_options("word " * 2000 + "and " * 2000) == []


def test_the_checker_opens_by_rank_and_leaves_what_lacks_an_option() -> None:
    left = 0
    for episode in rollout(load_policy("checker"), load_catalog(), range(0, 4000, 50), seed=0, max_steps=40):
        page = next(step.page for step in episode.steps if step.page.kind == "results")
        clicks = [step.action[6:-1] for step in episode.steps if step.page.kind == "results"]
        places = [page.place_of(name) for name in clicks if page.place_of(name) is not None]
        assert places[:-1] == sorted(places[:-1])  # type: ignore[type-var]  # the last may be the way back
        left += len(places) > 1
    assert left > 5


def test_each_named_option_is_clicked_before_the_purchase() -> None:
    catalog = load_catalog()
    for episode in rollout(load_policy("checker"), catalog, range(40), seed=0):
        clicked = episode.steps[-1].page.clicked
        product = next(step for step in reversed(episode.steps) if step.page.kind == "item").page
        on_offer = [value for group in product.options for value in group.values]
        stated = stated_options(product.instruction)
        wanted = [value for value in on_offer if any(rest.startswith((f"{value},", f"{value} ")) for rest in stated)]
        assert len(clicked) == len({group.name for value in wanted if (group := product.group_of(value))})

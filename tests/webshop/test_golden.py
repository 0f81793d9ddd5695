"""Equality with recordings of the original environment, value by value."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import recrl  # noqa: F401  (registers the environment)
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.reading import read_page

pytestmark = pytest.mark.realdata


def read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return iter([json.loads(line) for line in file])


@pytest.fixture(scope="module", params=["real", "quirks"])
def recorded(request: pytest.FixtureRequest, webshop_dir: Path, golden_dir: Path) -> tuple[Path, Catalog]:
    """The recordings' folder and the catalogue on which they were made."""
    folder = golden_dir / request.param
    if request.param == "real":
        return folder, load_catalog(webshop_dir)
    return folder, load_catalog(folder / "catalog", human_goals=True)


def test_products_and_prices(recorded: tuple[Path, Catalog]) -> None:
    folder, catalog = recorded
    records = list(read(folder / "prices.jsonl.gz"))
    assert [record["asin"] for record in records] == [product.asin for product in catalog.products]
    for record, product in zip(records, catalog.products, strict=True):
        ours = (
            list(product.pricing), product.price_tag, product.price, list(product.attributes), product.query,
            {name: list(values) for name, values in product.options.items()},
        )  # fmt: skip
        names = ("pricing", "Price", "price", "Attributes", "query", "options")
        assert ours == tuple(record[name] for name in names), record["asin"]


@pytest.mark.parametrize("name", ["goals", "goals_synthetic"])
def test_goals(recorded: tuple[Path, Catalog], name: str) -> None:
    folder, catalog = recorded
    if not (folder / f"{name}.jsonl.gz").exists():
        pytest.skip("only the catalogue with quirks has both kinds of goals")
    if name == "goals_synthetic":
        catalog = load_catalog(folder / "catalog")
    records = list(read(folder / f"{name}.jsonl.gz"))
    assert len(records) >= 600
    for index, record in enumerate(records):
        goal = catalog.goals[index]
        ours = {
            "asin": goal.asin,
            "category": goal.category,
            "query": goal.query,
            "name": goal.name,
            "product_category": goal.product_category,
            "instruction_text": goal.instruction,
            "attributes": list(goal.attributes),
            "price_upper": goal.price_upper,
            "goal_options": goal.options if isinstance(goal.options, dict) else list(goal.options),
            "weight": goal.weight,
        }
        assert ours == {key: record[key] for key in ours}, index


def test_every_step_of_every_episode(recorded: tuple[Path, Catalog]) -> None:
    folder, catalog = recorded
    counts: Counter[str] = Counter()
    for mode in ("text", "text_rich", "url"):
        env = gym.make("recrl/WebShop-v0", catalog=catalog, split="all", observation_mode=mode, max_steps=10_000)
        for episode in read(folder / "episodes.jsonl.gz"):
            observation, info = env.reset(options={"goal_index": episode["goal_idx"]})
            assert observation == episode["reset"][mode]
            for number, step in enumerate(episode["steps"]):
                where = f"episode {episode['ep']}, step {number}: {step['action']}"
                assert list(info["clickables"]) == step["avail"]["clickables"], where
                assert info["has_search_bar"] == step["avail"]["has_search_bar"], where
                observation, reward, terminated, _, info = env.step(step["action"])
                assert observation == step[mode], where
                assert (reward, terminated) == (step["reward"], step["done"]), where
                counts[mode] += 1
                if terminated:
                    assert info["reward_parts"] == step["verbose_info"], where
                    counts["purchases"] += 1
                    break
                if mode == "text_rich":
                    _check_reading(observation, info)
    assert counts["text_rich"] > 500
    assert counts["purchases"] > 90


def _check_reading(observation: str, info: dict[str, Any]) -> None:
    """The page that the environment hands on is what its text reads as."""
    page = info["page"]
    in_one_line = None if page.title is None else page.title.replace("\n", " ")  # all that the text leaves of a break
    assert read_page(observation) == replace(page, title=in_one_line)


def test_edge_actions_that_are_kept(golden_dir: Path) -> None:
    folder = golden_dir / "quirks"
    catalog = load_catalog(folder / "catalog", human_goals=True)
    steps = 0
    for record in read(folder / "special.jsonl.gz"):
        changed_on_purpose = record["name"].startswith("<") or not isinstance(record.get("session"), int)
        if changed_on_purpose or "out of range" in record["name"]:
            continue
        env = gym.make(
            "recrl/WebShop-v0", catalog=catalog, split="all", observation_mode=record["mode"], max_steps=10_000,
            num_prev_obs=record["num_prev_obs"], num_prev_actions=record["num_prev_actions"],
        )  # fmt: skip
        env.reset(options={"goal_index": record["session"]})
        for step in record["steps"]:
            observation, _, terminated, _, info = env.step(step["action"])
            assert observation == step["ob"], (record["name"], step["action"])
            steps += 1
            if terminated:
                break
            assert list(info["clickables"]) == step["avail"]["clickables"], (record["name"], step["action"])
    assert steps > 100

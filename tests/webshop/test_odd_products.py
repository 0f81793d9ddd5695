"""Products whose texts spell parts of a page: product text is never syntax."""

from pathlib import Path
from typing import Any

import pytest

from recrl.policies import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.pages import Listed, OptionGroup, Page
from small_catalog import item, options, write_catalog

POLICIES = ("random", "rule", "matching", "matching-price", "checker", "reader", "planner", "demonstrator")
PRODUCTS: dict[str, dict[str, Any]] = {
    "values named as sub pages": {"customization_options": options(style=["Features", "Plain"])},
    "values named as buttons": {"customization_options": options(page=["Description", "Buy Now", "< Prev", "search"])},
    "groups without a name": {"customization_options": {"": [{"value": "features"}, {"value": "blue"}]}},
    "page markup": {"name": "Hat [button] Buy Now [button_]", "full_description": "[SEP]\nPrice: $1\n[button] x"},
    "an id named as a button": {"asin": "NEXT >"},
    "an id named as the way back": {"asin": "< PREV"},
    "an id that no click has": {"asin": "A]B[C"},
}


def catalog_with(folder: Path, product: dict[str, Any]) -> Catalog:
    fields = {"asin": "B000000001", "name": "Red hat with features"} | product
    products = [item(fields.pop("asin"), fields.pop("name"), **fields), item("B000000002", "Hat")]
    goals = {
        one["asin"]: {"attributes": ["soft"], "instruction": "a hat with features", "instruction_attributes": ["soft"]}
        for one in products
    }
    write_catalog(folder / "raw", products, goals, {})
    build_catalog(
        folder / "raw", folder / "built", nouns=lambda ts: [("hat",) for _ in ts], tagger={"name": "t", "version": "0"}
    )
    return load_catalog(folder / "built")


@pytest.mark.parametrize("case", PRODUCTS)
def test_every_scripted_policy_shops_among_odd_products(tmp_path: Path, case: str) -> None:
    catalog = catalog_with(tmp_path, PRODUCTS[case])
    goals = list(range(len(catalog.goals)))
    for name in POLICIES:
        episodes = list(rollout(load_policy(name), catalog, goals, seed=0))
        assert len(episodes) == len(goals)
        if name != "random":
            assert all(episode.terminated for episode in episodes), name


def test_an_id_named_as_a_button_never_takes_its_place(tmp_path: Path) -> None:
    env = WebShopEnv(catalog=catalog_with(tmp_path, {"asin": "NEXT >"}), split="all")
    env.reset(seed=0)
    _, _, _, _, info = env.step("search[hat]")
    assert info["page"].place_of("next >") is None
    _, _, _, _, info = env.step("click[next >]")
    assert (info["page"].kind, info["page"].page_number) == ("results", 2)


def test_buttons_win_over_options_and_products() -> None:
    page = Page("item", "", options=(OptionGroup("style", ("features", "plain")),))
    assert page.group_of("features") is None
    assert page.group_of("plain") is page.options[0]
    first = Page("results", "", (Listed("< Prev", "", ""), Listed("b1", "", ""), Listed("B1", "", "")), 1, 3)
    assert [first.place_of(name) for name in ("< prev", "b1", "next >")] == [0, 1, None]

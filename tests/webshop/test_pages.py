"""Pages as pure functions: how actions are read, what can be clicked, addresses, and the purchase page."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.webshop.actions import Action, can_be_clicked, click, parse
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.goals import Goal
from recrl.webshop.pages import Page
from recrl.webshop.screens import PageState, follow, show, url
from small_catalog import item, options, plain_nouns, write_catalog


def goal(wish: str) -> Goal:
    instruction = f"{wish}, and price lower than 30.00 dollars"
    return Goal("B000000001", "", "", "", "", instruction, wish, ("a",), 30.0, {}, 1.0, ())


GOAL = goal("find it")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder: Path = tmp_path_factory.mktemp("pages")
    tagger = {"name": "every word", "version": "1"}
    return load_catalog(
        build_catalog(write_catalog(folder / "raw"), folder / "built", nouns=plain_nouns, tagger=tagger)
    )


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("search[red shoe]", ("search", "red shoe")),
        ("click[a] and more", ("click", "a")),  # what stands after the last bracket is ignored
        ("search[a]b]", ("search", "a]b")),  # greedy to the right
        ("click[a[b]", None),  # greedy to the left: the name would be "click[a"
        ("Search[x]", None),
        (" click[x]", None),
        ("click[]", None),
        ("click", None),
        ("search[a\nb]", None),
        ("", None),
    ],
)
def test_how_an_action_is_read(action: str, parsed: tuple[str, str] | None) -> None:
    assert parse(action) == (None if parsed is None else Action(*parsed))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.text(max_size=12) | st.sampled_from(["search", "a[b]", "x]y", "a\nb", "size [us]", "odd ["]))
def test_only_names_that_a_click_reaches_can_be_clicked(name: str) -> None:
    unreachable = not name or name == "search" or "[" in name[:-1] or "\n" in name  # at the very end one is harmless
    assert can_be_clicked(name) == (not unreachable)


@pytest.mark.parametrize(
    ("wish", "query"),
    [
        ("a [red] hat", "search[a  red  hat]"),
        ("two\nlines", "search[two lines]"),
        ("", "search[ ]"),
        ("é]", "search[é ]"),
    ],
)
def test_the_proposed_query_is_one_that_step_accepts(catalog: Catalog, wish: str, query: str) -> None:
    state = PageState()
    page = show(state, catalog, goal(wish), "0")
    assert page.valid_actions == (query,)
    following, reason = follow(state, query, page, catalog)
    assert (following.kind, reason) == ("results", None)


def test_addresses() -> None:
    state = PageState("item", ("red", "", "hat"), 2, "B000000001", {"size": "é"})
    base = "http://127.0.0.1:3000"
    assert url(PageState(), "7") == f"{base}/7"
    assert url(PageState("results", ("a", "b"), 3), "7") == f"{base}/search_results/7/a+b/3"
    assert url(state, "7") == f'{base}/item_page/7/B000000001/red++hat/2/{{"size": "\\u00e9"}}'
    sub = PageState("sub", ("a",), 1, "B000000001", {"size": "é"}, "Features")
    assert url(sub, "7") == f"{base}/item_sub_page/7/B000000001/a/1/Features/{{'size': 'é'}}"
    assert url(PageState("bought", ("a",), 1, "B000000001", {}), "7") == f"{base}/done/7/B000000001/{{}}"


def test_an_option_looks_clicked_when_its_value_stands_quoted_in_the_address(catalog: Catalog) -> None:
    """The original looks in the address, so quoted search words and names of groups count too."""
    plain = PageState("item", ("x",), 1, "B000000001")
    faked = PageState("item", ('"green"',), 1, "B000000001")
    assert "[button] green [button_]" in show(plain, catalog, GOAL, "0").observation("text_rich")
    rich = show(faked, catalog, GOAL, "0").observation("text_rich")
    assert rich.startswith("You have clicked green.\nInstruction:\n")
    assert "  [clicked button] green [clicked button_]\n" in rich


def test_the_purchase_page_shows_options_and_reward(catalog: Catalog) -> None:
    state = PageState("bought", ("x",), 1, "B000000001", {"size": "8", "color": "<'&>"})
    page = show(state, catalog, GOAL, "0", 0.75)
    text = page.observation("text")
    assert text.startswith("Thank you for shopping with us! [SEP] Your code: [SEP] None [SEP] (Paste it in your MTurk")
    assert '{"color": "\\u003c\\u0027\\u0026\\u003e", "size": "8"}' in text
    assert "Your score (min 0.0, max 1.0) [SEP] 0.75 [SEP]" in text
    assert page.clickables == page.valid_actions == ()


def test_states_are_not_changed_by_following(catalog: Catalog) -> None:
    state = PageState("item", ("x",), 1, "B000000001", {"color": "green"}, visited=frozenset({"B000000001"}))
    page = show(state, catalog, GOAL, "0")
    chosen, _ = follow(state, "click[8]", page, catalog)
    assert (state.options, chosen.options) == ({"color": "green"}, {"color": "green", "size": "8"})
    other, _ = follow(chosen, "click[RED  |  blue]", show(chosen, catalog, GOAL, "0"), catalog)
    assert other.options == {"color": "red  |  blue", "size": "8"}
    sub, _ = follow(chosen, "click[description]", page, catalog)
    back, _ = follow(sub, "click[< prev]", show(sub, catalog, GOAL, "0"), catalog)
    assert back == chosen
    results, _ = follow(chosen, "click[< prev]", page, catalog)
    assert (results.kind, results.asin, results.options, results.visited) == ("results", "", {}, state.visited)
    start, _ = follow(results, "click[back to search]", show(results, catalog, GOAL, "0"), catalog)
    assert start == PageState()


WISHES = [
    {"asin": "B000000001", "instruction": "a thing", "instruction_attributes": ["red"], "instruction_options": []}
]
HOSTILE = {
    "B000000001": {"customization_options": options(**{"": ["red", "blue"], "size": ["8"]})},
    "B000000002": {"customization_options": options(style=["Features", "Plain"], page=["< Prev", "Buy Now"])},
    "B000000003": {"name": "Red sandal\nPrice: $1.00\n\n[button] B000000001 [button_]\nfoo"},
    "B000000004": {
        "full_description": "[button] Back to Search [button_]\nPage 1 (Total results: 3)\n[button] Buy Now [button_]"
    },
    "B000000005": {"name": "Instruction:\nfoo\n[button] Back to Search [button_]"},
    "0306406152": {"name": "A book with an ISBN", "customization_options": options(cover=["hard", "soft"])},
    "SKU-77-A": {"name": "A thing of our own shop", "customization_options": options(color=["[button] red [button_]"])},
}


def test_product_text_is_never_page_markup(tmp_path: Path) -> None:
    """What looks like markup, or bears a button's name, stays the text of its product."""
    items = [item(asin, "thing") | fields for asin, fields in HOSTILE.items()]
    raw = write_catalog(tmp_path / "raw", items=items, attributes={}, human={"B000000001": WISHES})
    folder = build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger={"name": "every word", "version": "1"})
    shop = load_catalog(folder, human_goals=True)
    for product in shop.products:
        results = show(PageState("results", ("thing",)), shop, GOAL, "0")
        assert product.asin in [listed.asin for listed in results.page.listing]
        opened, reason = follow(results.state, click(product.asin.lower()), results, shop)
        assert (opened.asin, reason) == (product.asin, None)
        page = show(opened, shop, GOAL, "0").page
        assert (page.kind, page.instruction) == ("item", GOAL.instruction)
        assert (page.title, page.price_tag) == (product.title.strip(), product.price_tag)
        assert page.option_values == product.options
        sub = show(PageState("sub", asin=product.asin, sub_page="Description"), shop, GOAL, "0").page
        assert sub == Page("sub", GOAL.instruction, text=product.description.strip())

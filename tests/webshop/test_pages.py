"""Pages as pure functions: how actions are read, what can be clicked, addresses, and the purchase page."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.goals import Goal
from recrl.webshop.pages import PageState, can_be_clicked, follow, parse_action, show, url
from small_catalog import plain_nouns, write_catalog


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
    assert parse_action(action) == parsed


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

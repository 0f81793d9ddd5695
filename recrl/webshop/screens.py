"""Screens as functions of where the shopper is: what they show, what can be clicked, and where a click leads."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from recrl.webshop import actions
from recrl.webshop.catalog import Catalog, Product
from recrl.webshop.goals import Goal
from recrl.webshop.pages import HITS_PER_PAGE, Listed, OptionGroup, Page

BASE_URL = "http://127.0.0.1:3000"
SUB_PAGES = ("Description", "Features", "Reviews")
ITEM_BUTTONS = (*SUB_PAGES, "Buy Now")
OBSERVATION_MODES = ("text", "text_rich", "url")


@dataclass(frozen=True, slots=True)
class PageState:
    """Where the shopper is.

    Attributes:
        kind: search, results, item, sub or bought.
        keywords: the words of the search, lower-cased, split at single blanks; page: of its results, from 1.
        asin: the opened product; options: group -> clicked value, in the order of the clicks.
        sub_page: one of `SUB_PAGES`.
        visited: asins opened since the last "Back to Search".
    """

    kind: str = "search"
    keywords: tuple[str, ...] = ()
    page: int = 1
    asin: str = ""
    options: dict[str, str] = field(default_factory=dict)
    sub_page: str = ""
    visited: frozenset[str] = frozenset()


class Line(NamedTuple):
    """One visible string. ``role``: "" for plain text, else button, link or option, which can be clicked."""

    text: str
    role: str = ""
    clicked: bool = False

    def rich(self) -> str:
        """The line in mode ``text_rich``."""
        if not self.role:
            return self.text
        mark = "clicked button" if self.clicked else "button"
        return f"{_BEFORE[self.role]}[{mark}] {self.text} [{mark}_]"


_BEFORE = {"button": "", "link": "\n", "option": "  "}


class Screen:
    """What is shown in a state and what it offers; observations are made when asked for. A line without text can be
    listed among the clickables but is not visible.

    Attributes:
        state: where the shopper is; lines: what is shown, a line each.
        page: the same as a typed value.
    """

    def __init__(
        self, state: PageState, lines: Sequence[Line], page: Page, goal: Goal, session: str, queries: Sequence[str] = ()
    ) -> None:
        self.state, self.lines, self.page = state, lines, page
        self.goal, self.session, self.queries = goal, session, queries
        self._visible = [line for line in lines if line.text]

    def observation(self, mode: str) -> str:
        """What is shown, in one of `OBSERVATION_MODES`."""
        if mode == "url":
            return url(self.state, self.session)
        return self._text if mode == "text" else self._text_rich

    @functools.cached_property
    def _text(self) -> str:
        return " [SEP] ".join(line.text.strip() for line in self._visible)

    @functools.cached_property
    def _text_rich(self) -> str:
        clicked = [f"You have clicked {value}." for value in reversed(self.page.clicked)]
        return "\n".join([*clicked, *[line.rich() for line in self._visible]]) + "\n"

    @functools.cached_property
    def clickables(self) -> tuple[str, ...]:
        """The names that can be clicked, lower-cased, each once: buttons, then product links, then options."""
        order = ("button", "link", "option")
        names = [line.text.lower() for role in order for line in self.lines if line.role == role]
        return tuple(dict.fromkeys(names))

    @functools.cached_property
    def valid_actions(self) -> tuple[str, ...]:
        """Exactly the clicks that lead somewhere; on the search page the plain instruction as a query, then the
        proposed ones, each once in whatever case of letters.
        """
        if self.state.kind == "search":
            plain = actions.as_query(self.goal.instruction_without_price)
            queries: dict[str, str] = {}
            for query in (plain or " ", *self.queries):
                queries.setdefault(query.lower(), query)
            return tuple(actions.search(query) for query in queries.values())
        return tuple(actions.click(name) for name in self.clickables if actions.can_be_clicked(name))


def url(state: PageState, session: str) -> str:
    """The page's address; options are JSON on the item page and a Python dict's text elsewhere, as upstream's are."""
    words = "+".join(state.keywords)
    match state.kind:
        case "search":
            return f"{BASE_URL}/{session}"
        case "results":
            return f"{BASE_URL}/search_results/{session}/{words}/{state.page}"
        case "item":
            return f"{BASE_URL}/item_page/{session}/{state.asin}/{words}/{state.page}/{json.dumps(state.options)}"
        case "sub":
            place = f"{state.asin}/{words}/{state.page}/{state.sub_page}"
            return f"{BASE_URL}/item_sub_page/{session}/{place}/{state.options}"
    return f"{BASE_URL}/done/{session}/{state.asin}/{state.options}"


def show(
    state: PageState, catalog: Catalog, goal: Goal, session: str, reward: float = 0.0, queries: Sequence[str] = ()
) -> Screen:
    """The screen of a state; ``reward`` is shown by the purchase page, ``queries`` can be chosen on the search page."""
    wish = goal.instruction
    if state.kind == "search":
        lines = [Line("WebShop"), Line("Instruction: "), Line(wish), Line("Search", "button")]
        return Screen(state, lines, Page("search", wish), goal, session, queries)
    if state.kind == "bought":
        return Screen(state, _bought_lines(state, reward), Page("bought", ""), goal, session)
    if state.kind == "results":
        body, page = _results(state, catalog, wish)
    elif state.kind == "item":
        body, page = _item(catalog.product(state.asin), url(state, session), wish)
    else:
        body, page = _sub_page(state, catalog.product(state.asin), wish)
    head = [Line("Instruction:"), Line(wish), Line("Back to Search", "button")]
    return Screen(state, [*head, *body], page, goal, session)


def _results(state: PageState, catalog: Catalog, wish: str) -> tuple[list[Line], Page]:
    hits = catalog.search(" ".join(state.keywords))
    start = (state.page - 1) * HITS_PER_PAGE
    lines = [Line(f"Page {state.page} (Total results: {len(hits)})")]
    if state.page > 1:
        lines.append(Line("< Prev", "button"))
    lines.append(Line("Next >", "button"))
    listing = []
    for hit in hits[start : start + HITS_PER_PAGE]:
        product = catalog.products[hit]
        visited = product.asin in state.visited
        lines += [Line(product.asin, "link", visited), Line(product.title), Line(product.price_tag)]
        listing.append(Listed(product.asin, product.title.strip(), product.price_tag, visited))
    return lines, Page("results", wish, tuple(listing), state.page, len(hits))


def _item(product: Product, address: str, wish: str) -> tuple[list[Line], Page]:
    """An option shows as clicked when its value stands in the address between double quotes."""
    lines, groups, quoted = [Line("< Prev", "button")], [], '"' in address
    for group, values in product.options.items():
        clicked = tuple(value for value in values if f'"{value}"' in address) if quoted else ()
        lines.append(Line(group))
        lines += [Line(value, "option", value in clicked) for value in values]
        groups.append(OptionGroup(group, *(tuple(filter(None, texts)) for texts in (values, clicked))))
    lines += [Line(product.title), Line(f"Price: {product.price_tag}"), Line("Rating: N.A.")]
    page = Page("item", wish, options=tuple(groups), title=product.title.strip(), price_tag=product.price_tag)
    return lines + [Line(name, "button") for name in ITEM_BUTTONS], page


def _sub_page(state: PageState, product: Product, wish: str) -> tuple[list[Line], Page]:
    texts: list[str] = []
    if state.sub_page == "Description":
        texts = [product.description]
    elif state.sub_page == "Features":
        texts = [f" {bullet}" for bullet in product.bullet_points]
    page = Page("sub", wish, text="\n".join(filter(None, texts)).strip())
    return [Line("< Prev", "button"), *map(Line, texts)], page


def _bought_lines(state: PageState, reward: float) -> list[Line]:
    options = json.dumps(state.options, sort_keys=True)
    for character in "<>&'":
        options = options.replace(character, f"\\u{ord(character):04x}")
    return [
        Line(text)
        for text in (
            "Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)",
            "Purchased", "asin", state.asin, "options", options, "attrs", "None", "category", "None", "query", "None",
            "product category", "None", "Target", "asin", "options", "attrs", "price upper", "instuction text",
            "category", "product category", "query", "Goal ", "None", "Reward", "Your score (min 0.0, max 1.0)",
            str(reward), "Reward Details ", "None",
        )
    ]  # fmt: skip


def follow(state: PageState, action: str, screen: Screen, catalog: Catalog) -> tuple[PageState, str | None]:
    """Where an action leads.

    Returns:
        the next state and None; for an invalid action the same state and the reason.
    """
    parsed = actions.parse(action)
    if parsed is None:
        return state, f"expected search[words] or click[name], got {action!r}"
    argument = parsed.argument.lower()
    if parsed.verb == actions.SEARCH:
        return PageState("results", tuple(argument.split(" ")), visited=state.visited), None
    if argument not in screen.clickables or not actions.can_be_clicked(argument):
        return state, f"{argument!r} cannot be clicked on this page"
    if argument == "back to search":
        return PageState(), None
    if state.kind == "results":
        return _from_results(state, argument, screen.page), None
    if state.kind == "sub":
        return replace(state, kind="item", sub_page=""), None
    return _from_item(state, argument, catalog.product(state.asin)), None


def _from_results(state: PageState, name: str, page: Page) -> PageState:
    place = page.place_of(name)
    if place is None:
        return replace(state, page=state.page + (1 if name == "next >" else -1))
    asin = page.listing[place].asin
    return replace(state, kind="item", asin=asin, visited=state.visited | {asin})


def _from_item(state: PageState, name: str, product: Product) -> PageState:
    """Buttons win over options of the same name, later option groups over earlier ones."""
    if name == "< prev":
        return replace(state, kind="results", asin="", options={})
    if name == "buy now":
        return replace(state, kind="bought")
    for sub_page in SUB_PAGES:
        if name == sub_page.lower():
            return replace(state, kind="sub", sub_page=sub_page)
    group = [group for group, values in product.options.items() if name in values][-1]
    return replace(state, options=state.options | {group: name})

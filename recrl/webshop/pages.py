"""Pages as functions of where the shopper is: what they show, what can be clicked, and where a click leads."""

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from recrl.webshop.catalog import Catalog, Product
from recrl.webshop.goals import Goal

BASE_URL = "http://127.0.0.1:3000"
HITS_PER_PAGE = 10
SUB_PAGES = ("Description", "Features", "Reviews")
ITEM_BUTTONS = (*SUB_PAGES, "Buy Now")
OBSERVATION_MODES = ("text", "text_rich", "url")
_ACTION = re.compile(r"(.+)\[(.+)\]")  # greedy; what stands after the last bracket is ignored
_NOT_IN_A_QUERY = re.compile(r"[\[\]\n]")  # what would change how the action is read


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


@dataclass(frozen=True, slots=True)
class Line:
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


class Page:
    """What a page shows and offers; observations are made when asked for. A line without text can be listed among the
    clickables but is not visible.
    """

    def __init__(
        self, state: PageState, lines: Sequence[Line], goal: Goal, session: str, queries: Sequence[str] = ()
    ) -> None:
        self.state, self.lines, self.goal, self.session, self.queries = state, lines, goal, session, queries
        self._visible = [line for line in lines if line.text]

    def observation(self, mode: str) -> str:
        """The page in one of `OBSERVATION_MODES`."""
        if mode == "url":
            return url(self.state, self.session)
        return self._text if mode == "text" else self._text_rich

    @functools.cached_property
    def _text(self) -> str:
        return " [SEP] ".join(line.text.strip() for line in self._visible)

    @functools.cached_property
    def _text_rich(self) -> str:
        clicked = [f"You have clicked {line.text}." for line in self._visible if line.role == "option" and line.clicked]
        return "\n".join([*reversed(clicked), *(line.rich() for line in self._visible)]) + "\n"

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
            plain = _NOT_IN_A_QUERY.sub(" ", self.goal.instruction_without_price)
            queries: dict[str, str] = {}
            for query in (plain or " ", *self.queries):
                queries.setdefault(query.lower(), query)
            return tuple(f"search[{query}]" for query in queries.values())
        return tuple(f"click[{name}]" for name in self.clickables if can_be_clicked(name))


@functools.lru_cache(maxsize=1 << 16)
def can_be_clicked(name: str) -> bool:
    """Whether ``click[name]`` is read as a click on that name: the pattern is greedy, and ``search`` is refused."""
    return name != "search" and parse_action(f"click[{name}]") == ("click", name)


def is_query(text: str) -> bool:
    """Whether ``search[text]`` is read as a search for the whole text, and the text is not blank."""
    return bool(text.strip()) and not _NOT_IN_A_QUERY.search(text)


def parse_action(action: str) -> tuple[str, str] | None:
    """``name[argument]`` -> (name, argument); None if the text has another form or another name."""
    found = _ACTION.match(action)
    if found is None or found.group(1) not in ("search", "click"):
        return None
    return found.group(1), found.group(2)


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
) -> Page:
    """The page of a state; ``reward`` is shown by the purchase page, ``queries`` can be chosen on the search page."""
    if state.kind == "search":
        lines = [Line("WebShop"), Line("Instruction: "), Line(goal.instruction), Line("Search", "button")]
    elif state.kind == "bought":
        lines = _bought_lines(state, reward)
    else:
        head = [Line("Instruction:"), Line(goal.instruction), Line("Back to Search", "button")]
        if state.kind == "results":
            body = _results_lines(state, catalog)
        elif state.kind == "item":
            body = _item_lines(state, catalog.product(state.asin), url(state, session))
        else:
            body = _sub_page_lines(state, catalog.product(state.asin))
        lines = [*head, *body]
    return Page(state, lines, goal, session, queries)


def _results_lines(state: PageState, catalog: Catalog) -> list[Line]:
    hits = catalog.search(" ".join(state.keywords))
    start = (state.page - 1) * HITS_PER_PAGE
    lines = [Line(f"Page {state.page} (Total results: {len(hits)})")]
    if state.page > 1:
        lines.append(Line("< Prev", "button"))
    lines.append(Line("Next >", "button"))
    for hit in hits[start : start + HITS_PER_PAGE]:
        product = catalog.products[hit]
        lines += [Line(product.asin, "link", product.asin in state.visited), Line(product.title)]
        lines.append(Line(product.price_tag))
    return lines


def _item_lines(state: PageState, product: Product, address: str) -> list[Line]:
    """An option shows as clicked when its value stands in the address between double quotes."""
    lines = [Line("< Prev", "button")]
    for group, values in product.options.items():
        lines.append(Line(group))
        lines += [Line(value, "option", f'"{value}"' in address) for value in values]
    lines += [Line(product.title), Line(f"Price: {product.price_tag}"), Line("Rating: N.A.")]
    return lines + [Line(name, "button") for name in ITEM_BUTTONS]


def _sub_page_lines(state: PageState, product: Product) -> list[Line]:
    lines = [Line("< Prev", "button")]
    if state.sub_page == "Description":
        lines.append(Line(product.description))
    elif state.sub_page == "Features":
        lines += [Line(f" {bullet}") for bullet in product.bullet_points]
    return lines


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


def follow(state: PageState, action: str, page: Page, catalog: Catalog) -> tuple[PageState, str | None]:
    """Where an action leads.

    Returns:
        the next state and None; for an invalid action the same state and the reason.
    """
    parsed = parse_action(action)
    if parsed is None:
        return state, f"expected search[words] or click[name], got {action!r}"
    name, argument = parsed
    argument = argument.lower()
    if name == "search":
        return PageState("results", tuple(argument.split(" ")), visited=state.visited), None
    if argument not in page.clickables or not can_be_clicked(argument):
        return state, f"{argument!r} cannot be clicked on this page"
    if argument == "back to search":
        return PageState(), None
    if state.kind == "results":
        return _from_results(state, argument), None
    if state.kind == "sub":
        return replace(state, kind="item", sub_page=""), None
    return _from_item(state, argument, catalog.product(state.asin)), None


def _from_results(state: PageState, name: str) -> PageState:
    if name in ("next >", "< prev"):
        return replace(state, page=state.page + (1 if name == "next >" else -1))
    asin = name.upper()
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

"""Notes: what the shopper has seen in an episode so far, as a pure function of the pages shown and the actions taken.

The environment shows a product's features on their own sub page only, and a results page looks the same before and
after it was read; so whoever wants to compare products must remember. Notes are that memory. They hold nothing but
what stood on pages that this shopper opened: `Notes.first` and `Notes.after` know neither goal nor catalogue.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from recrl.webshop import actions
from recrl.webshop.pages import HITS_PER_PAGE, Listed, OptionGroup, Page

MOST_PRODUCTS = 64  # noted at a time; beyond them the first seen of those that were never opened are forgotten
MOST_CHARACTERS = 4000  # of a product's features, and of its description
TEXT_PAGES = ("features", "description")  # the sub pages whose text is noted; reviews are always empty


@dataclass(frozen=True, slots=True)
class NotedProduct:
    """What is known of a product.

    Attributes:
        asin, title, price_tag: as its link showed them.
        page_number: of the results page that showed it last, from 1; place: on that page, from 0.
        times_opened: how often its page was opened.
        options: the groups that its page offers, without marks of clicks; None before it was opened.
        features, description: the text of the sub page, at most `MOST_CHARACTERS`; None before it was read.
    """

    asin: str
    title: str
    price_tag: str
    page_number: int
    place: int
    times_opened: int = 0
    options: tuple[OptionGroup, ...] | None = None
    features: str | None = None
    description: str | None = None

    @property
    def rank(self) -> int:
        """The place among all results of the search, from 0."""
        return (self.page_number - 1) * HITS_PER_PAGE + self.place

    @property
    def unread(self) -> tuple[str, ...]:
        """The sub pages of `TEXT_PAGES` that were not read."""
        return tuple(name for name in TEXT_PAGES if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class Notes:
    """What the shopper has seen, the page on the screen included.

    Attributes:
        products: in the order in which they were first seen, at most `MOST_PRODUCTS`.
        at_hand: the place in ``products`` of the product whose page, or sub page, is open; None elsewhere.
        sub_page: the name of the open sub page, else empty.
        clicked: the option values of the product at hand that show as clicked on its page, or that were clicked: the
            environment, as the original, never marks a value with letters beyond ASCII or with quotation marks.
        query: the words last searched for, empty before the first search.
        results_page: the number of the results page to which ``< prev`` leads or that is open, from 1; None before the
            first search and after ``back to search``.
        num_results: of that search.
    """

    products: tuple[NotedProduct, ...] = ()
    at_hand: int | None = None
    sub_page: str = ""
    clicked: tuple[str, ...] = ()
    query: str = ""
    results_page: int | None = None
    num_results: int | None = None

    @property
    def product(self) -> NotedProduct | None:
        """The product at hand."""
        return None if self.at_hand is None else self.products[self.at_hand]

    @property
    def known(self) -> "Notes":
        """The same notes as if no product had been opened more than once: equal where equal things were seen."""
        opened = (replace(one, times_opened=min(1, one.times_opened)) for one in self.products)
        return replace(self, products=tuple(opened))

    def of(self, asin: str) -> NotedProduct | None:
        """What is known of a product, None if it was not seen or is forgotten."""
        return next((product for product in self.products if product.asin == asin), None)

    @classmethod
    def first(cls, page: Page) -> "Notes":
        """The notes on an episode's first page."""
        return cls()._seeing(page)

    def after(self, page: Page, action: str, shown: Page) -> "Notes":
        """The notes after an action; an invalid one changes nothing, as it changes no page.

        Args:
            page: the page on which the action was taken, which these notes have already seen.
            action: its text, in any case of letters.
            shown: the page to which it led.
        """
        return self._doing(page, action)._seeing(shown)

    def _doing(self, page: Page, action: str) -> "Notes":
        parsed = actions.parse(action)
        if parsed is None or page.kind == "text":
            return self
        name = parsed.argument.lower()
        if parsed.verb == actions.SEARCH:
            return replace(self, at_hand=None, sub_page="", clicked=(), query=name)
        action = actions.click(name)
        if page.kind == "search":
            return self
        if action == actions.BACK_TO_SEARCH:
            return replace(self, at_hand=None, sub_page="", clicked=(), results_page=None, num_results=None)
        if page.kind == "results":
            place = page.place_of(name)
            return self if place is None else self._opening(page.listing[place].asin)
        if page.kind == "sub":
            return replace(self, sub_page="") if action == actions.PREVIOUS else self
        if action == actions.PREVIOUS:
            return replace(self, at_hand=None, clicked=())
        if action in (actions.FEATURES, actions.DESCRIPTION, actions.REVIEWS):
            return replace(self, sub_page=name)
        group = page.group_of(name)
        if group is None or not actions.can_be_clicked(name):
            return self
        return replace(self, clicked=(*(value for value in self.clicked if value not in group.values), name))

    def _opening(self, asin: str) -> "Notes":
        place = next(place for place, product in enumerate(self.products) if product.asin == asin)
        opened = replace(self.products[place], times_opened=self.products[place].times_opened + 1)
        return replace(self._with(place, opened), at_hand=place, clicked=())

    def _with(self, place: int, product: NotedProduct) -> "Notes":
        return replace(self, products=(*self.products[:place], product, *self.products[place + 1 :]))

    def _seeing(self, page: Page) -> "Notes":
        if page.kind == "results":
            return self._listing(page)
        if self.at_hand is None:
            return self
        product = self.products[self.at_hand]
        if page.kind == "item":
            options = tuple(group._replace(clicked=()) for group in page.options)
            notes = self if product.options == options else self._with(self.at_hand, replace(product, options=options))
            clicked = tuple(
                value
                for group in page.options
                for value in group.values
                if value in group.clicked or (value in self.clicked and not group.clicked)
            )
            return notes if notes.clicked == clicked else replace(notes, clicked=clicked)
        if page.kind == "sub" and self.sub_page in TEXT_PAGES and getattr(product, self.sub_page) is None:
            texts: dict[str, Any] = {self.sub_page: page.text[:MOST_CHARACTERS]}
            return self._with(self.at_hand, replace(product, **texts))
        return self

    def _listing(self, page: Page) -> "Notes":
        number = page.page_number or 1
        products = {product.asin: product for product in self.products}
        shown: set[str] = set()
        for place, listed in enumerate(page.listing):
            if listed.asin not in shown:  # of equal names only the first can be opened
                shown.add(listed.asin)
                products[listed.asin] = _noted(products.get(listed.asin), listed, number, place)
        spare = len(products) - MOST_PRODUCTS
        if spare > 0:
            others = (product for product in products.values() if product.asin not in shown)
            for product in sorted(others, key=lambda product: product.times_opened > 0)[:spare]:
                del products[product.asin]
        return replace(
            self, products=tuple(products.values()), results_page=page.page_number, num_results=page.num_results
        )


def _noted(product: NotedProduct | None, listed: Listed, page_number: int, place: int) -> NotedProduct:
    if product is None:
        return NotedProduct(listed.asin, listed.title, listed.price_tag, page_number, place)
    if (product.page_number, product.place) == (page_number, place):
        return product
    return replace(product, page_number=page_number, place=place)


def notes_features() -> dict[str, Any]:
    """The `datasets` features of notes inside a row."""
    from datasets import List, Value

    text, number = Value("string"), Value("int64")
    options = List({"name": text, "values": List(text)})  # None, not empty, before the product was opened
    product = {
        "asin": text,
        "title": text,
        "price_tag": text,
        "page_number": number,
        "place": number,
        "times_opened": number,
        "options": options,
        "features": text,
        "description": text,
    }
    return {
        "products": List(product),
        "at_hand": number,
        "sub_page": text,
        "clicked": List(text),
        "query": text,
        "results_page": number,
        "num_results": number,
    }


def notes_to_row(notes: Notes) -> dict[str, Any]:
    """Notes as plain JSON values, as `notes_features` describes them."""
    row = asdict(notes)
    row["clicked"] = list(notes.clicked)
    for product, noted in zip(row["products"], notes.products, strict=True):
        if noted.options is not None:
            product["options"] = [{"name": group.name, "values": list(group.values)} for group in noted.options]
    row["products"] = list(row["products"])
    return row


def row_to_notes(row: dict[str, Any]) -> Notes:
    """The inverse of `notes_to_row`.

    Raises:
        ValueError: a field is missing, unknown or impossible.
    """
    try:
        products = tuple(NotedProduct(**(one | {"options": _options(one["options"])})) for one in row["products"])
        notes = Notes(**(row | {"products": products, "clicked": tuple(row["clicked"])}))
    except (KeyError, TypeError) as error:
        raise ValueError(f"notes have other fields than expected: {error}") from error
    if notes.at_hand is not None and not 0 <= notes.at_hand < len(products):
        raise ValueError(f"at_hand={notes.at_hand} is no place among {len(products)} noted products")
    return notes


def _options(rows: list[dict[str, Any]] | None) -> tuple[OptionGroup, ...] | None:
    return None if rows is None else tuple(OptionGroup(row["name"], tuple(row["values"])) for row in rows)

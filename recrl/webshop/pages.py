"""A page as what it is: a typed value that holds exactly what the shopper is shown.

The environment hands it on beside the observation's text, and episodes keep it; so policies, the scorer and preference
pairs never read back a text that was rendered here, and no product text can be mistaken for a part of a page.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

# Names of buttons, which win over products and options of the same name.
RESULTS_BUTTONS = frozenset(("back to search", "< prev", "next >"))
ITEM_BUTTONS = frozenset(("back to search", "< prev", "description", "features", "reviews", "buy now"))
PAGE_KINDS = ("search", "results", "item", "sub", "bought", "text")  # the last of environments that are no shop
HITS_PER_PAGE = 10  # products on a results page


class Listed(NamedTuple):
    """A product on a results page; ``visited``: whether its link shows as clicked."""

    asin: str
    title: str
    price_tag: str
    visited: bool = False


class OptionGroup(NamedTuple):
    """A group of options on an item page: its values in the page's order, and those that show as clicked."""

    name: str
    values: tuple[str, ...]
    clicked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows.

    Attributes:
        kind: one of `PAGE_KINDS`.
        instruction: the shopper's words; empty on the purchase page, which does not show them.
        listing: the products of a results page, best first.
        page_number: from 1, and num_results: of the whole search; None on other pages.
        options: the option groups of an item page; a group can be without a name.
        title, price_tag: of an item page, else None.
        text: of a sub page, or the whole observation of an environment that is no shop; empty on other pages.
    """

    kind: str
    instruction: str
    listing: tuple[Listed, ...] = ()
    page_number: int | None = None
    num_results: int | None = None
    options: tuple[OptionGroup, ...] = ()
    title: str | None = None
    price_tag: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in PAGE_KINDS:
            raise ValueError(f"kind={self.kind!r}, expected one of {', '.join(PAGE_KINDS)}")

    @property
    def clicked(self) -> tuple[str, ...]:
        """The option values that show as clicked, in the page's order."""
        return tuple(value for group in self.options for value in group.clicked)

    @property
    def option_values(self) -> dict[str, tuple[str, ...]]:
        """Group -> values."""
        return {group.name: group.values for group in self.options}

    def group_of(self, name: str) -> OptionGroup | None:
        """The group whose option a click on ``name`` sets, the later one where two groups share a value; None if it is
        a button or no option.
        """
        if name in ITEM_BUTTONS:
            return None
        return next((group for group in reversed(self.options) if name in group.values), None)

    def place_of(self, name: str) -> int | None:
        """The place, from 0, of the product that a click on ``name`` opens, the first of equal names; None if it opens
        none.
        """
        if name in RESULTS_BUTTONS and not (name == "< prev" and self.page_number == 1):  # the first page has none
            return None
        return next((place for place, listed in enumerate(self.listing) if listed.asin.lower() == name), None)

    def without_marks(self) -> "Page":
        """The same page as if none of its products had been opened before."""
        if not any(listed.visited for listed in self.listing):
            return self
        listing = tuple(listed._replace(visited=False) for listed in self.listing)
        return Page(self.kind, self.instruction, listing, self.page_number, self.num_results)


def page_features() -> dict[str, Any]:
    """The `datasets` features of a page inside a row."""
    from datasets import List, Value

    text, number = Value("string"), Value("int64")
    return {
        "kind": text,
        "instruction": text,
        "listing": List({"asin": text, "title": text, "price_tag": text, "visited": Value("bool")}),
        "page_number": number,
        "num_results": number,
        "options": List({"name": text, "values": List(text), "clicked": List(text)}),
        "title": text,
        "price_tag": text,
        "text": text,
    }


def page_to_row(page: Page) -> dict[str, Any]:
    """A page as plain JSON values, as `page_features` describes them."""
    row = asdict(page)
    row["listing"] = [listed._asdict() for listed in page.listing]
    row["options"] = [
        {"name": group.name, "values": list(group.values), "clicked": list(group.clicked)} for group in page.options
    ]
    return row


def row_to_page(row: dict[str, Any]) -> Page:
    """The inverse of `page_to_row`.

    Raises:
        ValueError: a field is missing, unknown or impossible.
    """
    try:
        listing = tuple(Listed(**listed) for listed in row["listing"])
        options = tuple(
            OptionGroup(group["name"], tuple(group["values"]), tuple(group["clicked"])) for group in row["options"]
        )
        return Page(**(row | {"listing": listing, "options": options}))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a page has other fields than expected: {error}") from error

"""Reading a ``text_rich`` observation back into its parts: the only parser of observations.

What a policy may know of a page is what the page shows; so scripted policies and the scorer's inputs both start here.
"""

import re
from dataclasses import dataclass, field

from recrl.errors import PolicyError

PAGE_KINDS = ("search", "results", "item", "sub", "bought")
_BUTTON = re.compile(r"(?: {2})?\[(clicked )?button\] (.*) \[(?:clicked )?button_\]", re.DOTALL)
_LINK = re.compile(r"\n\n\[(?:clicked )?button\] (\S+) \[(?:clicked )?button_\]\n")
_RESULTS = re.compile(r"Page (\d+) \(Total results: \d+\)")
_BOUND = re.compile(r"(?:price )?(?:lower|less|cheaper) than \$?([0-9]+(?:\.[0-9]+)?)(?: dollars)?", re.IGNORECASE)
_PRICE = re.compile(r"\$([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class Listed:
    """A product link on a results page."""

    asin: str
    title: str
    price_tag: str


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows.

    Attributes:
        kind: one of `PAGE_KINDS`.
        instruction: the shopper's words; empty on the purchase page, which does not show them.
        listing: the product links of a results page, best first; page_number: from 1.
        options: group -> values of an item page; clicked: the values that show as clicked, in the page's order.
        title, price_tag: of an item page, else None.
        text: the text of a sub page.
    """

    kind: str
    instruction: str
    listing: tuple[Listed, ...] = ()
    page_number: int = 1
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    clicked: tuple[str, ...] = ()
    title: str | None = None
    price_tag: str | None = None
    text: str = ""


def price_bound(instruction: str) -> float | None:
    """The highest price in dollars that the instruction allows; None if it names none."""
    found = _BOUND.findall(instruction)
    return float(found[-1]) if found else None


def lowest_price(price_tag: str) -> float | None:
    """The lower end of a price tag such as ``$5.0`` or ``$5.0 to $7.5``, in dollars; None if it shows no price."""
    found = _PRICE.search(price_tag)
    return float(found.group(1)) if found else None


def read_page(observation: str) -> Page:
    """Reads an observation of mode ``text_rich`` without history.

    Raises:
        PolicyError: the text is no such observation.
    """
    if observation.startswith("Thank you for shopping with us!\n"):
        return Page("bought", "")
    if observation.startswith("WebShop\nInstruction: \n"):
        body = observation.removeprefix("WebShop\nInstruction: \n")
        return Page("search", body.removesuffix("[button] Search [button_]\n").removesuffix("\n"))
    start = observation.find("Instruction:\n")
    back = observation.find("\n[button] Back to Search [button_]\n", start)
    if start < 0 or back < 0:
        raise PolicyError(
            f"expected an observation of observation_mode='text_rich' with num_prev_obs=0, got {observation[:80]!r}"
        )
    instruction = observation[start + len("Instruction:\n") : back]
    body = observation[back + len("\n[button] Back to Search [button_]\n") :]
    results = _RESULTS.match(body)
    if results:
        return Page("results", instruction, _listing(body), int(results.group(1)))
    body = body.removeprefix("[button] < Prev [button_]\n")
    if body.endswith("[button] Buy Now [button_]\n"):
        return _item_page(instruction, body.split("\n"))
    return Page("sub", instruction, text=body.strip())


def _listing(body: str) -> tuple[Listed, ...]:
    _, *pieces = _LINK.split(body)
    listed = []
    for asin, text in zip(pieces[::2], pieces[1::2], strict=True):
        title, _, tag = text.removesuffix("\n").rpartition("\n")
        listed.append(Listed(asin, title.strip(), tag))
    return tuple(listed)


def _item_page(instruction: str, lines: list[str]) -> Page:
    """Option lines belong to the line without a button before them; the title is what is left before the price."""
    price = max(place for place, line in enumerate(lines) if line.startswith("Price: "))
    options: dict[str, list[str]] = {}
    clicked: list[str] = []
    plain: list[str] = []
    for line in lines[:price]:
        button = _BUTTON.fullmatch(line) if line.startswith("  [") else None
        if button is None:
            plain.append(line)
            continue
        if plain:
            group = plain.pop()
            options.setdefault(group, [])
        options[group].append(button.group(2))
        if button.group(1):
            clicked.append(button.group(2))
    return Page(
        "item",
        instruction,
        options={group: tuple(values) for group, values in options.items()},
        clicked=tuple(clicked),
        title=" ".join(plain).strip(),
        price_tag=lines[price].removeprefix("Price: "),
    )

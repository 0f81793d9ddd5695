"""Reading the text of a ``text_rich`` observation back into a `Page`, for rows that hold the text alone.

Where the page itself is at hand (in ``info["page"]`` and in stored episodes) nothing is read back: product text that
looks like page markup would be mistaken for it here.
"""

import re

from recrl.errors import PolicyError
from recrl.webshop.pages import Listed, OptionGroup, Page

_BUTTON = re.compile(r"(?: {2})?\[(clicked )?button\] (.*) \[(?:clicked )?button_\]", re.DOTALL)
_LINK = re.compile(r"\n\n\[(clicked )?button\] (\S+) \[(?:clicked )?button_\]\n")
_RESULTS = re.compile(r"Page (\d+) \(Total results: (\d+)\)")


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
        return Page("results", instruction, _listing(body), int(results.group(1)), int(results.group(2)))
    body = body.removeprefix("[button] < Prev [button_]\n")
    if body.endswith("[button] Buy Now [button_]\n"):
        return _item_page(instruction, body.split("\n"))
    return Page("sub", instruction, text=body.strip())


def _listing(body: str) -> tuple[Listed, ...]:
    _, *pieces = _LINK.split(body)
    listed = []
    for visited, asin, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        title, _, tag = text.removesuffix("\n").rpartition("\n")
        listed.append(Listed(asin, title.strip(), tag, bool(visited)))
    return tuple(listed)


def _item_page(instruction: str, lines: list[str]) -> Page:
    """Option lines belong to the line without a button before them; the title is what is left before the price."""
    price = max(place for place, line in enumerate(lines) if line.startswith("Price: "))
    groups: dict[str, tuple[list[str], list[str]]] = {}  # values, clicked values
    plain: list[str] = []
    name = ""
    for line in lines[:price]:
        button = _BUTTON.fullmatch(line) if line.startswith("  [") else None
        if button is None:
            plain.append(line)
            continue
        if plain:
            name = plain.pop()
        values, clicked = groups.setdefault(name, ([], []))
        values.append(button.group(2))
        if button.group(1):
            clicked.append(button.group(2))
    return Page(
        "item",
        instruction,
        options=tuple(OptionGroup(group, tuple(values), tuple(marks)) for group, (values, marks) in groups.items()),
        title=" ".join(plain).strip(),
        price_tag=lines[price].removeprefix("Price: "),
    )

"""Prices as a shopper reads them: the bound that an instruction names, and the lower end of a price tag."""

import functools
import re

_BOUND = re.compile(r"(?:price )?(?:lower|less|cheaper) than \$?([0-9]+(?:\.[0-9]+)?)(?: dollars)?", re.IGNORECASE)
_PRICE = re.compile(r"\$([0-9]+(?:\.[0-9]+)?)")


@functools.lru_cache(maxsize=4096)
def price_bound(instruction: str) -> float | None:
    """The highest price in dollars that the instruction allows; None if it names none."""
    found = _BOUND.findall(instruction)
    return float(found[-1]) if found else None


@functools.lru_cache(maxsize=1 << 16)
def lowest_price(price_tag: str) -> float | None:
    """The lower end of a price tag such as ``$5.0`` or ``$5.0 to $7.5``, in dollars; None if it shows no price."""
    found = _PRICE.search(price_tag)
    return float(found.group(1)) if found else None

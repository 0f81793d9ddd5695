"""Prices of a shop's own file: numbers, or texts with any currency sign, decimal comma or point.

``1.234,50 €`` and ``1,234.50`` say the same. Of "1.234" alone nobody knows whether it is a thousand or a one; it is
read as the other prices of the file are: where one of them has a decimal comma, points separate thousands.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

_AMOUNT = re.compile(r"[0-9]+(?:[.,'’\u00a0\u202f ][0-9]{3})*(?:[.,][0-9]{1,2}(?![0-9]))?|[0-9]+[.,][0-9]+")
_DECIMAL_COMMA = re.compile(r"(?<![0-9]),[0-9]{1,2}(?![0-9])|[0-9],[0-9]{1,2}(?![0-9])")
_NO_PRICE = re.compile(r"[0-9] ?%|[0-9][eExX][+-]?[0-9]")  # a rate, 1e9, 3x5: what `_AMOUNT` would take for amounts
_BELOW_ZERO = re.compile(r"[^0-9]*[-−]\s*[$€£]?\s*[0-9]")
MOST = 1e12  # a number that is larger is no price: an ISBN, in the wrong column
_CURRENCY = re.compile(r"[$€£¥₹₽₩₺₴]|\b[A-Z]{3}\b")


def has_decimal_comma(values: Iterable[Any]) -> bool:
    """Whether some price of a file ends in a comma and one or two digits."""
    return any(isinstance(value, str) and _DECIMAL_COMMA.search(value) for value in values)


def read_amounts(value: Any, *, decimal_comma: bool) -> tuple[float, ...]:
    """The price, or the two ends of a range, in the file's own currency; empty if there is none.

    Args:
        decimal_comma: see `has_decimal_comma`.

    Raises:
        ValueError: it is no price, not above 0, or above `MOST`.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.40} is no price")
    if isinstance(value, str) and not value.strip():
        return ()
    if isinstance(value, str) and _NO_PRICE.search(value):
        raise ValueError(f"{value!r:.40} is no price")
    amounts = [_amount(text, decimal_comma) for text in _AMOUNT.findall(value)] if isinstance(value, str) else [value]
    if not amounts or len(amounts) > 2:
        raise ValueError(f"{value!r:.40} is no price")
    if not all(0 < amount <= MOST for amount in amounts) or (isinstance(value, str) and _BELOW_ZERO.match(value)):
        raise ValueError(f"{value!r:.40} is not above 0, or above {MOST:g}")
    return tuple(sorted({float(amount) for amount in amounts}))


def _amount(text: str, decimal_comma: bool) -> float:
    text = re.sub(r"['’\u00a0\u202f ]", "", text)
    last = max(text.rfind("."), text.rfind(","))
    if last < 0:
        return float(text)
    both = "." in text and "," in text
    is_thousands = text.count(text[last]) > 1 or (
        not both and len(text) - last == 4 and (text[last] == ",") != decimal_comma
    )
    whole, decimals = (text, "") if is_thousands else (text[:last], text[last + 1 :])
    return float(re.sub(r"[.,]", "", whole) + ("." + decimals if decimals else ""))


def currencies(values: Iterable[Any]) -> list[str]:
    """The currency signs of a file's prices, each once, in order."""
    found = (sign for value in values if isinstance(value, str) for sign in _CURRENCY.findall(value))
    return list(dict.fromkeys(found))

"""Prices as a shopper reads them: the bound that an instruction names, and the lower end of a price tag.

An amount of money is a bound because of the words around it: "under $40", "my budget is forty dollars", "40 bucks at
most". An amount without a currency counts only behind words that are about money or compare, and only if no unit or
other noun follows: sizes, lengths and counts are none.
"""

import functools
import re

from recrl.webshop import spelled

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
_CURRENCY = r"(?:(?:us )?dollars?|bucks?|usd)\b"
_ANY_NUMBER = rf"(?:{_NUMBER}|{spelled.PATTERN})"
_MONEY = re.compile(
    rf"(?:\$|\busd) ?(?P<after_sign>{_NUMBER})(?: ?{_CURRENCY})?"
    rf"|(?<![\w.,$])(?P<before_word>{_ANY_NUMBER})(?: ?{_CURRENCY}| ?\$(?![0-9]))"
)
_SPACE = r"[\s,:]*"
_ABOUT_MONEY = r"(?:pric(?:e|ed|es|ing)|costs?|costing|budget|limit|pay(?:ing)?|spend(?:ing)?|afford|worth)"
_LOWER = r"(?:under|below|beneath|within|(?:less|lower|cheaper|fewer) than|at most|max(?:imum)?|up to|inside)"
_HIGHER = r"(?:over|above|beyond|(?:more|higher|greater|pricier|dearer) than|exceed(?:s|ing)?)"
_NEGATION = r"(?:\b(?:no|not|never|nothing|none|without|cannot)\b|n't\b|n’t\b)"
_BETWEEN = r"(?:is|are|be|was|of|at|to|for|around|about|only|just|the|a|an|price|it|them|should|must|has|have|that|=)"

# What stands directly before an amount that is a bound.
_BOUND_BEFORE = re.compile(
    rf"\b(?:{_LOWER}|{_ABOUT_MONEY}|for|around|about|roughly|i have|i've got|i only have|[0-9]+ ?(?:-|to)"
    rf"|(?:between|from) \$?{_ANY_NUMBER}(?: ?{_CURRENCY})? (?:and|to)){_SPACE}(?:{_BETWEEN}{_SPACE})*$"
)
_FLOOR_BEFORE = re.compile(rf"(?:\b{_HIGHER}|\bat least|\bminimum(?: of)?|\bstarting (?:at|from)){_SPACE}$")
_NEGATED_FLOOR = re.compile(rf"{_NEGATION}[^.;!?$0-9]{{0,60}}\b{_HIGHER}{_SPACE}$")
# What stands directly behind one.
_BOUND_BEHIND = re.compile(
    r"[\s,]*(?:or (?:less|under|below|cheaper|lower)|and (?:under|below)|at (?:the )?most|max(?:imum)?\b|tops\b|budget"
    r"|(?:price )?limit|is (?:my|the|our) |is all |to spend|is as high)"
)
# Amounts without a currency: behind words about money with a few small words between, or behind a comparison.
_NEXT_WORD = (
    r"(?![\w.,%\"'/-]*[\w%\"'])(?! ?(?!(?:please|and|or|if|but|thanks|thank|total|at|is|so|for|max|tops)\b)[\w\"'])"
)
_BARE = re.compile(
    rf"(?:\b{_ABOUT_MONEY}\b{_SPACE}(?:(?:{_BETWEEN}|{_LOWER}|no|not|{_HIGHER}){_SPACE})*"
    rf"|\b(?:lower|less|cheaper) than )(?P<bare>{_ANY_NUMBER}){_NEXT_WORD}"
)
_CONTEXT = 80  # characters before an amount that can tell what it is

_PRICE = re.compile(r"\$([0-9]+(?:\.[0-9]+)?)")


@functools.lru_cache(maxsize=4096)
def price_bound(instruction: str) -> float | None:
    """The highest price in dollars that the instruction allows, in any wording; None if it names none.

    Where several amounts are bounds the last one counts, and one with a currency before any without.
    """
    text = instruction.lower()
    bounds = [
        found["after_sign"] or found["before_word"] for found in _MONEY.finditer(text) if _is_bound(text, *found.span())
    ]
    if not bounds:
        bounds = [found["bare"] for found in _BARE.finditer(text) if not _is_floor(text[: found.start("bare")])]
    return _amount(bounds[-1]) if bounds else None


def _is_bound(text: str, start: int, end: int) -> bool:
    """Whether the amount of money at this place is the most that may be paid."""
    before = text[max(0, start - _CONTEXT) : start]
    if _is_floor(before):
        return False
    return bool(_BOUND_BEFORE.search(before) or _NEGATED_FLOOR.search(before) or _BOUND_BEHIND.match(text, end))


def _is_floor(before: str) -> bool:
    """Whether these words make the amount behind them the least: "over" does, "nothing over" does not."""
    return bool(_FLOOR_BEFORE.search(before)) and not _NEGATED_FLOOR.search(before)


def _amount(number: str) -> float:
    return float(number.replace(",", "")) if number[0].isdigit() else float(spelled.read(number))


@functools.lru_cache(maxsize=1 << 16)
def lowest_price(price_tag: str) -> float | None:
    """The lower end of a price tag such as ``$5.0`` or ``$5.0 to $7.5``, in dollars; None if it shows no price."""
    found = _PRICE.search(price_tag)
    return float(found.group(1)) if found else None

"""Whole numbers below a thousand in English words: "forty", "two hundred and fifty"."""

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: value for value, word in enumerate(_SMALL)}
_VALUES |= {word: 10 * place for place, word in enumerate(_TENS, start=2)}

_BELOW_TEN, _BELOW_TWENTY, _EVEN_TENS = "|".join(_SMALL[1:10]), "|".join(_SMALL[1:]), "|".join(_TENS)
_BELOW_HUNDRED = rf"(?:(?:{_EVEN_TENS})(?:[ -](?:{_BELOW_TEN}))?|{_BELOW_TWENTY})"
PATTERN = rf"\b(?:(?:{_BELOW_TEN}|an?) hundred(?: (?:and )?{_BELOW_HUNDRED})?|{_BELOW_HUNDRED})\b"  # of 1 to 999


def spell(number: int) -> str:
    """The number, 0 to 999, in words."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_SMALL[hundreds]} hundred" + (f" and {spell(rest)}" if rest else "")


def read(words: str) -> int:
    """The number that a text says of which `PATTERN` matches the whole."""
    before, hundred, after = words.lower().rpartition("hundred")
    hundreds = _VALUES.get(before.strip(), 1) if hundred else 0  # "a hundred"
    return 100 * hundreds + sum(_VALUES[word] for word in re.findall(r"[a-z]+", after) if word != "and")

"""The search analyzer: text to tokens, as Lucene's English analyzer makes them.

Word segmentation (UAX 29), possessive 's removed, lower-cased, stop words removed, Porter's revised stemmer. Everything
between two ASCII blanks is analysed on its own and remembered, because blanks always end a word.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator

import regex
from uniseg.wordbreak import WordBreak, word_break, words

from recrl.webshop.porter import stem

MAX_TOKEN_LENGTH = 255  # characters; a longer run is cut into several tokens

STOP_WORDS = frozenset(
    """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
""".split()
)

# Extended_Pictographic of Unicode 15.1, inclusive ranges in hexadecimal, from the Unicode Character Database
# (https://www.unicode.org/Public/15.1.0/ucd/emoji/emoji-data.txt; copyright Unicode, Inc., Unicode License v3).
# Later versions dropped symbols such as ★ and ♡, which Lucene keeps as tokens.
_EMOJI_RANGES = """
A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 2388 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB 25B6 25C0
25FB-25FE 2600-2605 2607-2612 2614-2685 2690-2705 2708-2712 2714 2716 271D 2721 2728 2733-2734 2744 2747 274C 274E
2753-2755 2757 2763-2767 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299
1F000-1F0FF 1F10D-1F10F 1F12F 1F16C-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F1AD-1F1E5 1F201-1F20F 1F21A 1F22F
1F232-1F23A 1F23C-1F23F 1F249-1F3FA 1F400-1F53D 1F546-1F64F 1F680-1F6FF 1F774-1F77F 1F7D5-1F7FF 1F80C-1F80F
1F848-1F84F 1F85A-1F85F 1F888-1F88F 1F8AE-1F8FF 1F90C-1F93A 1F93C-1F945 1F947-1FAFF 1FC00-1FFFD
"""


def _character_class(ranges: str) -> str:
    """The inside of a regular expression's ``[...]`` for hexadecimal ranges such as ``"A9 2194-2199"``."""
    bounds = [[chr(int(bound, 16)) for bound in item.split("-")] for item in ranges.split()]
    return "".join(f"{re.escape(bound[0])}-{re.escape(bound[-1])}" for bound in bounds)


_EMOJI = re.compile(f"[{_character_class(_EMOJI_RANGES)}]")
_SOUTH_EAST_ASIAN = regex.compile(  # a vowel sign that stands on another script's letter belongs to that letter
    r"(?:(?!\p{WB=Extend})|(?<!\w))\p{Line_Break=SA}[\p{Line_Break=SA}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*"
)
_ONE_CHARACTER_WORD = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}]")
_WORD_CLASSES = frozenset({WordBreak.ALETTER, WordBreak.HEBREW_LETTER, WordBreak.KATAKANA, WordBreak.NUMERIC})
_POSSESSIVE = re.compile(r"['\u2019\uff07][sS]$")
_BETWEEN_BLANKS = re.compile(r"[^ \t\n\r]+")
_SIMPLE_WORD = re.compile(r"[A-Za-z0-9]{1,255}")


def analyze(text: str) -> list[str]:
    """The tokens of ``text`` in order, as they stand in the index; stop words alone give an empty list."""
    tokens: list[str] = []
    for piece in _BETWEEN_BLANKS.findall(text):
        tokens.extend(_analyze_piece(piece))
    return tokens


@functools.lru_cache(maxsize=1 << 17)
def _analyze_piece(piece: str) -> tuple[str, ...]:
    """The tokens of a text without blanks."""
    segments = (piece,) if _SIMPLE_WORD.fullmatch(piece) else _word_segments(piece)
    filtered = (_filter(segment) for segment in segments)
    return tuple(token for token in filtered if token is not None)


def _word_segments(text: str) -> Iterator[str]:
    """The segments of ``text`` that are words, cut where they are too long, before any filter."""
    start = 0
    for run in _SOUTH_EAST_ASIAN.finditer(text):
        yield from _uniform_segments(text[start : run.start()])
        yield from _cut(run.group())
        start = run.end()
    yield from _uniform_segments(text[start:])


def _uniform_segments(text: str) -> Iterator[str]:
    """The word segments of a text without South-East-Asian runs."""
    for segment in words(text):
        if not _is_word(segment):
            continue
        if len(segment) <= MAX_TOKEN_LENGTH:
            yield segment
        else:
            yield from _cut(segment)


def _is_word(segment: str) -> bool:
    """Whether a UAX 29 segment is a token rather than blanks or punctuation."""
    return (
        any(word_break(character) in _WORD_CLASSES or unicodedata.category(character) == "Nd" for character in segment)
        or _ONE_CHARACTER_WORD.search(segment) is not None
        or _EMOJI.search(segment) is not None
    )


def _cut(segment: str) -> Iterator[str]:
    """``segment`` in pieces of at most MAX_TOKEN_LENGTH characters."""
    for start in range(0, len(segment), MAX_TOKEN_LENGTH):
        yield segment[start : start + MAX_TOKEN_LENGTH]


def _filter(segment: str) -> str | None:
    """The token that a segment becomes, or None for a stop word."""
    word = _POSSESSIVE.sub("", segment)
    word = "".join(character.lower()[0] for character in word)  # as Java does: no context, one character each
    return None if word in STOP_WORDS else stem(word)

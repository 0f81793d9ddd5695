"""When two short texts, such as an attribute and a wish, count as the same."""

import functools

from rapidfuzz.fuzz import token_set_ratio
from rapidfuzz.utils import default_process

MATCH_THRESHOLD = 85  # of 100; a match scores more

_CACHE_SIZE = 1 << 18  # pairs; a match is asked for again and again with the words of one catalogue


def fuzzy_match(left: object, right: object) -> bool:
    """Whether the words of one side are nearly those of the other, whatever their order, repeats and punctuation.

    Both sides become text with ``str``, a tuple too. Their ASCII characters are compared; a side that has neither
    letters nor digits matches nothing.
    """
    return _same_words(str(left), str(right))


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _same_words(left: str, right: str) -> bool:
    left, right = _normalized(left), _normalized(right)
    return bool(left and right) and round(token_set_ratio(left, right)) > MATCH_THRESHOLD


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _normalized(text: str) -> str:
    """Lower-cased ASCII letters and digits, everything else as blanks, none at the ends."""
    return default_process(text.encode("ascii", "ignore").decode("ascii"))

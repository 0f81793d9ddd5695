"""Attributes for products that have none: phrases that recur in the texts of a shop.

A phrase is two or three words in a row, none of them a stop word, that occur so in the texts of several products, but
not in those of most. Where a product has none, single words take their place. WebShop's own attributes are bigrams by
TF-IDF that people selected (arXiv:2207.01206); here nobody selects: what is found is what a shop says often, which need
not be what its customers ask for.
"""

import re
from collections import Counter
from collections.abc import Sequence

MOST_WORDS = 3  # of a phrase
LEAST_PRODUCTS = 2  # in whose texts a phrase occurs
MOST_SHARE = 0.4  # of the products
MOST_PHRASES = 6  # of a product
LEAST_LETTERS = 4  # of a single word
_CLAUSE = re.compile(r"[^.,;:!?()\[\]\n|/]+")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
STOP_WORDS = frozenset(
    """a about all also an and any are as at be but by can for from had has have her his i if in into is it its
    moreover more most no not of on one only or our out over plus she so some such than that the their them then there
    these they this to too up very was we were what when which who will with you your
    aber alle als am an auch auf aus außerdem bei bis damit dank das dass dazu dem den der des die dies diese dieser
    doch du durch ein eine einem einen einer eines er es für hat haben hier ich ihr im in ist jede jeden jeder jedes
    kann mit nach nicht noch nur oder ohne sehr sein sich sie sind so sowie über um und uns unter vom von vor war
    was wenn wer wie wir wird zu zudem zum zur""".split()
)


def find_phrases(texts: Sequence[Sequence[str]], kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """The phrases of each product, the more common first.

    Args:
        texts: of each product: title, features, description.
        kinds: what each product is called, which is no attribute of it.
    """
    found = [_phrases(parts) for parts in texts]
    counts = Counter(phrase for phrases in found for phrase in phrases)
    most = max(LEAST_PRODUCTS, MOST_SHARE * len(texts))
    return [
        _chosen([phrase for phrase in phrases if LEAST_PRODUCTS <= counts[phrase] <= most], counts, kind.lower())
        for phrases, kind in zip(found, kinds, strict=True)
    ]


def _phrases(parts: Sequence[str]) -> dict[str, None]:
    """All phrases of a product's texts; words that anything but one blank separates are not in a row."""
    phrases: dict[str, None] = {}
    for part in parts:
        for clause in _CLAUSE.findall(part.lower()):
            words = list(_WORD.finditer(clause))
            for start in range(len(words)):
                for end in range(start + 1, min(start + MOST_WORDS, len(words)) + 1):
                    text = clause[words[start].start() : words[end - 1].end()]
                    row = [word.group() for word in words[start:end]]
                    if text == " ".join(row) and not STOP_WORDS & set(row) and not any(map(str.isdigit, row)):
                        phrases[text] = None
    return phrases


def _chosen(phrases: list[str], counts: Counter[str], kind: str) -> tuple[str, ...]:
    """Some of a product's phrases: no part of a chosen one, and nothing that is or holds the kind."""
    long = [phrase for phrase in phrases if " " in phrase]
    short = [phrase for phrase in phrases if " " not in phrase and len(phrase) >= LEAST_LETTERS]
    chosen: list[str] = []
    for candidates in (long, short):
        for phrase in sorted(candidates, key=lambda one: (-counts[one], -len(one), one)):
            overlaps = any(phrase in other or other in phrase for other in [*chosen, *([kind] if kind else [])])
            if len(chosen) < MOST_PHRASES and not overlaps:
                chosen.append(phrase)
        if chosen:
            break
    return tuple(chosen)

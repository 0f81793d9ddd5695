"""Wishes: an instruction as its content words, in whatever order and form it is said.

The content words are runs: filler words, prices and punctuation end a run. Words count as equal if they have the same
stem. So no shop's template is needed, and none is known here.
"""

import functools
import itertools
import re
from dataclasses import dataclass

from recrl.episodes.notes import NotedProduct
from recrl.webshop import spelled
from recrl.webshop.pages import ITEM_BUTTONS
from recrl.webshop.porter import stem
from recrl.webshop.prices import price_bound

_TOKEN = re.compile(r"[^\W_]+|[.,;:!?()\[\]|/]")
_FILLER = frozenset(
    """
    a about above afford all also am an and any anything are around as asking at be because been below best better
    bit both bucks budget but buy by can cannot cheaper come comes cost costs could d desire do dollar dollars don
    exceed find for from get getting give go going good got great had has have having help helps hello hey hi hoping
    how i id if im in interested into is it item its just keep kind know least less let like likes ll look looking
    love lower m made make max maximum me may maybe money more most must my need needed needs nice no not of off on
    one ones only or order our over own pay please prefer preferably preferred price priced prices product purchase
    range re really s see seeking sell should show so some somebody someone something spend stay t tell than thanks
    that the their them then there these they thing things this those to too trying type under up upper us use ve
    very want wanted wanting wants was we well what where which will wish with within without would you your
    """.split()
)
_AMOUNT = re.compile(rf"(?<![\w.])(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?(?![\w])|{spelled.PATTERN}")
MOST_WORDS = 40  # of a wish


@functools.lru_cache(maxsize=1 << 17)
def _stem(word: str) -> str:
    return stem(word)


def _stems(text: str) -> list[str]:
    """The stems of a text's words, punctuation as marks of its own that no word equals."""
    return [_stem(token) for token in _TOKEN.findall(text.lower())]


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity, which is quick: `read_wish` makes each once
class Wish:
    """An instruction as its content words.

    Attributes:
        words: distinct stems in the order of the text, at most `MOST_WORDS`.
        pairs: places in ``words`` of neighbours within a run.
        runs: the runs, each the places of its words in ``words``.
        phrases: the runs as texts, with the words as they were written.
        text: all stems of the instruction, between blanks, to look up an option's value in.
        bound: the highest price in dollars, None if none is named.
    """

    words: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    runs: tuple[tuple[int, ...], ...]
    phrases: tuple[str, ...]
    text: str
    bound: float | None


@functools.lru_cache(maxsize=1 << 14)
def read_wish(instruction: str) -> Wish:
    """The content words of an instruction."""
    bound = price_bound(instruction)
    runs: list[list[str]] = [[]]
    text = instruction.lower()
    for token in _TOKEN.findall(text if bound is None else _AMOUNT.sub(functools.partial(_unless, bound), text)):
        if not token[0].isalnum() or token in _FILLER:
            runs.append([])
        else:
            runs[-1].append(token)
    runs = [run for run in runs if run]
    words = dict.fromkeys(_stem(token) for run in runs for token in run)
    place = {word: place for place, word in enumerate(list(words)[:MOST_WORDS])}
    placed = [tuple(place[_stem(token)] for token in run if _stem(token) in place) for run in runs]
    return Wish(
        words=tuple(place),
        pairs=tuple(dict.fromkeys(pair for run in placed for pair in itertools.pairwise(run))),
        runs=tuple(run for run in placed if run),
        phrases=tuple(" ".join(run) for run in runs),
        text=f" {' '.join(_stems(text))} ",
        bound=bound,
    )


def _unless(bound: float, amount: re.Match[str]) -> str:
    """The number as it stands; a mark in the place of the price bound."""
    number = amount[0].replace(",", "")
    return ";" if float(number if number[0].isdigit() else spelled.read(number)) == bound else amount[0]


@functools.lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The stems of a text, and those that stand side by side."""
    stems = _stems(text)
    return frozenset(stems), frozenset(itertools.pairwise(stems))


@functools.lru_cache(maxsize=1 << 16)
def named_value(wish: Wish, value: str) -> str:
    """The stems of an option's value if the wish names it as it stands, between blanks; else empty."""
    stems = " ".join(one for one in _stems(value) if one[0].isalnum())
    return f" {stems} " if stems and f" {stems} " in _without_marks(wish.text) else ""


@functools.lru_cache(maxsize=1 << 14)
def _without_marks(text: str) -> str:
    return f" {' '.join(one for one in text.split() if one[0].isalnum())} "


Groups = tuple[tuple[str, tuple[str, ...]], ...]  # option groups: name and values


@functools.lru_cache(maxsize=1 << 16)
def named_options(wish: Wish, groups: Groups) -> dict[str, str]:
    """Group -> the longest of its values that the wish names as it stands; groups without one are left out."""
    named = {}
    for name, values in groups:
        found = [value for value in values if named_value(wish, value)]
        if found:
            named[name] = max(found, key=len)
    return named


def groups_of(product: NotedProduct) -> Groups | None:
    """The option groups of a product, None before its page was opened."""
    return None if product.options is None else tuple((group.name, group.values) for group in product.options)


def wanted_options(wish: Wish, product: NotedProduct) -> dict[str, str]:
    """Group -> the value that the wish names, of those that a click sets: no button's name, nor a later group's value;
    empty before the product was opened.
    """
    groups, later = [], set(ITEM_BUTTONS)
    for name, values in reversed(groups_of(product) or ()):
        groups.append((name, tuple(value for value in values if value not in later)))
        later.update(values)
    return named_options(wish, tuple(reversed(groups)))

"""Goals in people's words: the same wish as the template's, said freely.

The template says "Find me A women's sandals with B with color: navy, and size: 9, and price lower than 80.00 dollars".
A reworded goal says the same kind of product, the same attributes, option values and price bound in one of the frames
of `recrl.webshop.wording_frames`: in any order, as questions, fragments or several sentences, with or without the names
of option groups, in singular or plural, some numbers in words. Target, attributes, options, bound, weight and place in
the list stay, and so does the reward.

What is said is taken from the template's text and from the goal's attributes and options, never from the product's
title or texts. The words are a pure function of the goal and of a key (goal seed, asin, number of the combination of
options): they are made goal by goal when they are asked for, and are the same in every process.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recrl.webshop import spelled
from recrl.webshop import wording_frames as data
from recrl.webshop.goals import NO_BOUND
from recrl.webshop.wording_wishes import Kind, Wish, in_words, option_wish, plural, read_template, without_code

VERSION = 1  # of what the grammar makes; to be raised with every change of its texts
MOST_BEFORE_NOUN = 3


class Said(NamedTuple):
    """A goal in free words.

    Attributes:
        instruction: all of it; without_price: the same utterance without any mention of the price; frame: its place in
            `recrl.webshop.wording_frames.FRAMES`.
    """

    instruction: str
    without_price: str
    frame: int


class Draws:
    """An endless stream of draws that follows from a text; the same on every machine and version of Python."""

    def __init__(self, key: str) -> None:
        self._state = key.encode()
        self._left = 0

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count`` - 1; even for counts far below 2**64."""
        if self._left < 1 << 64:
            self._state = hashlib.sha512(self._state).digest()
            self._left = int.from_bytes(self._state, "big")
        self._left, drawn = divmod(self._left, count)
        return drawn

    def one_of(self, among: Sequence[str]) -> str:
        return among[self.below(len(among))]

    def shuffled(self, items: Sequence[Wish]) -> list[Wish]:
        """The items in a random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            place = self.below(last + 1)
            order[last], order[place] = order[place], order[last]
        return order


# --- forms ----------------------------------------------------------------------------------------------------------


class Forms(NamedTuple):
    """How something can be said before the noun, behind it, in a clause of its own and as a fragment."""

    before: tuple[str, ...]
    behind: tuple[str, ...]
    apart: tuple[str, ...]
    alone: tuple[str, ...]

    def with_group(self, named: bool) -> "Forms":
        """Those that say the option group's name, or those that do not."""
        return Forms(*(tuple(form for form in forms if ("{group}" in form) == named) for forms in self))


_OTHERS = Forms(data.OTHERS_BEFORE, data.OTHERS_BEHIND, data.OTHERS_APART, data.OTHERS_ALONE)
OPTION_FORMS = {
    "color": Forms(data.COLORS_BEFORE, data.COLORS_BEHIND, data.COLORS_APART, data.COLORS_ALONE),
    "size": Forms(data.SIZES_BEFORE, data.SIZES_BEHIND, data.SIZES_APART, data.SIZES_ALONE),
    "number": Forms(data.NUMBERS_BEFORE, data.NUMBERS_BEHIND, data.NUMBERS_APART, data.NUMBERS_ALONE),
    "measure": Forms(data.MEASURES_BEFORE, data.MEASURES_BEHIND, data.MEASURES_APART, data.MEASURES_ALONE),
    "code": Forms((), data.CODES_BEHIND, data.CODES_APART, data.CODES_ALONE),
    "other": _OTHERS,
    "named": _OTHERS.with_group(True),
    "nameless": _OTHERS.with_group(False),
}
ATTRIBUTE_FORMS = {
    "quality": Forms(("{list}",), data.QUALITIES_BEHIND, data.QUALITIES_APART, ("{list}",)),
    "part": Forms((), data.PARTS_BEHIND, data.PARTS_APART, ("with {list}", "{list}")),
    "purpose": Forms((), data.PURPOSES_BEHIND, data.PURPOSES_APART, ("for {list}",)),
}

_SEGMENT = re.compile(r"\[(?P<price>[^\]]*)\]|<(?P<left>[^>]*)>|(?P<always>[^\[<]+)")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of `recrl.webshop.wording_frames`, taken apart.

    Attributes:
        segments: when each is said (price, left, always), and its text; number: one or many; left_as: more, first, or
            nothing if everything has to be said around the noun; price_as: price or budget; capitals: whether sentences
            begin with one.
    """

    segments: tuple[tuple[str, str], ...]
    number: str
    left_as: str
    price_as: str
    capitals: bool

    @classmethod
    def read(cls, text: str) -> "Frame":
        return cls(
            segments=tuple(
                (found.lastgroup or "", found.group(found.lastgroup or 0)) for found in _SEGMENT.finditer(text)
            ),
            number="one" if "{one}" in text else "many",
            left_as=next((name for name in ("more", "first") if f"{{{name}}}" in text), ""),
            price_as="budget" if "{budget}" in text else "price",
            capitals=text[0].isupper(),
        )


FRAMES = tuple(Frame.read(text) for text in data.FRAMES)


# --- saying it ------------------------------------------------------------------------------------------------------


def reword(
    template: str,
    *,
    attributes: tuple[str, ...],
    query: str,
    options: Mapping[str, str],
    offered: Mapping[str, Sequence[str]],
    price_upper: float,
    key: str,
) -> Said:
    """A goal in free words.

    Args:
        template: the target's instruction without options and price.
        query: see `recrl.webshop.wording_wishes.read_template`.
        attributes: wanted ones; options: group -> wanted value; offered: group -> the values on offer.
        price_upper: the bound in dollars.
        key: what all draws follow from.
    """
    draws = Draws(key)
    place = draws.below(len(FRAMES))
    frame = FRAMES[place]
    kind, wishes = read_template(template, attributes, query)
    asked = [_option(group, value, offered.get(group, ()), draws) for group, value in options.items() if value.strip()]
    before, behind, left = _placed(draws.shuffled([*wishes, *asked]), frame, draws)
    is_many = frame.number == "many" or kind.one is None or kind.is_pair
    slots = data.OF_MANY if is_many else data.OF_ONE
    said = {
        frame.number: _noun_phrase(kind, before, frame, draws),
        "after": _behind(behind, slots, draws),
        "price": "",
        "budget": "",
        "more": "",
        "first": "",
    }
    if left:
        said[frame.left_as] = _apart(left, slots, draws) if frame.left_as == "more" else _alone(left, draws)
    if price_upper != NO_BOUND:
        forms = data.BUDGETS if frame.price_as == "budget" else data.PRICES
        said[frame.price_as] = draws.one_of(forms).format(money=_money(price_upper, draws))
    texts = [
        _finished(frame, {"always", *(["left"] if left else []), *(["price"] if with_price else [])}, said)
        for with_price in (price_upper != NO_BOUND, False)
    ]
    return Said(texts[0], texts[1], place)


def _option(group: str, value: str, offered: Sequence[str], draws: Draws) -> Wish:
    """An option as a wish, its value sometimes without a code, or its number in words."""
    wish = option_wish(group, value)
    if wish.role == "color" and draws.below(2):
        return wish._replace(text=without_code(value, offered))
    if wish.role == "number" and draws.below(3) == 0:
        return wish._replace(text=in_words(value))
    return wish


def _placed(wishes: Sequence[Wish], frame: Frame, draws: Draws) -> tuple[list[Wish], list[Wish], list[Wish]]:
    """Which wishes are said before the noun, behind it, and elsewhere, if the frame has a place for these."""
    before: list[Wish] = []
    behind: list[Wish] = []
    left: list[Wish] = []
    for wish in wishes:
        places = [behind, *([left, left] if frame.left_as else [])]
        is_second = wish.role != "quality" and any(wish.role == earlier.role for earlier in before)
        if _forms(wish).before and len(before) < MOST_BEFORE_NOUN and not is_second:
            places += [before, before]
        places[draws.below(len(places))].append(wish)
    return before, behind, left


def _forms(wish: Wish) -> Forms:
    if wish.role == "other" and not wish.group:
        return OPTION_FORMS["nameless"]
    return OPTION_FORMS.get(wish.role) or ATTRIBUTE_FORMS[wish.role]


def _noun_phrase(kind: Kind, before: Sequence[Wish], frame: Frame, draws: Draws) -> str:
    """The kind behind its qualities and options, with an article where there is one."""
    ordered = sorted(before, key=lambda wish: wish.role == "color")  # "machine washable navy shirts"
    words = [_form(wish, draws.one_of(_forms(wish).before), draws, hyphened=True) for wish in ordered]
    if frame.number == "many" or kind.one is None:
        return " ".join([*([] if frame.number == "many" else ["some"]), *words, kind.many])
    phrase = " ".join([*words, kind.one])
    return f"a pair of {phrase}" if kind.is_pair else f"{article(phrase)} {phrase}"


def article(phrase: str) -> str:
    """ "a" or "an", by the sound of the first word."""
    if re.match(r"(?:usb|uni|use|uv|eu|one\b|ul)", phrase):
        return "a"
    return "an" if re.match(r"[aeiou]|8|11\b|18\b|x-|xx|m\b|l\b|s\b", phrase) else "a"


def _form(wish: Wish, form: str, draws: Draws, *, hyphened: bool = False) -> str:
    """A single wish in one of its forms."""
    if "{list}" in form:
        return form.format(list=_attribute(wish, draws, hyphened=hyphened))
    return form.format(value=wish.text, group=wish.group)


def _attribute(wish: Wish, draws: Draws, *, hyphened: bool = False) -> str:
    """An attribute's words: as they are, with a hyphen before a noun, with the small words that the template left out,
    or, for a thing that can be counted, with an article or in the plural.
    """
    text = wish.text
    words = text.split()
    if text in data.INSERTED and draws.below(2):
        return data.INSERTED[text]
    if len(words) != 2:
        return text
    if words[0] in ("easy", "ready") and words[1] in data.EASY_TO and draws.below(2):
        return f"{words[0]} to {words[1]}"
    if hyphened and wish.role == "quality" and draws.below(3) == 0:
        return "-".join(words)
    if wish.role == "part" and words[1] in data.COUNTABLE:
        return (text, f"{article(text)} {text}", f"{words[0]} {plural(words[1])}")[draws.below(3)]
    return text


def _by_role(wishes: Sequence[Wish]) -> dict[str, list[Wish]]:
    """Attributes of one role together, options one by one, in the order of the first of each."""
    found: dict[str, list[Wish]] = {}
    for number, wish in enumerate(wishes):
        found.setdefault(wish.role if wish.role in ATTRIBUTE_FORMS else f"option {number}", []).append(wish)
    return found


def _clauses(wishes: Sequence[Wish], where: str, slots: Mapping[str, str], draws: Draws) -> list[str]:
    """Each group of wishes in a form for this place."""
    clauses = []
    for group in _by_role(wishes).values():
        form = draws.one_of(getattr(_forms(group[0]), where))
        if "{list}" in form:
            said = _listed([_attribute(wish, draws) for wish in group], draws)
            clauses.append(form.format(list=said, **slots))
        else:
            clauses.append(form.format(value=group[0].text, group=group[0].group, **slots))
    return clauses


def _listed(items: Sequence[str], draws: Draws) -> str:
    comma, last = data.LISTS[draws.below(len(data.LISTS))]
    return items[0] if len(items) == 1 else comma.join(items[:-1]) + last + items[-1]


def _behind(wishes: Sequence[Wish], slots: Mapping[str, str], draws: Draws) -> str:
    """What follows the noun: phrases first, then what only a comma joins to it."""
    clauses = _clauses(wishes, "behind", slots, draws)
    return "".join(sorted(clauses, key=lambda clause: clause.startswith(",")))


def _apart(wishes: Sequence[Wish], slots: Mapping[str, str], draws: Draws) -> str:
    return ". ".join(_clauses(wishes, "apart", slots, draws))


def _alone(wishes: Sequence[Wish], draws: Draws) -> str:
    return ", ".join(_clauses(wishes, "alone", {}, draws))


def _money(amount: float, draws: Draws) -> str:
    """An amount of dollars as people write it; whole ones below a thousand sometimes in words."""
    if amount != int(amount):
        return data.MONEY_WITH_CENTS.format(number=amount)
    way = draws.below(len(data.MONEY) + 2)
    if way < len(data.MONEY):
        return data.MONEY[way].format(number=int(amount))
    if way == len(data.MONEY) or amount >= 1000:
        return data.MONEY_WITH_CENTS.format(number=amount)
    return draws.one_of(data.MONEY_IN_WORDS).format(number=spelled.spell(int(amount)))


_SENTENCE_START = re.compile(r"(?:^|(?<=[.?!] ))[a-z]")
_I = re.compile(r"\bi\b(?=[ '])")


def _finished(frame: Frame, kept: set[str], said: Mapping[str, str]) -> str:
    """The frame's segments of these kinds, filled."""
    text = "".join(text.format_map(said) for when, text in frame.segments if when in kept)
    if frame.capitals:
        text = _I.sub("I", _SENTENCE_START.sub(lambda found: found.group().upper(), text))
    return text

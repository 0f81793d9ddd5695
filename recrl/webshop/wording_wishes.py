"""What a goal wants, as pieces that can be said in any order: read from the template's text and the options' values."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from recrl.webshop import spelled
from recrl.webshop import wording_frames as data

TEMPLATES_KEPT = 4096  # read templates that are remembered


class Kind(NamedTuple):
    """What sort of product is wanted: several of them, one of them (None if that cannot be said), and whether one of
    them comes as a pair.
    """

    many: str
    one: str | None
    is_pair: bool


class Wish(NamedTuple):
    """Something that is wanted of the product.

    Attributes:
        role: quality ("machine washable"), part ("rubber sole") or purpose ("living room"), or the kind of an option:
            color, size, number, measure, code, other, or named, which is said with its group only.
        text: its words.
        group: the option group's name, empty if it has none or if its name adds nothing.
    """

    role: str
    text: str
    group: str = ""


_MARKERS = re.compile(
    r"\b(?:(?P<part>with|have|has|having|featuring|made of|comes?)|(?P<purpose>for)|(?P<quality>are|is|be|kind))\b"
)
_REPLACED_ONES = re.compile(r"\bwith (?=[^.?]* ones\b)")  # "replace my old teas with gluten free ones"
_LEAD = re.compile(
    r"^(?:please |hi,? |hello,? )*"
    r"(?:(?:can|could) you (?:please )?|i(?:'m| am|'d| would)? ?(?:like to |want to )?|do you |where can i |my \w+ )?"
    r"(?:help me find|find(?: me)?|show me|get(?: me)?|looking for|buy|needs?|wants?|sell|like|love|search for)? ?"
    r"(?:an? |some |the )?"
)
_KIND_ENDS = re.compile(r" (?:with|for|that|which|having|featuring|made|in|are|is)\b|[,.;:?!]")


@functools.lru_cache(maxsize=TEMPLATES_KEPT)
def read_template(template: str, attributes: tuple[str, ...], query: str) -> tuple[Kind, tuple[Wish, ...]]:
    """The kind of product and the attributes, as a target's own instruction names them.

    Args:
        template: the instruction without options and price; query: the search term that the product was listed under,
            which is the kind if the instruction holds it.
    """
    text = _REPLACED_ONES.sub("that are ", " ".join(template.lower().split()))
    place = _place(query, text) if query else -1
    kind = query if place >= 0 else _read_kind(text, attributes) or query or "product"
    if place < 0:
        place = max(0, text.find(kind))
    else:
        text = text[:place] + "\0" * len(kind) + text[place + len(kind) :]
    wishes = []
    for attribute in attributes:
        found = _place(attribute, text)
        if found >= 0 or not _place(attribute, kind) >= 0:
            wishes.append(Wish(_role(text, found, place), attribute))
    return inflected(kind), tuple(wishes)


def _place(words: str, text: str) -> int:
    """Where the words stand in a lower-cased text; -1 if they do not."""
    found = re.search(rf"(?<!\w){re.escape(words.lower())}(?!\w)", text)
    return found.start() if found else -1


def _role(text: str, place: int, kind: int) -> str:
    """What an attribute says of the product, by the last marker before it; one before the noun is a quality."""
    if place <= kind:
        return "quality"
    role = "quality"
    for marker in _MARKERS.finditer(text, kind, place):
        role = marker.lastgroup or role
    return role


def _read_kind(text: str, attributes: tuple[str, ...]) -> str:
    """The noun phrase of an instruction that does not hold the query: its first words but for the attributes."""
    rest = text[_LEAD.match(text).end() :]  # type: ignore[union-attr]  # it matches nothing, too
    for attribute in sorted(attributes, key=len, reverse=True):
        rest = re.sub(rf"(?<!\w){re.escape(attribute.lower())}(?!\w),?(?: and\b)?", " ", rest)
    rest = re.sub(r"^[\s,]+", "", rest)
    end = _KIND_ENDS.search(rest)
    return " ".join((rest[: end.start()] if end else rest).split())


@functools.lru_cache(maxsize=TEMPLATES_KEPT)
def inflected(kind: str) -> Kind:
    """A kind in the plural, as queries name it, with its singular."""
    words = kind.split()
    last = words[-1] if words else ""
    if last in data.PAIRS and not re.search(r"[,&]| and ", kind):
        return Kind(kind, kind, True)
    if re.search(r"[,&]| and ", kind) or last in data.NO_SINGULAR:
        return Kind(kind, None, False)
    one = singular(last)
    return Kind(kind, None if one == last else " ".join([*words[:-1], one]), False)


def singular(noun: str) -> str:
    """The singular of a plural noun; anything else as it is."""
    for ending, instead in (("ies", "y"), ("lves", "lf"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if noun.endswith(ending) and len(noun) > len(ending) + 1 and noun != "movies":
            return noun[: -len(ending)] + instead
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and len(noun) > 3:
        return noun[:-1]
    return noun


def plural(noun: str) -> str:
    """The plural of a countable noun."""
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LETTER_SIZE = re.compile(r"\b(?:small|medium|large|x+l|x+s|wide|narrow|regular|plus|big|tall)\b")
# In front of a colour's name: "a1-", "a01#", "157- ", "#1 ", "001 ", "*".
_CODE = re.compile(r"(?:[a-z]{0,2}[0-9]{1,4}\s*[-#_:]\s*|#[0-9]{1,3}\s+|0[0-9]{1,3}\s+|[*#]+\s*)(?=[a-z]{3})")


def without_code(value: str, offered: Sequence[str]) -> str:
    """A colour's name without the seller's code before it, if it still cannot be taken for another one on offer."""
    code = _CODE.match(value)
    if code is None:
        return value
    name = value[code.end() :]
    words = set(name.split())
    others = [other for other in offered if other != value]
    return value if any(words <= set(re.split(r"[\s\-#_:*]+", other)) for other in others) else name


@functools.lru_cache(maxsize=1 << 14)
def option_wish(group: str, value: str) -> Wish:
    """An option's value with what kind of option it is."""
    name = re.sub(r" ?\bname\b", "", group).strip()
    words = set(name.split())
    says_little = len(value) <= 2 or _NUMBER.fullmatch(value) is not None  # without the group's name
    if words & {"color", "colour", "colors", "colours"}:
        return Wish("code", value, name) if says_little else Wish("color", value)
    if "size" in words or "sizes" in words:
        role = "number" if says_little else "size" if _LETTER_SIZE.search(value) else "measure"
        return Wish("measure" if "size" in value.split() else role, value)
    # "4 tier" says already that it is one of the "tiers".
    if {singular(word) for word in value.split()} & {singular(word) for word in words}:
        name = ""
    role = "code" if says_little else "named" if words & data.NAMES_NEEDED else "other"
    return Wish(role if name else "other", value, name)


def in_words(number: str) -> str:
    """A size such as ``7.5`` in words; anything but whole and half numbers up to 20 as it is."""
    if not _NUMBER.fullmatch(number):
        return number
    whole, _, rest = number.partition(".")
    if int(whole) > 20 or rest not in ("", "5"):
        return number
    return spelled.spell(int(whole)) + (" and a half" if rest else "")

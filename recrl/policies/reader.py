"""The reader: a rule that opens products, reads Features and Description, and buys the one that fits best.

It parses the instruction itself, in the shop's own wording and loosely in others. It never looks further than its
steps allow: before each look it makes sure that the best product known could still be bought afterwards.
"""

import re
from dataclasses import dataclass, field

from recrl.episodes.decisions import Decision
from recrl.policies.options import named_options, next_option, openable
from recrl.webshop import actions
from recrl.webshop.prices import lowest_price, price_bound

_OPTION_CLAUSE = re.compile(r" with (?:(?! with )[\w' -])+: .*$", re.IGNORECASE | re.DOTALL)
_PRICE_CLAUSE = re.compile(r",? ?(?:and )?price lower than [0-9.]+ dollars.*$", re.IGNORECASE)
_SEPARATORS = re.compile(r",|;|\.(?!\d)|\b(?:with|and|for|that|which|in|is|are|has|have|of|made|from|it|also|but)\b")
_FILLER = frozenset(
    """
    a an the i me my we am be to find looking look want need would like please some any something show get buy can you
    could help im i'm id i'd must should having ones one good great nice pair set new
    """.split()
)
PRICE_PENALTY = 1.0  # a price above the bound costs as much as a missing attribute


def wanted_phrases(instruction: str) -> list[str]:
    """The instruction's phrases, without price and option clauses and without filler words, lower-cased."""
    text = _OPTION_CLAUSE.sub("", _PRICE_CLAUSE.sub("", instruction)).lower()
    phrases = []
    for piece in _SEPARATORS.split(text):
        words = [word for word in piece.split() if word not in _FILLER]
        if words:
            phrases.append(" ".join(words))
    return list(dict.fromkeys(phrases))


def phrase_score(phrase: str, text: str) -> float:
    """1 if the phrase stands in the text, else half the share of its words that do. Both lower-cased."""
    if phrase in text:
        return 1.0
    words = phrase.split()
    return 0.5 * sum(word in text for word in words) / len(words)


@dataclass
class Note:
    """What the reader knows of a product."""

    rank: int
    title: str
    price_tag: str
    options: dict[str, str] = field(default_factory=dict)  # group -> the value that the instruction names
    texts: dict[str, str] = field(default_factory=dict)  # sub page -> its text

    def score(self, phrases: list[str], bound: float | None) -> float:
        """How well the product fits; ties are broken by rank elsewhere."""
        text = " ".join([self.title, *self.texts.values()]).lower()
        price = lowest_price(self.price_tag)
        over = bound is not None and price is not None and price > bound
        return sum(phrase_score(phrase, text) for phrase in phrases) + len(self.options) - PRICE_PENALTY * over


@dataclass(frozen=True)
class Reader:
    """Opens at most ``most_products`` products of the first page, in order of rank."""

    most_products: int

    def choose(self, decision: Decision) -> str:
        """The next action's text."""
        page = decision.page
        if page.kind == "search":
            return decision.valid_actions[0]
        notes: dict[str, Note] = decision.memory.setdefault("notes", {})
        if page.kind == "results":
            return self._on_results(decision, notes)
        opened = decision.memory["opened"]
        note = notes[opened]
        if page.kind == "sub":
            note.texts[decision.memory["sub_page"]] = page.text
            return actions.PREVIOUS
        return self._on_item(decision, notes, opened)

    def _on_results(self, decision: Decision, notes: dict[str, Note]) -> str:
        candidates = [decision.page.listing[place] for place in openable(decision)[: self.most_products]]
        if not candidates:
            return actions.NEXT_PAGE
        decision.memory["num_candidates"] = len(candidates)
        unread = [place for place, listed in enumerate(candidates) if listed.asin not in notes]
        # Opening one more costs a click, two to return to this page from one sub page, and the purchase after it.
        if unread and (not notes or decision.steps_left >= 4 + self._cost(notes, decision)):
            listed = candidates[unread[0]]
            notes[listed.asin] = Note(unread[0], listed.title, listed.price_tag)
            return self._open(decision, listed.asin)
        return self._open(decision, self._best(notes, decision))

    def _on_item(self, decision: Decision, notes: dict[str, Note], opened: str) -> str:
        note = notes[opened]
        note.options = named_options(decision.instruction, decision.page)
        if not decision.memory.get("buying"):
            unread = [name for name in ("features", "description") if name not in note.texts]
            others = len(notes) < decision.memory["num_candidates"]
            # A sub page costs two actions; then back to the results (1), the best product again (1), its purchase.
            if unread and decision.steps_left >= 2 + 1 + self._cost(notes, decision):
                decision.memory["sub_page"] = unread[0]
                return actions.click(unread[0])
            if others and decision.steps_left >= 1 + 4 + self._cost(notes, decision):
                return actions.PREVIOUS
            if self._best(notes, decision) != opened and decision.steps_left >= 1 + self._cost(notes, decision):
                decision.memory["buying"] = True
                return actions.PREVIOUS
        if decision.steps_left == 1:  # a purchase without all options is worth more than none
            return actions.BUY_NOW
        return next_option(decision, note.options) or actions.BUY_NOW

    def _open(self, decision: Decision, asin: str) -> str:
        decision.memory["opened"] = asin
        return actions.click(asin.lower())

    def _best(self, notes: dict[str, Note], decision: Decision) -> str:
        phrases, bound = wanted_phrases(decision.instruction), price_bound(decision.instruction)
        return max(notes, key=lambda asin: (notes[asin].score(phrases, bound), -notes[asin].rank))

    def _cost(self, notes: dict[str, Note], decision: Decision) -> int:
        """Actions to buy the dearest-to-buy known product from the results page: open it, its options, buy."""
        return 2 + max(len(note.options) for note in notes.values())

"""A decision as a user message for a language model, within a budget of tokens.

The message holds the task, the instruction, and the page with every valid action written exactly as it is to be
answered; these are never cut. What room is left goes, in this order, to the texts of the page, to the latest actions,
and to the notes on products that were opened, the one at hand first. What did not fit is counted.

Products are listed behind the action that opens them, and options as the actions that choose them, so that no action
stands there twice: a page costs a third of the tokens of the ``text_rich`` observation with a list of actions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct
from recrl.errors import ConfigError, PolicyError
from recrl.webshop import actions
from recrl.webshop.pages import Page

TASK = (
    "You shop for a customer. Answer with the next action only, written exactly as it stands below, such as "
    "click[buy now]."
)
CUTS = (None, 48, 24, 16, 12, 8, 4, 0)  # words of each text of the page, from all to none
NOTED_WORDS = 60  # of a product's features, and of its description
DONE_WORDS = 8  # of an earlier action
Message = dict[str, str]
Count = Callable[[str], int]  # tokens of a text


@dataclass(frozen=True)
class PromptSettings:
    """How decisions are told.

    Attributes:
        max_prompt_tokens: of the whole prompt under the chat template.
        notes: whether earlier actions and the notes are told; False is the page alone.
    """

    max_prompt_tokens: int = field(
        default=1024, metadata={"help": "Most tokens of a prompt; the instruction and the actions are never cut."}
    )
    notes: bool = field(default=True, metadata={"help": "Tell earlier actions, and what was read of opened products."})

    def __post_init__(self) -> None:
        if self.max_prompt_tokens < 1:
            raise ConfigError(f"max_prompt_tokens={self.max_prompt_tokens}, expected 1 or more")


@dataclass(frozen=True)
class Prompt:
    """A decision as a message, and what of it did not fit: words of the page, earlier actions, notes on products."""

    text: str
    left_out: Counter[str]

    @property
    def messages(self) -> list[Message]:
        """As chat templates take it."""
        return [{"role": "user", "content": self.text}]


@dataclass(frozen=True)
class _Line:
    """A line of the page: ``head`` and ``tail`` stay, ``words`` may be cut at their end."""

    head: str = ""
    words: tuple[str, ...] = ()
    tail: str = ""

    def cut(self, most: int | None) -> str:
        kept = self.words if most is None or len(self.words) <= most else (*self.words[:most], "...")
        return " ".join(part for part in (self.head, " ".join(kept), self.tail) if part)

    def num_cut(self, most: int | None) -> int:
        return 0 if most is None else max(0, len(self.words) - most)


def write_prompt(decision: Decision, settings: PromptSettings, count: Count, whole: Count | None = None) -> Prompt:
    """The decision as a message.

    Args:
        count: tokens of a line; whole: tokens of the prompt that a text becomes, template included; default: ``count``.

    Raises:
        PolicyError: the instruction and the actions alone are longer than the budget; the message has the arithmetic.
    """
    whole = whole or count
    budget = settings.max_prompt_tokens
    while True:
        prompt = _fill(decision, settings, count, budget)
        excess = whole(prompt.text) - settings.max_prompt_tokens
        if excess <= 0:
            return prompt
        if budget <= 0:
            raise PolicyError(
                f"max_prompt_tokens={settings.max_prompt_tokens} is too small: the instruction and the "
                f"{len(decision.valid_actions)} actions of this page take "
                f"{settings.max_prompt_tokens + excess} tokens; raise it, or take a model with a longer context"
            )
        budget = max(0, budget - excess)  # the template's own tokens, and those that lines do not add up to


def _fill(decision: Decision, settings: PromptSettings, count: Count, budget: int) -> Prompt:
    """The prompt whose lines, counted one by one, keep to the budget as far as they can."""
    lines = list(page_lines(decision.page, decision.valid_actions))
    head = [TASK, f"Instruction: {decision.instruction}", f"Steps left: {decision.steps_left}"]
    fixed = sum(map(count, head))
    cut = next((most for most in CUTS if fixed + sum(count(line.cut(most)) for line in lines) <= budget), 0)
    left_out = Counter({"words of the page": sum(line.num_cut(cut) for line in lines)})
    shown = [line.cut(cut) for line in lines]
    room = budget - fixed - sum(map(count, shown))
    done: list[str] = []
    notes: list[str] = []
    if settings.notes:
        told = [_shortened(action) for action in decision.previous_actions]
        done, room = _latest(told, room, count)
        left_out["earlier actions"] += len(told) - len(done)
        noted = list(_noted(decision))
        notes, _ = _latest(noted[::-1], room, count)
        left_out["notes on products"] += len(noted) - len(notes)
        notes.reverse()
    parts = [
        *head,
        *(["Done so far: " + ", ".join(done)] if done else []),
        *(["Known of products that were opened:", *notes] if notes else []),
        *shown,
    ]
    return Prompt("\n".join(parts), +left_out)


def _latest(texts: Sequence[str], room: int, count: Count) -> tuple[list[str], int]:
    """As many of the last texts as there is room for, in order, and the room that is left."""
    kept: list[str] = []
    for text in reversed(texts):
        cost = count(f"{text}, ")
        if cost > room:
            break
        room -= cost
        kept.append(text)
    return kept[::-1], room


def _shortened(action: str) -> str:
    """An earlier action, of which the first words are enough."""
    parsed = actions.parse(action)
    words = action.split() if parsed is None else parsed.argument.split()
    if parsed is None or len(words) <= DONE_WORDS:
        return action
    return f"{parsed.verb}[{' '.join(words[:DONE_WORDS])} ...]"


def _noted(decision: Decision) -> Iterator[str]:
    """A line for each product that was opened, the one at hand first, then those seen last."""
    notes = decision.notes
    others = [product for product in reversed(notes.products) if product.times_opened and product is not notes.product]
    for product in ([notes.product] if notes.product else []) + others:
        on_screen = product is notes.product and decision.page.kind == "item"
        parts = [] if on_screen else [product.title, product.price_tag, *_options(product)]
        for name in ("features", "description"):
            text = getattr(product, name)
            if text and not (product is notes.product and notes.sub_page == name):
                parts.append(f"{name}: {_Line(words=tuple(text.split())).cut(NOTED_WORDS)}")
        if parts:
            yield f"{product.asin.lower()}: {'; '.join(parts)}"


def _options(product: NotedProduct) -> Iterator[str]:
    for group in product.options or ():
        yield f"{group.name} {' / '.join(group.values)}"


def write_page(page: Page, valid_actions: Sequence[str], *, most_words: int | None = None) -> str:
    """A page for a model that calls tools: names stand alone, as tools take them.

    Args:
        most_words: of each text; None cuts nothing.
    """
    lines = page_lines(page, valid_actions, shown=_name, between=" / ")
    return "\n".join(line.cut(most_words) for line in lines)


def _name(action: str) -> str:
    parsed = actions.parse(action)
    return action if parsed is None or parsed.verb == actions.SEARCH else parsed.argument


def page_lines(
    page: Page, valid_actions: Sequence[str], *, shown: Callable[[str], str] = str, between: str = " "
) -> Iterator[_Line]:
    """The page, in which every valid action stands once, as ``shown`` writes it."""
    left = dict.fromkeys(valid_actions)

    def take(name: str) -> str | None:
        action = actions.click(name)
        return shown(action) if left.pop(action, name) is None else None

    yield _Line(f"Page: {_heading(page)}")
    for listed in page.listing:
        opened = " (opened)" if listed.visited else ""
        action = take(listed.asin.lower())
        yield _Line(action or "", tuple(listed.title.split()), f"{listed.price_tag}{opened}")
    if page.title is not None:
        yield _Line("", tuple(page.title.split()), page.price_tag or "")
    for group in page.options:
        marked = [(take(value), " (chosen)" if value in group.clicked else "") for value in group.values]
        values = [f"{action}{mark}" for action, mark in marked if action]
        if values:
            yield _Line(f"{group.name}: {between.join(values)}" if group.name else between.join(values))
    if page.text:
        yield _Line("", tuple(page.text.split()))
    if left:
        yield _Line(f"Actions: {between.join(map(shown, left))}")


def _heading(page: Page) -> str:
    if page.kind == "results":
        return f"results, page {page.page_number}, {page.num_results} found"
    return {"item": "product", "sub": "about the product"}.get(page.kind, page.kind)

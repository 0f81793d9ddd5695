"""Shopping as a conversation with calls of tools: what a model is told first, and what it was told so far.

The environment of `recrl.training.webshop_spec` and `recrl export --tools` tell the same: the task with the
instruction, then for each call the page that it led to.
"""

from collections.abc import Callable, Sequence
from typing import Any

from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.language.prompts import write_page

TOOL_TASK = (
    "You shop for a customer with the tools of a web shop. Search, open a product, choose the options that the "
    "customer names, and buy it. Buying ends the shopping."
)
BOUGHT = "You bought it."  # what the call that buys leads to
LEFT_OUT = "(left out)"  # in the place of an older page for which there is no room
Turn = dict[str, Any]


def opening(instruction: str, steps_left: int) -> str:
    """What stands behind the task in the first message."""
    return f"\nInstruction: {instruction}\nSteps left: {steps_left}"


def user(text: str) -> Turn:
    """A message of the shop or the customer."""
    return {"role": "user", "content": text}


def tool_result(name: str, page: str) -> Turn:
    """What a call led to."""
    return {"role": "tool", "name": name, "content": page}


def tool_calls(call: dict[str, Any]) -> Turn:
    """An answer that is a call, as `recrl.language.tools.call_of` writes it."""
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}


def closing() -> list[Turn]:
    """What follows the call that buys: its result, and an answer without a call, which ends TRL's rollout."""
    return [tool_result("buy", BOUGHT), {"role": "assistant", "content": "Done."}]


def told(decision: Decision, turns: Sequence[Turn], most_words: int | None = None) -> list[Turn]:
    """The conversation up to this decision: what was told before, and the page that the last answer led to.

    Args:
        most_words: of each text of the page; None cuts nothing.
    """
    if not turns:
        return [user(TOOL_TASK + opening(decision.instruction, decision.steps_left))]
    page = write_page(decision.page, decision.valid_actions, most_words=most_words)
    calls = turns[-1].get("tool_calls")
    return [*turns, tool_result(calls[0]["function"]["name"], page) if calls else user(page)]


def within(turns: Sequence[Turn], count: Callable[[Sequence[Turn]], int], most: int) -> list[Turn]:
    """The conversation without its oldest pages, as far as the budget asks for; the first message is never cut.

    Raises:
        PolicyError: the first message, the answers and the page of the moment alone are longer.
    """
    kept = list(turns)
    older = [place for place, turn in enumerate(kept) if turn["role"] in ("tool", "user")][1:-1]
    while (tokens := count(kept)) > most:
        if not older:
            raise PolicyError(
                f"max_prompt_tokens={most} is too small: the instruction, {len(kept) // 2} answers and the page of the "
                f"moment take {tokens} tokens; raise it"
            )
        place = older.pop(0)
        kept[place] = kept[place] | {"content": LEFT_OUT}
    return kept

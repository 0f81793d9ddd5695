"""Answers in a language model's place, so that the calls and rewards of TRL's rollouts are known."""

import json
from collections.abc import Callable
from typing import Any

from recrl.language.tools import call_of


def given_answers(actions: list[str]) -> Callable[..., tuple[list[list[int]], None]]:
    """What stands for `trl.GRPOTrainer._generate_single_turn`: every other episode does ``actions``."""
    return lambda trainer, prompt_ids, *_, **__: (as_demonstrated(trainer, prompt_ids, actions), None)


def as_demonstrated(trainer: Any, prompt_ids: list[list[int]], actions: list[str]) -> list[list[int]]:
    """Answers in the model's place: every other episode follows a demonstration, the rest give up."""
    tokenizer, answers = trainer.processing_class, []
    for place, prompt in enumerate(prompt_ids):
        done = tokenizer.decode(prompt).count("<tool_response>")
        answers.append(answer_of(tokenizer, actions, done, follows=bool(done or place % 2)))
    return answers


def answer_of(tokenizer: Any, actions: list[str], done: int, *, follows: bool) -> list[int]:
    """The token ids of an answer after ``done`` calls, to a conversation that follows a demonstration or gives up."""
    text = "I give up."
    if follows:
        call = call_of(actions[done]) if done < len(actions) else None
        text = "Bought." if call is None else f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
    return tokenizer(f"{text}<|im_end|>", add_special_tokens=False)["input_ids"]

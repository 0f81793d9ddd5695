"""A chat template in token ids: what a prompt becomes, and what an answer becomes behind it.

An answer's tokens are those that the template puts behind its own generation prompt, up to and including the first
special token after the text, which ends the turn. So answers are disjoint events: none is the beginning of another, and
the probabilities of all texts sum to at most 1.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from recrl.errors import CheckpointError, ConfigError

PROBE = "click[buy now]"


class Chat:
    """A tokenizer's chat template.

    Args:
        tokenizer: of `transformers`, with a chat template.
        tools: schemas that the template shows in every prompt, see `recrl.language.tools`.

    Attributes:
        stop_ids: tokens that end an answer.

    Raises:
        CheckpointError: the tokenizer has no chat template, one that does not write an answer behind its own prompt,
            or, with tools, one that knows none.
    """

    def __init__(
        self, tokenizer: Any, *, name: str = "the model", tools: Sequence[dict[str, Any]] | None = None
    ) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise CheckpointError(
                f"{name} has no chat template; take an instruct or chat model, or save a template beside its tokenizer "
                "(chat_template.jinja)"
            )
        self.tokenizer, self.tools = tokenizer, list(tools) if tools else None
        self._check_tools(name)
        ask = [{"role": "user", "content": "?"}]
        prompt = self._render(ask, add_generation_prompt=True)
        whole = self._render([*ask, {"role": "assistant", "content": PROBE}])
        before, found, after = whole.removeprefix(prompt).partition(PROBE)
        if not whole.startswith(prompt) or not found:
            raise CheckpointError(
                f"the chat template of {name} does not write an answer behind its own generation prompt; expected "
                f"{prompt[-40:]!r} before the answer, got {whole[-80:]!r}"
            )
        ends = [token for token in self._special_tokens() if token in after]
        end = min(ends, key=after.index, default="")
        self._before, self._after = before, after[: after.index(end) + len(end)] if end else after
        stops = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(end) if end else None}
        self.stop_ids = sorted(stop for stop in stops if stop is not None)
        self._answer = functools.lru_cache(maxsize=1 << 14)(self._answer_ids)

    def _check_tools(self, name: str) -> None:
        """Raises CheckpointError for a template that leaves tools, or calls of them, out, or cannot write them."""
        if self.tools is None:
            return
        tool = self.tools[0]["function"]["name"]
        call = {"type": "function", "function": {"name": tool, "arguments": {}}}
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
        other = (
            "take a model whose template does, or train it with another template first: --chat_template names a file "
            "or one of TRL's, such as qwen2_5"
        )
        try:
            offered, called = (self._render(turns[:number]).count(tool) for number in (1, 2))
        except TemplateError as error:
            raise CheckpointError(
                f"the chat template of {name} does not write calls as here ({error}); {other}"
            ) from error
        if not offered or called == offered:
            raise CheckpointError(f"the chat template of {name} knows no tools; {other}")

    def _special_tokens(self) -> list[str]:
        added = [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return [*self.tokenizer.all_special_tokens, *added]

    def _render(self, messages: Sequence[dict[str, Any]], **settings: Any) -> str:
        return self.tokenizer.apply_chat_template(list(messages), tools=self.tools, tokenize=False, **settings)

    def prompt_ids(self, messages: Sequence[dict[str, Any]], *, answer: bool = True) -> list[int]:
        """The tokens up to where the answer begins; without ``answer`` those of a conversation that has its answers."""
        text = self._render(messages, add_generation_prompt=answer)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer, its end included."""
        return self._answer(text)

    def _answer_ids(self, text: str) -> tuple[int, ...]:
        ids = self.tokenizer(f"{self._before}{text}{self._after}", add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def count(self, text: str) -> int:
        """The tokens of a line."""
        return len(self.tokenizer(f"{text}\n", add_special_tokens=False)["input_ids"])

    def count_prompt(self, text: str) -> int:
        """The tokens of a prompt that is this user message."""
        return len(self.prompt_ids([{"role": "user", "content": text}]))


def with_template(tokenizer: Any, template: str | None) -> None:
    """Gives a tokenizer another chat template, if one is named: a file, or one of TRL's.

    Raises:
        ConfigError: there is none of that name.
    """
    if template is None:
        return
    import trl

    known = Path(trl.__file__).parent / "chat_templates"
    found = next((path for path in (Path(template), known / f"{template}.jinja") if path.is_file()), None)
    if found is None:
        names = sorted(path.stem for path in known.glob("*.jinja") if not path.stem.endswith("_training"))
        raise ConfigError(f"chat_template={template!r} is no file, and none of TRL's templates: {', '.join(names)}")
    tokenizer.chat_template = found.read_text(encoding="utf-8")

"""A causal language model as a policy.

It reads a decision as a message (`recrl.language.prompts`) under its chat template. ``answers`` says how it acts:

- ``score``: the log-probability of every valid action's text as an answer is exact, and the policy is their softmax
  over the page. So log-probability, entropy and preference pairs mean what they mean for a scorer. Between two actions
  of a page the normaliser cancels: their difference is that of TRL's sums over tokens.
- ``text``: it writes its answer freely. What the environment does not accept changes nothing and counts as a step; a
  search in its own words is accepted. Nothing is corrected.
- ``tools``: the same with calls of named tools (`recrl.language.tools`), in a conversation that goes on from page to
  page, as recipes/grpo.py plays it.
"""

import functools
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import TrainedOn
from recrl.errors import PolicyError
from recrl.language.chat import Chat
from recrl.language.choices import ANSWERS, ENGINES
from recrl.language.conversation import Turn, told, tool_calls, within
from recrl.language.engines import Engine, TransformersEngine, load_vllm
from recrl.language.models import Record, load_language_model, read_record
from recrl.language.prompts import Prompt, PromptSettings, write_prompt
from recrl.language.tools import action_of, read_call, tool_schemas
from recrl.language.writing import MAX_NEW_TOKENS, Written
from recrl.policies.base import Choice, sample, tempered

TURNS = "turns"  # of the conversation so far, in a decision's memory


class LanguagePolicy:
    """A language model that chooses among the valid actions, or writes its action.

    Args:
        model, tokenizer: as `recrl.language.models.load_language_model` returns them; in the model's place an engine of
            `recrl.language.engines` too.
        name: what reports and datasets call the policy.
        answers: one of `recrl.language.choices.ANSWERS`; None is as the model was trained.
        prompt: how decisions are told; None is as the model was trained.
        record: what is known of its training.
        temperature: of sampling; log-probabilities that are returned are those of the tempered distribution. Of written
            answers it tempers each token.
        loop_guard: of scoring, as of `recrl.policies.scorer.ScorerPolicy`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "language model",
        answers: str | None = None,
        prompt: PromptSettings | None = None,
        record: Record | None = None,
        temperature: float = 1.0,
        loop_guard: bool = False,
    ) -> None:
        if not temperature > 0:
            raise PolicyError(f"temperature={temperature}, expected a positive number; for the best action use greedy")
        self.record = record or Record()
        answers = self.record.answers if answers is None else answers
        if answers not in ANSWERS:
            raise PolicyError(f"answers={answers!r}, expected one of {', '.join(ANSWERS)}")
        if loop_guard and answers != "score":
            raise PolicyError(f"loop_guard is for answers='score'; with {answers!r} the model writes what it likes")
        self.engine: Engine = (
            model if isinstance(model, Engine) else TransformersEngine(model, tokenizer.pad_token_id or 0)
        )
        self.name, self.answers = name, answers
        self.temperature, self.loop_guard = temperature, loop_guard
        self.prompt = prompt or self.record.prompt
        self.chat = Chat(tokenizer, name=repr(name), tools=tool_schemas() if answers == "tools" else None)
        self.count = functools.lru_cache(maxsize=1 << 16)(self.chat.count)
        self._check_context()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        engine: str = "transformers",
        device: Any = None,
        dtype: Any = "auto",
        max_prompt_tokens: int | None = None,
        **settings: Any,
    ) -> "LanguagePolicy":
        """Loads a model or adapter by folder or Hub id; other arguments as of the class.

        Args:
            engine: one of `recrl.language.choices.ENGINES`; vLLM chooses its device itself.

        Raises:
            CheckpointError: see `recrl.language.models.load_language_model`, or it has no chat template.
            PolicyError: the engine is unknown, not installed, or takes no device.
        """
        if engine not in ENGINES:
            raise PolicyError(f"engine={engine!r}, expected one of {', '.join(ENGINES)}")
        if engine == "vllm" and device is not None:
            raise PolicyError(
                f"device={str(device)!r} is for transformers; vLLM takes the GPUs that CUDA_VISIBLE_DEVICES names"
            )
        model, tokenizer = (
            load_vllm(source, dtype=dtype)
            if engine == "vllm"
            else load_language_model(source, device=device, dtype=dtype)
        )
        settings.setdefault("name", Path(source).name if Path(source).exists() else str(source))
        settings.setdefault("record", read_record(source))
        recorded: PromptSettings = settings["record"].prompt
        if max_prompt_tokens is not None:
            settings.setdefault("prompt", PromptSettings(max_prompt_tokens, recorded.notes))
        return cls(model, tokenizer, **settings)

    def _check_context(self) -> None:
        context = self.engine.context
        needed = self.prompt.max_prompt_tokens + MAX_NEW_TOKENS
        if context is not None and needed > context:
            raise PolicyError(
                f"the context of {self.name!r} holds {context} tokens, but max_prompt_tokens="
                f"{self.prompt.max_prompt_tokens} and {MAX_NEW_TOKENS} for the answer make {needed}; lower "
                f"--max_prompt_tokens to {max(1, context - MAX_NEW_TOKENS)} or less"
            )

    @property
    def catalog_sha256(self) -> str | None:
        """The catalogue that it was trained on."""
        return self.record.catalog_sha256

    @property
    def trained_on(self) -> TrainedOn:
        """The goals that it was trained on; empty for a model that recrl has not trained."""
        return self.record.trained_on

    def prompt_of(self, decision: Decision) -> Prompt:
        """How a decision is told to this model.

        Raises:
            PolicyError: its instruction and actions are longer than the budget.
        """
        return write_prompt(decision, self.prompt, self.count, self.chat.count_prompt)

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """Picks or writes an action for each decision; ``rngs[i]`` is used for decision i only."""
        if self.answers != "score":
            return self._write(decisions, rngs, greedy)
        choices = []
        for decision, log_probs, rng in zip(decisions, self.log_probs(decisions), rngs, strict=True):
            seen = self._seen(decision)
            taken = decision.memory.get(seen, ()) if self.loop_guard else ()
            log_probs = tempered(log_probs.astype(np.float64), self.temperature, without=taken)
            index = int(log_probs.argmax()) if greedy else sample(log_probs, rng)
            if self.loop_guard:
                decision.memory.setdefault(seen, set()).add(index)
            probabilities = tuple(np.exp(log_probs).tolist())
            choices.append(Choice(index, min(0.0, float(log_probs[index])), probabilities=probabilities))
        return choices

    @staticmethod
    def _seen(decision: Decision) -> Hashable:
        return decision.observation, decision.notes.known

    def log_probs(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
        """For each decision (actions,) float32: the log-probabilities over its valid actions, untempered."""
        found = (values.astype(np.float64) for values in self.text_log_probs(decisions))
        return [(values - np.logaddexp.reduce(values)).astype(np.float32) for values in found]

    def text_log_probs(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
        """For each decision (actions,) float32: the log-probability that the model writes the action's text and ends.

        The sum of their probabilities is the share of answers that are valid actions. A page with a single action is
        not read: its action has log-probability 0.
        """
        found = [np.zeros(1, dtype=np.float32) for _ in decisions]
        asked = [place for place, decision in enumerate(decisions) if len(decision.valid_actions) > 1]
        prompts = [self.chat.prompt_ids(self.prompt_of(decisions[place]).messages) for place in asked]
        answers = [[self.chat.answer_ids(text) for text in decisions[place].valid_actions] for place in asked]
        for place, values in zip(asked, self.engine.log_probs(prompts, answers), strict=True):
            found[place] = values
        return found

    def _write(self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], greedy: bool) -> list[Choice]:
        if self.answers == "tools":
            turns = [told(decision, decision.memory.get(TURNS, []), self.record.most_words) for decision in decisions]
            turns = [within(one, self._tokens, self.prompt.max_prompt_tokens) for one in turns]
        else:
            turns = [list(self.prompt_of(decision).messages) for decision in decisions]
        prompts = [self.chat.prompt_ids(one) for one in turns]
        written = self.engine.write(
            prompts,
            rngs,
            stop_ids=self.chat.stop_ids,
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=None if greedy else self.temperature,
        )
        texts = [self.chat.tokenizer.decode(one.ids, skip_special_tokens=True).strip() for one in written]
        calls = [read_call(text) if self.answers == "tools" else None for text in texts]
        for decision, told_so_far, text, call in zip(decisions, turns, texts, calls, strict=True):
            answer = {"role": "assistant", "content": text} if call is None else tool_calls(call)
            decision.memory[TURNS] = [*told_so_far, answer]
        actions = [(call and action_of(**call)) or text for text, call in zip(texts, calls, strict=True)]
        return [_choice(*one) for one in zip(decisions, actions, written, strict=True)]

    def _tokens(self, turns: Sequence[Turn]) -> int:
        return len(self.chat.prompt_ids(turns))


def _choice(decision: Decision, action: str, written: Written) -> Choice:
    """The valid action that was written, or the text as it stands."""
    for meant in (action, action.lower()):  # the environment reads names in any case of letters
        if meant in decision.valid_actions:
            return Choice(decision.valid_actions.index(meant), written.log_prob)
    return Choice(-1, written.log_prob, text=action)

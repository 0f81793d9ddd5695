"""Episodes and preference pairs as rows of messages, as TRL's SFTTrainer and DPOTrainer take them.

A row is a decision (the prompt that `recrl.language.prompts` writes, and the action as the answer) or a whole episode
as a conversation: the first prompt, then actions and pages in turn. With tools the actions are calls
(`recrl.language.tools`) and the pages their results.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recrl.episodes.data import Episode
from recrl.episodes.decisions import Decision
from recrl.errors import DatasetError, PolicyError
from recrl.language.chat import Chat
from recrl.language.conversation import TOOL_TASK, Turn, closing, opening, told, tool_calls, user
from recrl.language.prompts import PromptSettings, write_prompt
from recrl.language.tools import call_of, tool_schemas
from recrl.preferences.data import Move, Preference

Row = dict[str, Any]


@dataclass
class Rows:
    """What was made.

    Attributes:
        rows: as TRL takes them.
        tokens: of each row, under the chat template; of a pair its longer side.
        left_out: reason -> rows that were not made; cut: what prompts left out -> rows whose prompts did.
    """

    rows: list[Row] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Writer:
    """Writes rows.

    Attributes:
        chat: the template that tokens are counted under; made with `tool_schemas` if ``tools``.
        prompt: how a decision is told.
        max_tokens: longest row; longer ones are left out and counted; limit: what that bound is called.
        most_words: with tools, of each text of a page; None cuts nothing.
    """

    chat: Chat
    prompt: PromptSettings
    max_tokens: int
    tools: bool = False
    most_words: int | None = None
    limit: str = "max_tokens"

    def of_episodes(self, episodes: Iterable[Episode], *, form: str, unit: str) -> Rows:
        """Rows of what was done; pages with a single action, and written actions that were refused, teach nothing and
        are no rows of their own.
        """
        made = Rows()
        for episode in episodes:
            steps = list(zip(episode.decisions(), episode.steps, strict=True))
            if unit == "episode":
                moves = [(decision, step.action) for decision, step in steps if step.accepted]
                end = closing() if self.tools and episode.terminated else []
                self._add(made, moves, form, unit, end)
                continue
            for decision, step in steps:
                if len(decision.valid_actions) > 1 and step.accepted:
                    self._add(made, [(decision, step.action)], form, unit)
        return made

    def of_pairs(self, pairs: Iterable[Preference], *, unit: str) -> Rows:
        """Rows of pairs. A side of several moves is a conversation, which a decision's row cannot hold."""
        made = Rows()
        for pair in pairs:
            sides = [[_move(move) for move in side] for side in (pair.chosen_moves, pair.rejected_moves)]
            if unit == "decision" and max(map(len, sides)) > 1:
                made.left_out["pairs of episodes (export them with --unit episode)"] += 1
                continue
            try:
                (prompt, *chosen), (other, *rejected) = (self._turns(side, made) for side in sides)
            except PolicyError:
                made.left_out["prompts longer than max_prompt_tokens"] += 1
                continue
            if prompt != other:
                made.left_out["pairs whose sides begin on different pages"] += 1
                continue
            row = {"prompt": [prompt], "chosen": chosen, "rejected": rejected}
            self._keep(made, row, max(self._count([prompt, *side]) for side in (chosen, rejected)), unit)
        return made

    def _add(
        self, made: Rows, moves: Sequence[tuple[Decision, str]], form: str, unit: str, end: Sequence[Turn] = ()
    ) -> None:
        try:
            turns = [*self._turns(moves, made), *end]
        except PolicyError:
            made.left_out["prompts longer than max_prompt_tokens"] += 1
            return
        self._keep(made, _plain(turns, form), self._count(turns), unit)

    def _keep(self, made: Rows, row: Row, tokens: int, unit: str) -> None:
        if tokens > self.max_tokens:
            made.left_out[f"{unit}s longer than {self.limit}"] += 1
            return
        if self.tools:
            row["tools"] = json.dumps(tool_schemas())
        made.rows.append(row)
        made.tokens.append(tokens)

    def _turns(self, moves: Sequence[tuple[Decision, str]], made: Rows) -> list[Turn]:
        """The first prompt, then actions and pages in turn."""
        turns: list[Turn] = []
        for place, (decision, action) in enumerate(moves):
            if place:
                turns = told(decision, turns, self.most_words) if self.tools else [*turns, user(_page(decision))]
            else:
                text, cut = self._first(decision)
                made.cut.update(dict.fromkeys(cut, 1))
                turns.append(user(text))
            turns.append(tool_calls(call_of(action)) if self.tools else {"role": "assistant", "content": action})
        return turns

    def _first(self, decision: Decision) -> tuple[str, Counter[str]]:
        if self.tools:
            return TOOL_TASK + opening(decision.instruction, decision.steps_left), Counter()
        prompt = write_prompt(decision, self.prompt, self.chat.count, self.chat.count_prompt)
        return prompt.text, prompt.left_out

    def _count(self, turns: list[Turn]) -> int:
        return len(self.chat.prompt_ids(turns, answer=False))


def _page(decision: Decision) -> str:
    """A later page of a conversation, whose earlier ones stand before it."""
    settings = PromptSettings(max_prompt_tokens=1 << 30, notes=False)
    return "Page: " + write_prompt(decision, settings, lambda _: 0).text.partition("Page: ")[2]


def _move(move: Move) -> tuple[Decision, str]:
    return move.decision, move.action


def _plain(turns: list[Turn], form: str) -> Row:
    if form == "messages":
        return {"messages": turns}
    return {"prompt": turns[:1], "completion": turns[1:]}


def dataset_of(made: Rows) -> Any:
    """The rows as a `datasets.Dataset`.

    Messages with calls are stored as JSON: a struct would give every call the arguments of all others, each as None,
    and the chat template would write them.
    """
    from datasets import Dataset, Features, Json, List, Value

    tools = "tools" in made.rows[0]
    message = Json() if tools else {"role": Value("string"), "content": Value("string")}
    columns: dict[str, Any] = {name: List(message) for name in made.rows[0] if name != "tools"}
    if tools:
        columns["tools"] = Value("string")
    return Dataset.from_list(made.rows, features=Features(columns))


def check_rows(made: Rows) -> None:
    """Raises DatasetError if nothing was made; the message says why."""
    if not made.rows:
        reasons = "; ".join(f"{count} {reason}" for reason, count in made.left_out.items()) or "nothing to tell"
        raise DatasetError(f"no row is left: {reasons}. Raise the budget, or take other episodes")

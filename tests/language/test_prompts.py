"""A decision as a message: what it holds, and what is cut when the budget is small."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.data import Episode
from recrl.errors import ConfigError, PolicyError
from recrl.language.prompts import PromptSettings, write_prompt


def words(text: str) -> int:
    return len(text.split())


def test_every_action_stands_in_the_prompt_exactly_once(episodes: list[Episode]) -> None:
    for episode in episodes:
        for decision in episode.decisions():
            page = write_prompt(decision, PromptSettings(notes=False), words).text.split("Page: ")[1]
            for action in decision.valid_actions:
                assert page.count(action) == 1
            assert decision.instruction in write_prompt(decision, PromptSettings(), words).text


def test_notes_tell_what_was_read_of_opened_products(episodes: list[Episode]) -> None:
    decision = list(episodes[-1].decisions())[-1]
    read = [product for product in decision.notes.products if product.features]
    told = write_prompt(decision, PromptSettings(), words).text
    assert read
    for product in read:
        assert f"{product.asin.lower()}: " in told
        assert " ".join(product.features.split()[:10]) in told
    assert "Known of" not in write_prompt(decision, PromptSettings(notes=False), words).text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_prompt_keeps_to_its_budget_and_never_cuts_instruction_or_actions(
    episodes: list[Episode], data: st.DataObject
) -> None:
    decision = data.draw(st.sampled_from([one for episode in episodes for one in episode.decisions()]))
    budget = data.draw(st.integers(1, 400))
    try:
        prompt = write_prompt(decision, PromptSettings(budget), words)
    except PolicyError as error:
        needed = int(str(error).split(" take ")[1].split()[0])  # the arithmetic of the message is right
        assert needed > budget
        assert words(write_prompt(decision, PromptSettings(needed), words).text) <= needed
        return
    assert words(prompt.text) <= budget
    assert decision.instruction in prompt.text
    assert all(action in prompt.text for action in decision.valid_actions)
    whole = write_prompt(decision, PromptSettings(100_000), words)
    assert not whole.left_out
    assert (prompt.text == whole.text) == (not prompt.left_out)


def test_what_did_not_fit_is_counted(episodes: list[Episode]) -> None:
    decision = list(episodes[-1].decisions())[-1]
    sizes = [words(write_prompt(decision, PromptSettings(budget), words).text) for budget in (90, 140, 200, 600)]
    left = [sum(write_prompt(decision, PromptSettings(budget), words).left_out.values()) for budget in (90, 140, 200)]
    assert sizes == sorted(sizes)
    assert np.all(np.diff(left) <= 0)


def test_a_budget_without_a_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_prompt_tokens=0"):
        PromptSettings(0)

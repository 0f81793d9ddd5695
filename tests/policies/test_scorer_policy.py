"""What the scorer reads, and the policy around it."""

from pathlib import Path

import numpy as np
import pytest

from decision_data import colour_page, text_decision
from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.inputs import ACTION_FEATURES, PAGE_MARKERS, Piece, read_decision

RESULTS = """Instruction:
i need a red cotton shirt, and price lower than 20.00 dollars
[button] Back to Search [button_]
Page 1 (Total results: 2)
[button] Next > [button_]

[button] B000000001 [button_]
Soft wool shirt
$25.0 to $30.0

[button] B000000002 [button_]
Red cotton shirt
$9.5
"""
ACTIONS = ("click[back to search]", "click[next >]", "click[b000000001]", "click[b000000002]")


def columns(observation: str, actions: tuple[str, ...], taken: tuple[str, ...] = ()) -> dict[str, list[float]]:
    choice = read_decision(text_decision(observation, actions, taken), action_features=list(ACTION_FEATURES))
    return {name: [row[place] for row in choice.features] for place, name in enumerate(ACTION_FEATURES)}


def test_a_results_page_is_read_as_titles_with_rank_and_price() -> None:
    choice = read_decision(text_decision(RESULTS, ACTIONS))
    assert choice.actions == ("back to search", "next >", "item - Soft wool shirt $25.0 to $30.0",
                              "item - Red cotton shirt $9.5")  # fmt: skip
    assert choice.instruction.startswith("i need a red cotton shirt")
    features = columns(RESULTS, ACTIONS, taken=("click[b000000001]",))
    assert features["reciprocal_rank"] == [0, 0, 1, 0.5]
    assert features["price_fits"] == [0, 0, -1, 1]
    assert features["taken_before"] == [0, 0, 1, 0]
    # instruction: i need a red cotton shirt and price lower than 20 00 dollars = 13 words
    assert features["instruction_covered"][3] == pytest.approx(3 / 13)


def test_an_item_page_is_read_as_groups_and_values() -> None:
    page = colour_page("i want a red shirt", ("red", "blue"), clicked="blue")
    actions = ("click[buy now]", "click[red]", "click[blue]")
    choice = read_decision(text_decision(page, actions))
    assert choice.actions == ("buy now", "color: red", "color: blue")
    marks = Piece("[clicked button]", is_marker=True), Piece("[clicked button_]", is_marker=True)
    assert choice.state[:3] == (marks[0], Piece("blue"), marks[1])
    features = columns(page, actions)
    assert features["words_named"] == [0, 1, 0]
    assert features["group_clicked"] == [0, 1, 1]
    assert features["groups_open"] == [0, 0, 0]
    assert columns(colour_page("i want a red shirt", ("red", "blue")), actions)["groups_open"] == [1, 0, 0]


def test_the_full_state_is_the_whole_observation() -> None:
    found = read_decision(text_decision(RESULTS, ACTIONS), state_form="full").state
    assert "".join(piece.text for piece in found) == RESULTS
    assert [piece.text for piece in found if piece.is_marker] == ["[button]", "[button_]"] * 4


@pytest.mark.parametrize(
    "text", ["red [SEP] shoes", "[CLS]", "a [PAD] b", "a [MASK] b", "red [button] shoes [button_]"]
)
def test_text_that_spells_a_special_token_stays_text(tiny_scorer: Path, text: str) -> None:
    model, tokenizer = load_scorer(tiny_scorer)
    collator = ChoiceCollator(tokenizer, model.config)
    state = list(collator.state_tokens(f"find {text}", (Piece(f"title {text}"),)))
    action = list(collator.action_tokens(text))
    special = [tokenizer.convert_tokens_to_ids(marker) for marker in PAGE_MARKERS]
    special += [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id]
    assert [state.count(token) for token in special] == [0, 0, 0, 0, 1, 2, 0, 0]
    assert [action.count(token) for token in special] == [0, 0, 0, 0, 1, 1, 0, 0]


def test_the_instruction_is_never_cut_and_equal_texts_are_encoded_once(tiny_scorer: Path) -> None:
    model, tokenizer = load_scorer(tiny_scorer)
    collator = ChoiceCollator(tokenizer, model.config)
    instruction = " ".join(["red"] * 110)
    page = colour_page(instruction, ("red", "blue"))
    batch = collator([text_decision(page, ("click[red]", "click[blue]"))] * 2)
    assert batch.state_ids.shape == (1, 112)  # beyond max_state_tokens=96, which cuts the rest only
    assert batch.state_index.tolist() == [0, 0]
    assert batch.action_ids.shape[0] == 2
    assert batch.right_mask is None
    assert "right_mask" not in batch.tensors()


def decisions(count: int) -> list[Decision]:
    colours = np.array(["red", "blue", "green", "white"])
    made = []
    for number in range(count):
        offered = tuple(str(colour) for colour in np.random.default_rng(number).permutation(colours)[: 2 + number % 3])
        actions = ("click[buy now]", *(f"click[{colour}]" for colour in offered))
        page = colour_page(f"i want shirt {number} in {offered[0]}", offered)
        made.append(text_decision(page, actions))
    return made


@pytest.mark.parametrize("greedy", [False, True])
def test_choices_do_not_depend_on_the_batch_in_any_bit(tiny_scorer: Path, greedy: bool) -> None:
    asked = decisions(9)

    def act(sizes: list[int]) -> list[tuple[int, float]]:
        policy, start, chosen = ScorerPolicy.from_pretrained(tiny_scorer, device="cpu"), 0, []
        for size in sizes:
            part = asked[start : start + size]
            rngs = [np.random.default_rng(number) for number in range(start, start + size)]
            chosen += policy.act(part, rngs, greedy=greedy)
            start += size
        return [(choice.action_index, choice.log_prob) for choice in chosen]

    assert act([9]) == act([1] * 9) == act([4, 5])


def test_sampling_follows_the_probabilities_and_the_temperature(
    tiny_scorer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [decision] = decisions(1)
    rng = np.random.default_rng(0)
    policy = ScorerPolicy.from_pretrained(tiny_scorer, temperature=2.0)
    [log_probs] = policy.log_probs([decision])
    tempered = np.exp(log_probs / 2) / np.exp(log_probs / 2).sum()
    [output] = policy.outputs([decision])
    with monkeypatch.context() as scored_once:
        scored_once.setattr(policy, "outputs", lambda given: [output] * len(given))
        choices = policy.act([decision] * 4000, [rng] * 4000)
    counts = np.bincount([choice.action_index for choice in choices], minlength=len(tempered)) / 4000
    assert np.abs(counts - tempered).max() < 0.03  # 4 standard errors of a share of 4,000
    for choice in choices[:50]:
        assert choice.log_prob == pytest.approx(np.log(tempered[choice.action_index]), abs=1e-6)
        assert choice.probabilities == pytest.approx(tempered, abs=1e-6)
        assert choice.value is None
    policy.model.config.values_learned = True  # as PPO says of its scorers
    [(_, value)] = policy.outputs([decision])
    assert policy.act([decision], [rng])[0].value == value


def test_the_loop_guard_never_repeats_an_action_at_an_equal_page(tiny_scorer: Path) -> None:
    [decision] = decisions(1)
    policy = ScorerPolicy.from_pretrained(tiny_scorer, loop_guard=True)
    rng = np.random.default_rng(0)
    taken = [policy.act([decision], [rng])[0].action_index for _ in decision.valid_actions]
    assert sorted(taken) == list(range(len(decision.valid_actions)))
    [decision] = decisions(1)  # with a new memory
    first, second = (policy.act([decision], [rng])[0] for _ in range(2))
    assert min(first.probabilities) > 0
    assert second.probabilities[first.action_index] == 0
    assert sum(second.probabilities) == pytest.approx(1, abs=1e-5)


def test_a_temperature_of_zero_is_refused(tiny_scorer: Path) -> None:
    with pytest.raises(PolicyError, match="temperature=0"):
        ScorerPolicy.from_pretrained(tiny_scorer, temperature=0)

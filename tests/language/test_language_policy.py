"""A language model as a policy: exact log-probabilities, written answers, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from language_model import TEMPLATE, make_language_model
from recrl.episodes.data import Episode, episode_to_row, row_to_episode
from recrl.episodes.decisions import Decision
from recrl.errors import CheckpointError, PolicyError
from recrl.evaluation.measure import evaluate
from recrl.language.prompts import PromptSettings
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import load_policy
from recrl.rollouts.pruning import prune_loops
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import Catalog
from recrl.webshop.env import WebShopEnv


@pytest.fixture(scope="module")
def policy(tiny_language_model: Path) -> LanguagePolicy:
    return LanguagePolicy.from_pretrained(tiny_language_model, device="cpu")


@pytest.fixture(scope="module")
def decisions(episodes: list[Episode]) -> list[Decision]:
    return [decision for episode in episodes for decision in episode.decisions()]


def plain_log_probs(policy: LanguagePolicy, decision: Decision) -> list[float]:
    """One forward pass for each action, without a cache, on the tokens of the whole conversation."""
    messages = policy.prompt_of(decision).messages
    tokenizer = policy.chat.tokenizer
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    found = []
    for action in decision.valid_actions:
        answered = [*messages, {"role": "assistant", "content": action}]
        ids = tokenizer.apply_chat_template(answered, tokenize=True, return_dict=True)["input_ids"]
        start = len(prompt["input_ids"])
        assert ids[:start] == prompt["input_ids"]
        end = start + ids[start:].index(tokenizer.eos_token_id) + 1
        with torch.no_grad():
            log_probs = policy.engine.model(torch.tensor([ids[:end]])).logits[0].float().log_softmax(-1)
        found.append(sum(log_probs[place - 1, ids[place]].item() for place in range(start, end)))
    return found


def test_every_action_has_the_log_probability_of_a_plain_forward_pass(
    policy: LanguagePolicy, decisions: list[Decision]
) -> None:
    some = decisions[:4] + decisions[-2:]
    for decision, found in zip(some, policy.text_log_probs(some), strict=True):
        if len(decision.valid_actions) == 1:
            assert found.tolist() == [0.0]
            continue
        np.testing.assert_allclose(found, plain_log_probs(policy, decision), atol=1e-4)
        assert np.exp(found).sum() <= 1 + 1e-6  # answers are disjoint events


def test_log_probabilities_do_not_depend_on_the_batch(policy: LanguagePolicy, decisions: list[Decision]) -> None:
    some = decisions[::2]
    for decision, found in zip(some, policy.log_probs(some), strict=True):
        np.testing.assert_allclose(found, policy.log_probs([decision])[0], atol=1e-4)
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-5)


def test_a_sliding_window_is_kept_to(tmp_path: Path, decisions: list[Decision]) -> None:
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    folder = make_language_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                      num_attention_heads=4, num_key_value_heads=2, sliding_window=64)
    )  # fmt: skip
    sliding = LanguagePolicy(model, tokenizer)
    for decision, found in zip(decisions[:4], sliding.text_log_probs(decisions[:4]), strict=True):
        if len(decision.valid_actions) > 1:
            np.testing.assert_allclose(found, plain_log_probs(sliding, decision), atol=1e-4)


def test_pairs_of_a_page_mean_what_trl_sums(policy: LanguagePolicy, decisions: list[Decision]) -> None:
    decision = next(one for one in decisions if len(one.valid_actions) > 2)
    texts, normalised = policy.text_log_probs([decision])[0], policy.log_probs([decision])[0]
    np.testing.assert_allclose(np.diff(texts), np.diff(normalised), atol=1e-4)


def test_it_is_played_and_collected_as_any_policy(tiny_language_model: Path, embedded: Catalog) -> None:
    policy = load_policy(str(tiny_language_model), max_prompt_tokens=1000)
    assert isinstance(policy, LanguagePolicy)
    assert (policy.name, policy.catalog_sha256, policy.trained_on) == ("tiny_language_model", None, ())
    goals = [int(goal) for goal in embedded.split("test", "product")[:3]]
    one, other = (list(rollout(policy, embedded, goals, seed=1, batch_size=size, max_steps=3)) for size in (3, 1))
    assert [[s.action for s in episode.steps] for episode in one] == [
        [s.action for s in episode.steps] for episode in other
    ]
    assert all(step.log_prob <= 0 and not step.written for episode in one for step in episode.steps)


def test_what_it_writes_is_given_to_the_environment_as_it_stands(
    policy: LanguagePolicy, tiny_language_model: Path, embedded: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = load_policy(str(tiny_language_model), answers="text")
    answers = iter(["search[red shoes]", "I think so.", "CLICK[Next >]", "click[next >]"])

    def write(model: Any, prompts: Any, rngs: Any, **settings: Any) -> Any:
        from recrl.language.writing import Written

        text = next(answers)
        ids = writer.chat.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [Written(tuple(ids), -1.5)]

    monkeypatch.setattr("recrl.language.engines.write_answers", write)
    goal = int(embedded.split("test", "product")[0])
    [episode] = rollout(writer, embedded, [goal], seed=0, max_steps=4)
    assert [step.action for step in episode.steps] == [
        "search[red shoes]",
        "I think so.",
        "click[next >]",
        "click[next >]",
    ]
    assert [step.written for step in episode.steps] == [True, True, False, False]
    assert [step.accepted for step in episode.steps] == [True, False, True, True]
    assert episode.steps[1].page.without_marks() == episode.steps[2].page.without_marks()  # a refusal changes nothing
    assert episode.steps[0].log_prob == -1.5
    assert row_to_episode(episode_to_row(episode)) == episode


def test_a_loop_of_refused_answers_is_pruned(embedded: Catalog) -> None:
    from recrl.policies.base import Choice
    from recrl.policies.scripted import scripted_policy

    class Stutters:
        name, catalog_sha256, knows_goal = "stutters", None, True
        inner = scripted_policy("demonstrator", "")

        def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
            first = [not one.memory.setdefault("spoken", False) for one in decisions]
            for one in decisions:
                one.memory["spoken"] = True
            return [
                Choice(-1, -2.0, text="hm") if new else choice
                for new, choice in zip(first, self.inner.act(decisions, rngs, greedy=greedy), strict=True)
            ]

    goal = int(embedded.split("train", "product")[0])
    [episode] = rollout(Stutters(), embedded, [goal], seed=0)
    assert episode.steps[0].accepted is False
    pruned = prune_loops(episode, WebShopEnv(embedded, split="all"))
    assert pruned.num_steps == episode.num_steps - 1
    assert all(step.accepted for step in pruned.steps)


def test_sampled_answers_do_not_depend_on_the_batch(tiny_language_model: Path, decisions: list[Decision]) -> None:
    writer = LanguagePolicy.from_pretrained(tiny_language_model, answers="text", device="cpu")
    few = decisions[:3]
    together = writer.act(few, [np.random.default_rng(place) for place in range(3)])
    alone = [writer.act([one], [np.random.default_rng(place)])[0] for place, one in enumerate(few)]
    assert [choice.text for choice in together] == [choice.text for choice in alone]
    np.testing.assert_allclose([c.log_prob for c in together], [c.log_prob for c in alone], atol=1e-3)
    greedy = writer.act(few, [np.random.default_rng(9)] * 3, greedy=True)
    assert greedy == writer.act(few, [np.random.default_rng(8)] * 3, greedy=True)


def test_refused_answers_are_counted_in_the_result(tiny_language_model: Path, embedded: Catalog) -> None:
    writer = load_policy(str(tiny_language_model), answers="text")
    result = evaluate(writer, embedded, num_episodes=2, max_steps=2)
    assert (result.answers, result.success_rate) == ("text", 0.0)
    assert result.refused_rate == 100.0  # a random model writes nothing that the shop understands
    assert evaluate(load_policy("rule"), embedded, num_episodes=1).refused_rate is None


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path / "base", template=None)
    with pytest.raises(CheckpointError, match="'base' has no chat template; take an instruct or chat model"):
        load_policy(str(folder))


def test_a_model_whose_template_knows_no_tools_does_not_play_with_them(tiny_language_model: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the chat template of .* knows no tools; take a model"):
        load_policy(str(tiny_language_model), answers="tools")


def test_a_template_that_raises_at_a_call_is_refused_with_its_reason(tiny_language_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_language_model, tmp_path / "raises")
    template = folder / "chat_template.jinja"
    call = "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('calls need ids') }}{% endif %}{% endfor %}"
    template.write_text(call + "{{ tools }}" + template.read_text())
    with pytest.raises(CheckpointError, match=r"does not write calls as here \(calls need ids\); take a model whose"):
        load_policy(str(folder), answers="tools")


def test_a_template_that_answers_elsewhere_is_refused(tmp_path: Path) -> None:
    odd = TEMPLATE.replace("<|im_start|>assistant\n{%", "<|im_start|>bot\n{%")
    folder = make_language_model(tmp_path / "odd", template=odd)
    with pytest.raises(CheckpointError, match="does not write an answer behind its own generation prompt"):
        load_policy(str(folder))


def test_a_context_that_is_too_short_is_refused_with_the_arithmetic(tmp_path: Path, decisions: list[Decision]) -> None:
    folder = make_language_model(tmp_path / "short", context=512)
    with pytest.raises(PolicyError, match=r"holds 512 tokens, but max_prompt_tokens=1024 and 96 .* make 1120; lower"):
        load_policy(str(folder))
    policy = load_policy(str(folder), max_prompt_tokens=60)
    with pytest.raises(PolicyError, match="max_prompt_tokens=60 is too small: the instruction and the 12 actions"):
        policy.act([next(one for one in decisions if len(one.valid_actions) == 12)], [np.random.default_rng(0)])


def test_an_adapter_plays_on_its_base_and_on_no_other(tmp_path: Path, decisions: list[Decision]) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, other = make_language_model(tmp_path / "base"), make_language_model(tmp_path / "other", hidden_size=64)
    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules="all-linear", init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    policy = load_policy(str(tmp_path / "adapter"))
    plain = load_policy(str(base))
    assert isinstance(policy, LanguagePolicy)
    assert isinstance(plain, LanguagePolicy)
    some = decisions[1:2]
    assert np.abs(policy.log_probs(some)[0] - plain.log_probs(some)[0]).max() > 1e-3
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(settings.read_text().replace(str(base), str(other)))
    with pytest.raises(CheckpointError, match=r"is an adapter that does not fit its base model .*size mismatch"):
        load_policy(str(tmp_path / "adapter"))
    settings.write_text(settings.read_text().replace(str(other), str(tmp_path / "gone")))
    with pytest.raises(CheckpointError, match=r"is an adapter for .*gone', which cannot be had"):
        load_policy(str(tmp_path / "adapter"))


def test_settings_of_language_models_are_for_them_alone(tiny_scorer: Path) -> None:
    with pytest.raises(PolicyError, match="answers are for language models; 'rule' is a scripted policy"):
        load_policy("rule", answers="text")
    with pytest.raises(PolicyError, match="max_prompt_tokens are for language models"):
        load_policy(str(tiny_scorer), max_prompt_tokens=100)


@pytest.mark.slow
def test_smollm2_has_the_log_probabilities_of_plain_forward_passes(tmp_path: Path, decisions: list[Decision]) -> None:
    from smollm2 import smollm2

    policy = LanguagePolicy.from_pretrained(smollm2(tmp_path), device="cpu", dtype=torch.float32)
    some = [one for one in decisions if len(one.valid_actions) > 1][:2]
    for decision, found in zip(some, policy.text_log_probs(some), strict=True):
        np.testing.assert_allclose(found, plain_log_probs(policy, decision), atol=1e-4, rtol=1e-5)


def test_a_prompt_is_told_as_the_model_was_trained(tiny_language_model: Path, tmp_path: Path) -> None:

    from recrl.language.models import Record, read_record

    folder = shutil.copytree(tiny_language_model, tmp_path / "trained")
    Record(PromptSettings(700, notes=False), "sha", (), "tiny", answers="text").save(folder)
    policy = load_policy(str(folder))
    assert isinstance(policy, LanguagePolicy)
    assert (policy.prompt, policy.answers) == (PromptSettings(700, notes=False), "text")
    asked = load_policy(str(folder), answers="score")
    assert isinstance(asked, LanguagePolicy)
    assert asked.answers == "score"
    assert policy.catalog_sha256 == "sha"
    assert read_record(tiny_language_model) == Record()
    with pytest.raises(CheckpointError, match=r"expected a causal language model .* got 'runs/not/there': no such fol"):
        read_record("runs/not/there")  # as every recipe of a language model begins
    (folder / "recrl.json").write_text("[]")
    with pytest.raises(CheckpointError, match="is corrupt"):
        load_policy(str(folder))

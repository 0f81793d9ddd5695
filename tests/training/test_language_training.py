"""SFT and DPO of language models: TRL trains on exactly what the policy means, runs go on, and bad input is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reported import reported
from transformers import TrainerCallback

from language_model import make_language_model
from recrl.episodes.data import Episode, episodes_to_dataset
from recrl.errors import ConfigError, DatasetError
from recrl.language.models import read_record
from recrl.language.tools import call_of
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import load_policy
from recrl.preferences.builders import build_preferences
from recrl.preferences.building import save_pairs
from recrl.preferences.data import dataset_to_preferences, load_preferences, preferences_to_dataset
from recrl.publishing.push import push_run
from recrl.rollouts.rollout import rollout
from recrl.training.dpo_language import LanguageDPOConfig, tokenised, train_dpo_language
from recrl.training.settings.dpo_language import LanguageDPOArguments
from recrl.training.settings.language import AdapterArguments
from recrl.training.settings.sft import SFTArguments
from recrl.training.sft import LanguageSFTConfig, train_sft
from recrl.training.trl_adapter import SideCollator
from recrl.webshop.catalog import load_catalog

BUDGET = 1000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("language") / "tiny")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    catalog = load_catalog(None)
    goals = [int(goal) for goal in catalog.split("train", "product")[:2]]
    shown = list(rollout(load_policy("demonstrator"), catalog, goals, seed=0))
    return [*shown, *rollout(load_policy("rule"), catalog, goals, seed=0)]


@pytest.fixture(scope="module")
def demonstrations(episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demonstrations"
    episodes_to_dataset(episodes[:2]).save_to_disk(str(folder))
    return folder


def sft(model: Path, demonstrations: Path, folder: Path, adapters: Any = None, **settings: Any) -> Path:
    config = LanguageSFTConfig(
        output_dir=str(folder), use_cpu=True, per_device_train_batch_size=2, disable_tqdm=True,
        **{"num_train_epochs": 1, "learning_rate": 1e-2} | settings,
    )  # fmt: skip
    adapters = adapters or AdapterArguments(max_prompt_tokens=BUDGET)
    return train_sft(SFTArguments(str(model), [str(demonstrations)]), adapters, config)


def adapter_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_sft_learns_to_answer_and_the_policy_plays_by_it(
    model: Path, demonstrations: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    run = sft(model, demonstrations, tmp_path / "sft", num_train_epochs=4)
    before, after = (load_policy(str(one), max_prompt_tokens=BUDGET) for one in (model, run))
    assert isinstance(before, LanguagePolicy)
    assert isinstance(after, LanguagePolicy)
    decision, step = list(episodes[0].decisions())[1], episodes[0].steps[1]
    chances = [float(policy.text_log_probs([decision])[0][step.action_index]) for policy in (before, after)]
    assert chances[1] > chances[0] + 5
    assert after.prompt.max_prompt_tokens == BUDGET
    assert after.trained_on[0].goal_indices == tuple(sorted(episode.goal_index for episode in episodes[:2]))  # type: ignore[union-attr]
    push_run(LanguageSFTConfig(output_dir=str(run), use_cpu=True))
    card = (run / "README.md").read_text()
    assert "Supervised fine-tuning on demonstrations through TRL's SFTTrainer" in card
    assert "This is a LoRA adapter" in card


def test_sft_of_calls_learns_the_calls_and_how_a_shopping_ends(
    model: Path, demonstrations: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    """What has a loss is each call as the shop reads it, without the arguments of other calls, and the last answer."""
    learned: list[str] = []

    class Labels(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            for batch in kwargs["train_dataloader"]:
                for labels in batch["labels"]:
                    learned.append(kwargs["processing_class"].decode(labels[labels != -100]))

    long = make_language_model(tmp_path / "long", context=16384)
    config = LanguageSFTConfig(
        output_dir=str(tmp_path / "sft"), use_cpu=True, per_device_train_batch_size=1, max_steps=1, disable_tqdm=True
    )
    arguments = SFTArguments(
        str(long), [str(demonstrations)], unit="episode", tools=True, chat_template="qwen2_5"
    )  # fmt: skip
    train_sft(arguments, AdapterArguments(max_prompt_tokens=10000), config, callbacks=[Labels()])
    expected = []
    for episode in episodes[:2]:
        calls = [f"<tool_call>\n{json.dumps(call_of(step.action))}\n</tool_call>" for step in episode.steps]
        expected.append([*calls, "Done."])
    answers = [[one.strip() for one in text.split("<|im_end|>") if one.strip()] for text in learned]
    assert sorted(answers) == sorted(expected)
    record = read_record(tmp_path / "sft")
    assert (record.answers, record.most_words) == ("tools", 16)
    assert record.prompt.max_prompt_tokens == config.max_length  # of whole conversations, as it has seen them
    with pytest.raises(ConfigError, match="taught to shop by calls of tools, and pairs are of actions as text"):
        train_dpo_language(
            LanguageDPOArguments(model_name_or_path=str(tmp_path / "sft"), preferences="p"),
            AdapterArguments(),
            LanguageDPOConfig(output_dir=str(tmp_path / "dpo"), use_cpu=True),
        )


@pytest.mark.slow
def test_trl_sums_the_log_probabilities_of_the_policy(model: Path, episodes: list[Episode], tmp_path: Path) -> None:
    """Of actions and of whole episodes, and the first loss is log 2."""
    teller = LanguagePolicy.from_pretrained(model, device="cpu", max_prompt_tokens=BUDGET)
    made = build_preferences(episodes, teller.log_probs, np.random.default_rng(0), pairs=("steps", "trajectories"))
    pairs = made.pairs[:2] + [pair for pair in made.pairs if pair.origin == "trajectories"][:1]
    assert len(pairs[-1].chosen_moves) > 1
    rows, left_out = tokenised(preferences_to_dataset(pairs), teller, None)
    assert not left_out
    batch = SideCollator(0)(list(rows))
    with torch.no_grad():
        output = teller.engine.model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False)
        log_probs = output.logits[:, :-1].float().log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    sums = (log_probs * batch["completion_mask"][:, 1:]).sum(-1)
    expected = [
        sum(float(teller.text_log_probs([move.decision])[0][move.action_index]) for move in side)
        for side in [*(pair.chosen_moves for pair in pairs), *(pair.rejected_moves for pair in pairs)]
    ]
    np.testing.assert_allclose(sums, expected, atol=2e-3)

    save_pairs(type(made)(pairs), tmp_path / "pairs")
    seen: list[dict[str, float]] = []
    run = train_dpo_language(
        LanguageDPOArguments(str(model), preferences=str(tmp_path / "pairs")),
        AdapterArguments(max_prompt_tokens=BUDGET),
        LanguageDPOConfig(output_dir=str(tmp_path / "dpo"), use_cpu=True, num_train_epochs=1, max_length=20000,
                          per_device_train_batch_size=3, logging_steps=1, disable_tqdm=True),
        callbacks=[_Logs(seen)],
    )  # fmt: skip
    assert seen[0]["loss"] == pytest.approx(np.log(2), abs=1e-3)
    assert seen[0]["logps/chosen"] == pytest.approx(np.mean(expected[:3]), abs=1e-2)
    assert seen[0]["logps/rejected"] == pytest.approx(np.mean(expected[3:]), abs=1e-2)
    assert isinstance(load_policy(str(run)), LanguagePolicy)
    push_run(LanguageDPOConfig(output_dir=str(run), use_cpu=True))
    assert "Direct preference optimisation" in (run / "README.md").read_text()


def _Logs(seen: list[dict[str, float]]) -> Any:
    from transformers import TrainerCallback

    class Logs(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            seen.append(dict(logs))

    return Logs()


@pytest.mark.slow
def test_dpo_trains_an_adapter_on_with_its_former_self_as_reference(
    model: Path, demonstrations: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    start = sft(model, demonstrations, tmp_path / "sft")
    before = adapter_of(start)
    episodes_to_dataset(episodes).save_to_disk(str(tmp_path / "played"))
    seen: list[dict[str, float]] = []
    run = train_dpo_language(
        LanguageDPOArguments(str(start), trajectories=str(tmp_path / "played"), pairs=["contrasts", "steps"]),
        AdapterArguments(),
        LanguageDPOConfig(output_dir=str(tmp_path / "dpo"), use_cpu=True, num_train_epochs=2, max_length=20000,
                          learning_rate=1e-3, logging_steps=1, disable_tqdm=True),
        callbacks=[_Logs(seen)],
    )  # fmt: skip
    assert seen[0]["loss"] == pytest.approx(np.log(2), abs=1e-3)  # policy and reference are the same at the start
    after = adapter_of(run)
    assert set(after) == set(before)
    assert not (run / "ref").exists()  # the copy of the start that TRL makes
    assert any(not torch.equal(after[name], before[name]) for name in after)
    assert load_policy(str(run)).prompt.max_prompt_tokens == BUDGET  # type: ignore[attr-defined]
    pairs = dataset_to_preferences(load_preferences(run / "preferences"))
    assert {pair.origin for pair in pairs} <= {"contrasts", "steps"}


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    model: Path, demonstrations: Path, tmp_path: Path
) -> None:
    from transformers import TrainerCallback

    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise KeyboardInterrupt

    whole = sft(model, demonstrations, tmp_path / "whole", save_steps=2)
    arguments = SFTArguments(str(model), [str(demonstrations)])
    config = LanguageSFTConfig(
        output_dir=str(tmp_path / "cut"), use_cpu=True, per_device_train_batch_size=2, disable_tqdm=True,
        num_train_epochs=1, learning_rate=1e-2, save_steps=2,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        train_sft(arguments, AdapterArguments(max_prompt_tokens=BUDGET), config, callbacks=[Stops()])
    gone_on = sft(model, demonstrations, tmp_path / "cut", save_steps=2)
    for name, tensor in adapter_of(whole).items():
        torch.testing.assert_close(adapter_of(gone_on)[name], tensor, msg=name)
    assert reported(gone_on) == reported(whole)


@pytest.mark.slow
def test_a_merged_model_is_that_of_its_adapter(
    model: Path, demonstrations: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    adapter = sft(model, demonstrations, tmp_path / "adapter")
    merged = sft(
        model, demonstrations, tmp_path / "merged", AdapterArguments(max_prompt_tokens=BUDGET, merge_adapter=True)
    )
    assert (merged / "model.safetensors").exists()
    assert not (merged / "adapter_config.json").exists()
    decision = list(episodes[0].decisions())[1]
    one, other = (load_policy(str(folder)).log_probs([decision])[0] for folder in (adapter, merged))  # type: ignore[attr-defined]
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_only_the_highest_layers_get_adapters(model: Path) -> None:
    from recrl.training.language import load_to_train

    _, _, settings = load_to_train(str(model), AdapterArguments(lora_top_layers=1))
    assert settings.layers_to_transform == [1]
    assert "lm_head" not in settings.target_modules
    with pytest.raises(ConfigError, match="lora_top_layers=3, but the model has 2 layers"):
        load_to_train(str(model), AdapterArguments(lora_top_layers=3))
    with pytest.raises(ConfigError, match="has no linear layer 'query'; it has down_proj, gate_proj"):
        load_to_train(str(model), AdapterArguments(lora_target_modules=["query"]))


def test_numbers_that_would_train_nothing_or_fail_on_the_way_are_refused(model: Path, tmp_path: Path) -> None:
    for settings, expected in (
        ({"learning_rate": -1.0}, "learning_rate=-1.0, expected at least 0"),
        ({"num_train_epochs": 0}, "num_train_epochs=0, expected a number above 0"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size=0, expected at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0, expected at least 1"),
        ({"adam_beta1": 2.0}, "adam_beta1=2.0, expected at least 0 and below 1"),
        ({"save_steps": -1}, "save_steps=-1, expected a number above 0"),
    ):
        with pytest.raises(ConfigError, match=expected):
            LanguageSFTConfig(output_dir=str(tmp_path / "sft"), use_cpu=True, **settings)  # type: ignore[arg-type]
    for arguments, expected in (
        ({"num_demonstrations": -3}, "num_demonstrations=-3, expected at least 1"),
        ({"unit": "both"}, "unit='both', expected one of decision, episode"),
    ):
        with pytest.raises(ConfigError, match=expected):
            SFTArguments(str(model), ["d"], **arguments)  # type: ignore[arg-type]


def test_rows_that_do_not_fit_end_before_training(model: Path, demonstrations: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no row is left: 8 prompts longer than max_prompt_tokens"):
        sft(model, demonstrations, tmp_path / "run", AdapterArguments(max_prompt_tokens=50))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="dataset_text_field=page has no meaning for SFT"):
        LanguageSFTConfig(output_dir=str(tmp_path / "run"), use_cpu=True, dataset_text_field="page")

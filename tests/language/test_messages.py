"""Rows for TRL: what they hold, that TRL reads them as they are, and what is counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset, load_from_disk

from recrl.cli import main
from recrl.episodes.data import Episode, episodes_to_dataset
from recrl.language.tools import TOOLS, action_of, call_of, read_call, tool_schemas
from recrl.preferences.builders import build_preferences
from recrl.preferences.building import save_pairs


def uniform(decisions: Any) -> list[np.ndarray]:
    return [np.full(len(one.valid_actions), -np.log(len(one.valid_actions))) for one in decisions]


@pytest.fixture(scope="module")
def demonstrations(episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows") / "demonstrations"
    episodes_to_dataset(episodes).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="module")
def pairs(episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows") / "pairs"
    made = build_preferences(episodes[:3], uniform, np.random.default_rng(0), pairs=("steps",))
    save_pairs(made, folder)
    return folder


def export(*arguments: Any) -> Any:
    main(["export", *map(str, arguments)])
    return load_from_disk(str(arguments[arguments.index("--output_dir") + 1]))


def test_a_row_is_a_decision_with_its_action(
    demonstrations: Path, tiny_language_model: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    rows = export(demonstrations, "--model", tiny_language_model, "--output_dir", tmp_path / "rows",
                  "--max_prompt_tokens", 4000)  # fmt: skip
    taken = [step.action for episode in episodes for step in episode.steps if len(step.valid_actions) > 1]
    assert [row["completion"] for row in rows] == [[{"role": "assistant", "content": action}] for action in taken]
    assert all(row["completion"][0]["content"] in row["prompt"][0]["content"] for row in rows)
    summary = json.loads((tmp_path / "rows" / "export.json").read_text())
    assert (summary["num_rows"], summary["left_out"], summary["cut"]) == (len(taken), {}, {})
    assert summary["trained_on"][0]["goal_indices"] == sorted({episode.goal_index for episode in episodes})


def test_what_did_not_fit_is_counted(
    demonstrations: Path, tiny_language_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(demonstrations, "--model", tiny_language_model, "--output_dir", tmp_path / "rows",
           "--max_prompt_tokens", 600, "--max_tokens", 590)  # fmt: skip
    out = capsys.readouterr().out
    assert "left out: " in out
    assert "decisions longer than max_tokens" in out or "prompts longer than max_prompt_tokens" in out
    assert "cut to max_prompt_tokens=600: words of the page, in " in out


def test_an_episode_is_a_conversation(
    demonstrations: Path, tiny_language_model: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    rows = export(demonstrations, "--model", tiny_language_model, "--unit", "episode",
                  "--max_prompt_tokens", 1000, "--max_tokens", 10000, "--output_dir", tmp_path / "rows")  # fmt: skip
    for row, episode in zip(rows, episodes, strict=True):
        assert [turn["content"] for turn in row["messages"][1::2]] == [step.action for step in episode.steps]
        assert [turn["role"] for turn in row["messages"][:3]] == ["user", "assistant", "user"]
        for turn, step in zip(row["messages"][::2], episode.steps, strict=True):
            assert all(action in turn["content"] for action in step.valid_actions)


def test_an_episode_as_calls_of_tools_leads_the_same_way(episodes: list[Episode]) -> None:
    for episode in episodes:
        for step in episode.steps:
            call = call_of(step.action)
            assert action_of(call["name"], call["arguments"]) == step.action
            assert read_call(f"<tool_call>\n{json.dumps(call)}\n</tool_call>") == call
    assert [schema["function"]["name"] for schema in tool_schemas()] == list(TOOLS)
    wrong = ['{"name": "fly", "arguments": {}}', '{"name": "search", "arguments": {"query": "x"}}', "[1]"]
    for text in ("I would buy it.", '{"name": "search", "arguments": {"words": 3}}', "<tool_call>", *wrong):
        assert read_call(text) is None


def test_rows_of_calls_end_with_an_answer_after_the_purchase(
    demonstrations: Path, tiny_language_model: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    """TRL asks once more after the call that buys; a model that never saw that writes on and on."""
    rows = export(demonstrations, "--model", tiny_language_model, "--chat_template", "qwen2_5", "--unit", "episode",
                  "--tools", "--max_prompt_tokens", 10000, "--max_tokens", 20000,
                  "--output_dir", tmp_path / "rows")  # fmt: skip
    assert all(episode.terminated for episode in episodes)
    for row, episode in zip(rows, episodes, strict=True):
        *shopping, bought, done = row["messages"]
        calls = [turn["tool_calls"][0]["function"] for turn in shopping[1::2]]
        assert [action_of(call["name"], call["arguments"]) for call in calls] == [step.action for step in episode.steps]
        assert (bought["role"], bought["content"]) == ("tool", "You bought it.")
        assert (done["role"], done["content"], done.get("tool_calls")) == ("assistant", "Done.", None)


def test_a_template_without_tools_is_refused_and_another_can_be_named(
    demonstrations: Path, tiny_language_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a template leaves the calls out without a word, and the tokens would be counted wrongly."""
    command = [demonstrations, "--model", tiny_language_model, "--unit", "episode", "--tools", "--max_tokens", 20000]
    with pytest.raises(SystemExit):
        export(*command, "--output_dir", tmp_path / "rows")
    assert "knows no tools" in (said := capsys.readouterr().err)
    assert "--chat_template" in said
    cut = export(*command, "--chat_template", "qwen2_5", "--most_words", 2, "--output_dir", tmp_path / "cut")
    whole = export(*command, "--chat_template", "qwen2_5", "--most_words", "null", "--output_dir", tmp_path / "whole")
    short, long = (rows[0]["messages"][2]["content"] for rows in (cut, whole))
    assert short.startswith("Page: results")
    assert len(short) < len(long)
    summary = json.loads((tmp_path / "cut" / "export.json").read_text())
    assert (summary["config"]["format"], summary["config"]["most_words"]) == ("messages", 2)


def test_a_pair_is_a_prompt_with_two_answers(pairs: Path, tiny_language_model: Path, tmp_path: Path) -> None:
    rows = export(pairs, "--model", tiny_language_model, "--format", "preference", "--max_prompt_tokens", 1000,
                  "--output_dir", tmp_path / "rows")  # fmt: skip
    stored = load_from_disk(str(pairs))
    assert [row["chosen"][0]["content"] for row in rows] == stored["chosen"]
    assert [row["rejected"][0]["content"] for row in rows] == stored["rejected"]


def test_bad_input_is_one_line(
    demonstrations: Path, tiny_scorer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, expected in (
        (["--model", str(tiny_scorer)], "has no chat template; take an instruct or chat model"),
        (["--model", str(tmp_path / "gone")], "expected a model with a tokenizer"),
        (["--model", str(tiny_scorer), "--tools"], "add --unit episode"),
        (["--model", str(tiny_scorer), "--unit", "episode", "--format", "prompt_completion"], "assistant_only_loss"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(demonstrations), "--output_dir", str(tmp_path / "rows"), *arguments])
        assert ended.value.code == 2
        assert expected in capsys.readouterr().err
        assert not (tmp_path / "rows").exists()


@pytest.mark.slow
def test_sft_trainer_takes_the_rows_as_they_are(
    demonstrations: Path, tiny_language_model: Path, tmp_path: Path
) -> None:
    """A step of TRL's trainer on each form; of a completion every token counts, and none of its prompt."""
    from trl import SFTConfig, SFTTrainer

    for form in ("prompt_completion", "messages"):
        rows = export(demonstrations, "--model", tiny_language_model, "--format", form, "--max_prompt_tokens", 1000,
                      "--output_dir", tmp_path / form)  # fmt: skip
        config = SFTConfig(str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=4, max_length=None,
                           use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1)  # fmt: skip
        trainer = SFTTrainer(str(tiny_language_model), args=config, train_dataset=rows)
        [log, *_] = (trainer.train() and trainer.state.log_history) or []
        assert np.isfinite(log["loss"])
        assert len(trainer.train_dataset) == len(rows)
        tokenizer = trainer.processing_class
        for row, prepared in zip(rows, trainer.train_dataset, strict=True):
            learned = [token for token in prepared["labels"] if token != -100]
            if form == "messages":
                assert len(learned) == len(prepared["input_ids"])
            else:
                assert tokenizer.decode(learned).strip() == row["completion"][0]["content"] + "<|im_end|>"


@pytest.mark.slow
def test_dpo_trainer_takes_the_rows_as_they_are(pairs: Path, tiny_language_model: Path, tmp_path: Path) -> None:
    """Before its first step the policy is its reference, so that the loss is log 2."""
    from trl import DPOConfig, DPOTrainer

    rows = export(pairs, "--model", tiny_language_model, "--format", "preference", "--max_prompt_tokens", 1000,
                  "--output_dir", tmp_path / "rows")  # fmt: skip
    config = DPOConfig(str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=4, max_length=None,
                       use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1)  # fmt: skip
    trainer = DPOTrainer(str(tiny_language_model), args=config, train_dataset=rows)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert len(trainer.train_dataset) == len(rows)


def travelled(rows: Any, trip: str, folder: Path) -> Any:
    """Exported rows after a way through `datasets`; in the order of the rows."""
    if trip == "parquet":
        rows.to_parquet(str(folder / "rows.parquet"))
        return Dataset.from_parquet(str(folder / "rows.parquet"), cache_dir=str(folder / "cache"))
    if trip == "JSON lines":
        rows.to_json(str(folder / "rows.jsonl"))
        return Dataset.from_json(str(folder / "rows.jsonl"), features=rows.features, cache_dir=str(folder / "cache"))
    if trip == "streaming":
        files = str(folder / "rows" / "data-*.arrow")
        return load_dataset("arrow", data_files=files, split="train", streaming=True)
    if trip == "dictionary":
        DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(folder / "splits"))
        return load_from_disk(str(folder / "splits"))["train"]
    if trip == "shuffled":
        order = np.argsort(np.random.default_rng(0).permutation(len(rows)))
        shuffled = rows.select(np.random.default_rng(0).permutation(len(rows)).tolist())
        return shuffled.select(order.tolist())
    halves = [rows.select(range(len(rows) // 2)), rows.select(range(len(rows) // 2, len(rows)))]
    return concatenate_datasets(halves)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["prompt_completion", "messages", "preference", "tools"])
def test_exported_rows_survive_every_trip(
    form: str, demonstrations: Path, pairs: Path, tiny_language_model: Path, tmp_path: Path
) -> None:
    tools = ["--unit", "episode", "--tools", "--chat_template", "qwen2_5"]
    said = tools if form == "tools" else ["--format", form]
    source = pairs if form == "preference" else demonstrations
    most = ["--max_prompt_tokens", 1000, "--max_tokens", 10000]
    rows = export(source, "--model", tiny_language_model, *said, *most, "--output_dir", tmp_path / "rows")
    assert len(rows) > 2
    for trip in ("parquet", "JSON lines", "streaming", "dictionary", "shuffled", "joined"):
        assert list(travelled(rows, trip, tmp_path)) == list(rows), trip

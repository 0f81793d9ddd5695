"""Cards are true for every method, foreign text stays text, and results take the place of "Not evaluated"."""

import dataclasses
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from test_hub import PAIRS, RESULT

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from recrl.errors import CheckpointError
from recrl.publishing.cards import SCORER_METHODS, dataset_card, model_card, write_results
from recrl.publishing.markdown import code_span, escaped
from recrl.rollouts.config import TrajectoryConfig
from recrl.runs import README_MARK
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
from recrl.training.environment import EnvironmentArguments
from recrl.training.imitation import ImitationArguments, ImitationConfig
from recrl.training.judgement import JudgementArguments, JudgementConfig
from recrl.training.ppo.config import PPOConfig
from recrl.training.search import QueryArguments, QueryConfig
from recrl.training.self_improvement import SelfImprovementArguments
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments

GOALS = {"protocol": "embedded-unseen", "catalog_sha256": "c" * 64, "goals_sha256": "g" * 64, "num_processes": 1}
START = "user/start"


def fields_of(config: Any) -> dict[str, Any]:
    """A configuration as ``config_resolved.json`` holds it."""
    fields = config.to_dict() if hasattr(config, "to_dict") else dataclasses.asdict(config)
    return json.loads(json.dumps(fields, default=str))


def write_run(folder: Path, metrics: dict[str, Any], **configs: Any) -> Path:
    """A complete run without weights, which no card reads."""
    folder.mkdir(exist_ok=True)
    config = {"base_model": "tiny", "action_features": ["words_named"], "state_form": "compact"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "training_metrics.json").write_text(json.dumps(GOALS | metrics))
    (folder / "config_resolved.json").write_text(
        json.dumps({name: fields_of(config) for name, config in configs.items()})
    )
    return folder


def imitation_run(folder: Path, **arguments: Any) -> Path:
    metrics = {"method": "imitation", "num_demonstrations": 100, "num_decisions": 340, "global_step": 129}
    return write_run(
        folder, metrics, arguments=ImitationArguments("data", **arguments), tuning=TuningArguments(),
        trainer=ImitationConfig(output_dir=str(folder), use_cpu=True),
    )  # fmt: skip


def dpo_run(folder: Path, **tuning: Any) -> Path:
    from recrl.preferences.data import preferences_to_dataset

    write_run(
        folder,
        {"method": "dpo", "num_pairs": 321, "global_step": 40},
        arguments=DPOArguments(START, trajectories="data"),
        tuning=TuningArguments(**tuning),
        trainer=ChoiceDPOConfig(output_dir=str(folder), use_cpu=True, loss_type=["sigmoid", "sft"]),
    )
    preferences_to_dataset(PAIRS).save_to_disk(str(folder / "preferences"))
    return folder


def self_improvement_run(folder: Path, best_round: int = 2) -> Path:
    metrics = {
        "method": "self-improvement", "num_rounds": 3, "num_episodes": 600,
        "num_episodes_played": {"training": 600, "dev": 560}, "num_pairs": 77, "global_step": 15,
        "best_round": best_round, "rounds": [],
    }  # fmt: skip
    return write_run(
        folder, metrics, arguments=SelfImprovementArguments(START), environment=EnvironmentArguments(),
        tuning=TuningArguments(), trainer=ChoiceDPOConfig(output_dir=str(folder), use_cpu=True),
    )  # fmt: skip


def ppo_run(folder: Path, best_update: int = 15, arguments: dict[str, Any] | None = None, **changed: Any) -> Path:
    metrics = {
        "method": "ppo", "num_updates": 20, "num_environment_steps": 10240, "global_step": 20,
        "best_update": best_update, "num_decisions": 340, "num_episodes_played": {"training": 2000, "dev": 700},
    }  # fmt: skip
    return write_run(
        folder, metrics, arguments=PPOArguments(START, **(arguments or {})), environment=EnvironmentArguments(),
        tuning=TuningArguments(), trainer=PPOConfig(output_dir=str(folder), use_cpu=True, **changed),
    )  # fmt: skip


def judgement_run(folder: Path, **arguments: Any) -> Path:
    share = {"title": 60.0, "options": 78.25}
    row = {"from": 0.9, "to": 0.95, "num_products": 12, "predicted": 0.925, "perfect": 0.917}
    metrics = {
        "method": "judgement", "num_goals": 986, "num_held_out_goals": 140, "num_products": 208, "num_examples": 5076,
        "num_labels": 99000, "global_step": 1200, "held_out_reliability": [row, row],
        "held_out_log_loss": {"before_calibration": 0.0912, "after_calibration": 0.0899},
        "held_out_top_choice": {"10": share, "50": share},
    }  # fmt: skip
    folder = write_run(
        folder, metrics, arguments=JudgementArguments(**arguments),
        trainer=JudgementConfig(output_dir=str(folder), use_cpu=True),
    )  # fmt: skip
    config = json.loads((folder / "config.json").read_text()) | {"match_features": ["title_words", "rank"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def query_run(folder: Path, **arguments: Any) -> Path:
    metrics = {
        "method": "search", "num_instructions": 9, "num_query_pairs": 12, "num_copied_instructions": 9,
        "num_held_out_instructions": 1, "global_step": 7, "held_out_loss": 1.25,
    }  # fmt: skip
    return write_run(
        folder, metrics, arguments=QueryArguments("pairs.json", **arguments),
        trainer=QueryConfig(output_dir=str(folder), use_cpu=True),
    )  # fmt: skip


TUNING = ("freeze_embeddings", "num_frozen_layers", "use_peft", "seed")
TRAINER = ("learning_rate", "head_learning_rate", "lr_scheduler_type", "num_train_epochs", "warmup_steps",
           "weight_decay", "per_device_train_batch_size", "gradient_accumulation_steps")  # fmt: skip
DPO = ("beta", "loss_type", "min_reward", "weight_by_margin")
PPO = ("num_updates", "num_envs", "num_steps", "num_passes", "num_minibatches", "gamma", "gae_lambda", "clip_range",
       "value_clip_range", "value_coef", "value_warmup", "entropy_coef", "kl_coef", "target_kl", "imitation_coef",
       "normalize_advantages", "max_grad_norm", "eval_every")  # fmt: skip
ROUNDS = ("rounds", "best round", "rollouts_per_goal", "temperature", "loop_guard")
PLAYING = ("goal_draw", "max_episode_steps", "dev goals")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")


def named(card: str) -> set[str]:
    """What the card gives a value to: the names in front of the colons of its list."""
    return {line.removeprefix("- ").split(":")[0] for line in card.splitlines() if line.startswith("- ")}


@pytest.mark.parametrize(
    ("make", "there", "absent"),
    [
        (
            imitation_run,
            ("demonstrations", "decisions", "linear_probe", *TRAINER, *TUNING, "optimiser steps"),
            ("start", *DPO, *PPO, *ROUNDS, *PLAYING, *LORA),
        ),
        (
            dpo_run,
            ("start", "pairs", "goals with pairs", *DPO, *TRAINER, *TUNING, "optimiser steps"),
            ("demonstrations", "linear_probe", *PPO, *ROUNDS, *PLAYING, *LORA),
        ),
        (
            self_improvement_run,
            ("start", "episodes played", "pairs", *ROUNDS, *PLAYING, *DPO, *TRAINER, *TUNING),
            ("demonstrations", "linear_probe", "optimiser steps", *PPO, *LORA),
        ),
        (
            ppo_run,
            ("start", "best update", "environment steps in training", "episodes played", *PPO, *PLAYING, *TUNING,
             "learning_rate",
             "head_learning_rate", "lr_scheduler_type"),
            ("demonstrations", "linear_probe", "optimiser steps", "pairs", "demonstration_batch_size",
             "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "warmup_steps",
             "weight_decay", *DPO, *ROUNDS, *LORA),
        ),
        (
            judgement_run,
            ("goals", "examples", "what it reads", "goals_per_product", "variants", "held_out_share", "listwise",
             "learning_rate", "num_train_epochs", "optimiser steps", "seed"),
            ("start", "demonstrations", "head_learning_rate", *DPO, *PPO, *ROUNDS, *PLAYING, *LORA),
        ),
        (
            query_run,
            ("num_copy_epochs", "num_train_epochs", "learning_rate", "num_decoder_layers", "freeze_encoder"),
            ("start", "head_learning_rate", *DPO, *PPO, *ROUNDS, *PLAYING, *LORA),
        ),
    ],
)  # fmt: skip
def test_a_card_names_what_its_method_has_and_nothing_else(
    make: Any, there: tuple[str, ...], absent: tuple[str, ...], tmp_path: Path
) -> None:
    names = named(model_card(make(tmp_path / "run"), repo_id="user/agent"))
    assert set(there) <= names
    assert not names & set(absent)
    assert {"base model", "processes"} <= names


def test_every_method_has_a_block() -> None:
    template = (files("recrl.publishing") / "templates" / "scorer_card.md").read_text(encoding="utf-8")
    assert all(f'if method == "{method}"' in template for method in SCORER_METHODS)


def test_imitation_says_where_it_began(tmp_path: Path) -> None:
    card = model_card(imitation_run(tmp_path / "run", start_from="/home/someone/runs/start"), repo_id="user/agent")
    assert "\n- start: the scorer `start`\n- demonstrations: 100\n- decisions: 340\n- linear_probe: True\n" in card


def test_a_judgement_says_what_it_learned_from_and_how_reliable_it_is(tmp_path: Path) -> None:
    card = model_card(judgement_run(tmp_path / "run"), repo_id="user/judge")
    assert "\n- goals: 986 of 208 products, of which 140 goals were held out\n" in card
    assert "\n- examples: 5076 searches with 99000 labelled products\n" in card
    assert "\n- wordings: template, reworded\n- goals_per_product: 12\n- made_goals_per_product: 0\n" in card
    assert "start: the scorer" not in card
    assert "\n| products | title | options |\n|---|---|---|\n| first 10 | 60.0 | 78.2 |\n| first 50 |" in card
    assert "\n| 0.9 to 0.95 | 12 | 92.5 | 91.7 |\n" in card
    assert "0.0912, calibrated 0.0899" in card
    assert "\n- what it reads: title_words, rank\n" in card


def test_dpo_shows_lora_where_it_was_used(tmp_path: Path) -> None:
    card = model_card(dpo_run(tmp_path / "run", use_peft=True), repo_id="user/agent")
    assert set(LORA) <= named(card)
    assert "\n- lora_target_modules: all-linear\n" in card
    assert "\n- loss_type: sigmoid, sft\n" in card


def test_self_improvement_says_what_was_kept(tmp_path: Path) -> None:
    card = model_card(self_improvement_run(tmp_path / "run"), repo_id="user/agent")
    for line in ("rounds: 3", "episodes played: 600 in training, 560 on dev goals", "pairs: 77, made as contrasts",
                 "best round: 2, by its score on dev goals", "optimiser steps of all rounds: 15"):  # fmt: skip
        assert f"\n- {line}\n" in card
    assert "unchanged" not in card
    card = model_card(self_improvement_run(tmp_path / "run", best_round=0), repo_id="user/agent")
    assert "best round: none. The start was kept unchanged, because no round beat it on dev goals." in card


def test_ppo_says_what_was_kept_and_from_where(tmp_path: Path) -> None:
    card = model_card(ppo_run(tmp_path / "run"), repo_id="user/agent")
    for line in ("start: the scorer `user/start`, also the reference of the KL penalty", "num_envs: 16",
                 "num_steps: 32", "clip_range: 0.2", "kl_coef: 0.1", "gamma: 1.0", "gae_lambda: 0.95",
                 "best update: 15 of 20, by its score on dev goals"):  # fmt: skip
        assert f"\n- {line}\n" in card
    assert "unchanged" not in card
    card = model_card(ppo_run(tmp_path / "run", best_update=0), repo_id="user/agent")
    assert "best update: none. The start was kept unchanged, because no update beat it on dev goals." in card
    card = model_card(ppo_run(tmp_path / "run", best_update=20, eval_every=0, kl_coef=0.0), repo_id="user/agent")
    assert "\n- start: the scorer `user/start`\n" in card
    assert "\n- dev goals: all of the split, greedy decoding\n" in card
    assert "\n- kept update: 20, the last; nothing was played on dev goals\n" in card
    taught = ppo_run(tmp_path / "run", arguments={"demonstrations": "data"}, imitation_coef=0.5)
    card = model_card(taught, repo_id="user/agent")
    assert {"demonstrated decisions of the imitation term", "demonstration_batch_size"} <= named(card)


def test_a_query_model_names_its_phases_and_its_report(tmp_path: Path) -> None:
    folder = query_run(tmp_path / "run")
    card = model_card(folder, repo_id="user/queries")
    assert "after a phase of copying content words." in card
    assert "Not evaluated" in card
    assert "`recrl evaluate --policy P --query_model user/queries`" in card
    assert "copying" not in model_card(query_run(tmp_path / "plain", num_copy_epochs=0), repo_id="user/queries")
    recall = {"recall@10": 40.0, "recall@10_ci": [30.0, 50.0]}
    report = {
        "protocol": "webshop-1k", "split": "test",
        "typed": {"rows": {"query model": {"rank_1": 10.0, "within_k": 31.0}}},
        "retrieval": {"num_goals": 500, "num_products": 146,
                      "rows": {"first query": recall, "plain instruction": recall | {"recall@10": 45.0}}},
    }  # fmt: skip
    write_results(folder, repo_id="user/queries", results=[report])
    assert not (folder / "README.md").read_text().count("Not evaluated")
    row = "| webshop-1k, test | 10.0, 31.0 | 500 (146) | 40.0 [30.0, 50.0] | 45.0 [30.0, 50.0] |"
    assert row in model_card(folder, repo_id="user/queries", results=[report])
    assert row in (folder / "README.md").read_text()


def test_a_run_that_no_card_describes_is_refused(tmp_path: Path) -> None:
    folder = imitation_run(tmp_path / "run")
    metrics = json.loads((folder / "training_metrics.json").read_text())
    (folder / "training_metrics.json").write_text(json.dumps(metrics | {"method": "guessing"}))
    with pytest.raises(CheckpointError, match="trained by 'guessing', which no card describes; expected one of imit"):
        model_card(folder, repo_id="user/agent")
    del metrics["num_decisions"]
    (folder / "training_metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(CheckpointError, match=r"no card can be made of .*: 'num_decisions' is missing; run the recipe"):
        model_card(folder, repo_id="user/agent")


def test_a_result_is_a_row(tmp_path: Path) -> None:
    card = model_card(imitation_run(tmp_path / "run"), repo_id="user/agent", results=[RESULT])
    assert "| embedded, test | 500 (146) | greedy, 15 | 61.2 [55.0, 67.0] | 83.2 [80.0, 86.0] | may have been" in card


def test_results_take_the_place_of_not_evaluated_and_nothing_else_changes(tmp_path: Path) -> None:
    folder = imitation_run(tmp_path / "run")
    path = folder / "README.md"
    plain = model_card(folder, repo_id="user/agent")
    path.write_text(plain.replace("language: en", "language: en\nfunny: true") + "\n## Thanks\n\nTo <b>all</b>.\n")
    write_results(folder, repo_id="user/other", results=[RESULT])
    card = path.read_text()
    assert "Not evaluated" not in card
    assert "61.2 [55.0, 67.0]" in card
    assert card.endswith("\n## Thanks\n\nTo <b>all</b>.\n")
    assert "user/other" not in card
    data = ModelCard(card).data.to_dict()
    assert data["funny"] is True
    assert data["model-index"][0]["name"] == "agent"
    write_results(folder, repo_id="user/agent", results=[replace(RESULT, decoding="sample")])
    again = path.read_text()
    assert "greedy" not in again
    assert again.count("sample") == 1 + 2  # in the table, and of both numbers in the header
    write_results(folder, repo_id="user/agent", results=[])
    assert ModelCard(path.read_text()).text == plain.split("\n---\n", 1)[1] + "\n## Thanks\n\nTo <b>all</b>.\n"


def test_results_find_a_place_in_any_card(tmp_path: Path) -> None:
    folder = imitation_run(tmp_path / "run")
    write_results(folder, repo_id="user/agent", results=[RESULT])
    path, card = folder / "README.md", model_card(folder, repo_id="user/agent", results=[RESULT])
    assert path.read_text() == card
    path.write_text(f"{README_MARK}\n# Training run\n")
    write_results(folder, repo_id="user/agent", results=[RESULT])
    assert path.read_text() == card
    path.write_text("# Mine\n\nBy hand.\n")
    write_results(folder, repo_id="user/agent", results=[RESULT])
    assert "# Mine\n\nBy hand.\n\n## Results\n\n<!-- results -->\n| protocol" in path.read_text()
    path.write_text("---\n[\n---\n")
    with pytest.raises(CheckpointError, match=r"README\.md cannot be read as a card"):
        write_results(folder, repo_id="user/agent", results=[RESULT])


NASTY = (
    "<script>alert(1)</script>", "a | b", "*bold* __init__ _x_ ~~no~~", "[link](javascript:x) ![i](y)", "`code` ``",
    "one\n\n# two\n- three\n---\n", "&lt; $x$ \\\\(y\\\\)", "{{ 7 * 7 }} {% raw %}", "<!-- end of results -->",
    "http://example.org", "```python\nprint(1)\n```",
)  # fmt: skip


def structure(card: str) -> list[str]:
    """The kinds of everything in a card, without its texts."""
    kinds = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(card.split("\n---\n", 1)[1]):
        kinds += [token.type, *(inner.type for inner in token.children or ())]
    return kinds


def nested(value: Any, text: str) -> Any:
    """The value with every text in it replaced."""
    if isinstance(value, dict):
        return {name: nested(inner, text) for name, inner in value.items()}
    if isinstance(value, list):
        return [nested(inner, text) for inner in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", NASTY)
def test_foreign_text_changes_no_cards_structure(text: str, tmp_path: Path) -> None:
    for make in (judgement_run, imitation_run, dpo_run, self_improvement_run, ppo_run, query_run):
        folder = make(tmp_path / make.__name__)
        results = [] if make is query_run else [RESULT]
        plain = structure(model_card(folder, repo_id="user/agent", results=results))
        for name in ("config.json", "training_metrics.json", "config_resolved.json"):
            content = json.loads((folder / name).read_text())
            method = content.get("method")
            content = nested(content, text) | ({"method": method} if method else {})
            (folder / name).write_text(json.dumps(content))
        foreign = [nested(result, text) for result in results]
        card = model_card(folder, repo_id=text, results=foreign)
        found = structure(card)
        assert found == plain, make.__name__
        assert ModelCard(card).data.language == "en"
    data = tmp_path / "data"
    episodes_to_dataset([colour_episode(0)]).save_to_disk(str(data))
    config = TrajectoryConfig(policy="rule", output_dir="data")
    summary = {
        "config": dataclasses.asdict(config), "protocol": "custom", "policy": "rule", "num_episodes": 9,
        "num_trajectories": 1, "success_rate": 33.3, "score": 50.0, "catalog_sha256": "c", "goals_sha256": "g",
    }  # fmt: skip
    (data / "trajectories.json").write_text(json.dumps(summary))
    plain = structure(dataset_card(data, repo_id="user/data"))
    (data / "trajectories.json").write_text(json.dumps(nested(summary, text)))
    assert structure(dataset_card(data, repo_id=text)) == plain


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("webshop-1k+embedded-unseen", "sentence-transformers/all-MiniLM-L6-v2", "head_learning_rate", "1e-05"):
        assert escaped(name) == name
    assert escaped({"a|b": ["<i>", 1, None]}) == {"a&#124;b": ["&#60;i&#62;", 1, None]}
    assert code_span("a ` b") == "``a ` b``"
    assert code_span("`a`") == "`` `a` ``"


def test_the_templates_are_part_of_the_package() -> None:
    folder = files("recrl.publishing") / "templates"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "scorer_card.md", "language_card.md", "query_model_card.md", "trajectories_card.md", "preferences_card.md",
    }  # fmt: skip
    assert all((folder / name).read_text(encoding="utf-8").startswith("---\n{{ card_data }}\n---\n") for name in names)

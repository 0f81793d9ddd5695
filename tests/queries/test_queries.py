"""Proposed queries: valid, distinct, the same in any company; in the environment, the loops and the commands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recrl.cli import main
from recrl.errors import CheckpointError, ConfigError
from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.measure import evaluate
from recrl.evaluation.tables import markdown_table
from recrl.policies.loading import load_policy
from recrl.queries.proposing import DEFAULT_NUM_QUERIES, QueryModel, load_queries, respell, words_of
from recrl.queries.seq2seq import load_seq2seq, new_query_model
from recrl.rollouts.collecting import TrajectoryConfig, generate_trajectories
from recrl.rollouts.rollout import rollout
from recrl.training.environment import MixedEnvironmentArguments
from recrl.training.ppo.loop import PPOConfig, train_ppo
from recrl.training.runs import training_metrics
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments
from recrl.webshop.actions import SEARCH, Action, parse
from recrl.webshop.catalog import load_catalog
from recrl.webshop.env import WebShopEnv

TEXTS = ("i need a red cotton shirt in size large", "blue bottle", "i want white shoes for men, size 7.5")


@pytest.fixture(scope="module")
def query_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A query model that knows nothing."""
    folder = tmp_path_factory.mktemp("queries") / "tiny_queries"
    model, tokenizer = new_query_model(str(tiny_encoder), texts=TEXTS, num_decoder_layers=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_queries_are_valid_distinct_and_ordered(query_folder: Path) -> None:
    model = QueryModel.from_pretrained(query_folder, num_queries=4)
    for text, proposals in zip(TEXTS, model.propose(TEXTS), strict=True):
        queries = [proposal.query for proposal in proposals]
        assert len(queries) == len({words_of(query) for query in queries}) == 4
        assert words_of(text) not in map(words_of, queries)
        for query in queries:
            assert parse(f"search[{query}]") == Action(SEARCH, query)
            assert query == query.lower()
            assert query.strip()
        scores = [proposal.log_prob for proposal in proposals]
        assert scores == sorted(scores, reverse=True)
        assert all(score <= 0 for score in scores)
        assert list(model(text)) == queries


def test_company_and_history_change_nothing(query_folder: Path) -> None:
    together = QueryModel.from_pretrained(query_folder).propose(TEXTS, 3)
    again = QueryModel.from_pretrained(query_folder)
    assert [again.propose([text], 3)[0] for text in reversed(TEXTS)] == together[::-1]
    assert again.sha256 == QueryModel.from_pretrained(query_folder).sha256


def test_no_instruction_is_decoded_twice(query_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = QueryModel.from_pretrained(query_folder)
    first = model.propose([TEXTS[0], TEXTS[0]])
    monkeypatch.setattr(QueryModel, "_decode", lambda *arguments: pytest.fail("decoded again"))
    assert model.propose([TEXTS[0]]) == first[:1] == first[1:]


def test_a_saved_model_is_the_one_that_was_made(tiny_encoder: Path, query_folder: Path) -> None:
    made, _ = new_query_model(str(tiny_encoder), texts=TEXTS, num_decoder_layers=1)
    loaded, _ = load_seq2seq(query_folder)
    assert made.state_dict().keys() == loaded.state_dict().keys()
    for (name, one), two in zip(made.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_words_are_spelled_as_the_instruction_spells_them() -> None:
    assert respell("shoes , size 7 . 5", "white shoes, size 7.5") == "shoes, size 7.5"
    assert respell("t - shirt 3 / 4 inch", "a 3/4 inch t-shirt") == "t-shirt 3/4 inch"
    assert respell("size 8 . 5", "size 7.5") == "size 8 . 5"


def test_what_cannot_be_a_query_model_is_refused(tmp_path: Path, query_folder: Path, tiny_encoder: Path) -> None:
    with pytest.raises(CheckpointError, match="has no model"):
        load_queries(str(tmp_path))
    with pytest.raises(CheckpointError, match="cannot be loaded as a sequence-to-sequence model"):
        load_queries(str(tiny_encoder))
    with pytest.raises(ConfigError, match="num_queries=0, expected at least 1"):
        load_queries(str(query_folder), 0)
    with pytest.raises(ConfigError, match="num_decoder_layers=9, expected 1 to the encoder's 2"):
        new_query_model(str(tiny_encoder), texts=TEXTS, num_decoder_layers=9)
    assert load_queries(None) is None


def colours(instruction: str) -> Sequence[str]:
    """The plain instruction once more in capitals, and two queries."""
    return instruction.upper(), "red shirt", "Blue shirt", "red shirt"


def test_the_search_page_offers_them_after_the_instruction() -> None:
    env, plain = WebShopEnv(split="all", queries=colours), WebShopEnv(split="all")
    observation, info = env.reset(options={"goal_index": 3})
    expected, usual = plain.reset(options={"goal_index": 3})
    assert observation == expected
    assert info["valid_actions"] == (*usual["valid_actions"], "search[red shirt]", "search[Blue shirt]")
    assert info | {"valid_actions": ()} == usual | {"valid_actions": ()}
    for action in info["valid_actions"]:
        env.reset(options={"goal_index": 3})
        _, _, _, _, after = env.step(action)
        assert "invalid_action" not in after
        assert "click[back to search]" in after["valid_actions"]
    assert env.step("click[back to search]")[4]["valid_actions"] == info["valid_actions"]


@pytest.mark.parametrize("bad", ["", " ", "a [b]", "a\nb", 3])
def test_a_query_that_is_none_is_refused(bad: Any) -> None:
    env = WebShopEnv(split="all", queries=lambda instruction: ("red shirt", bad))
    with pytest.raises(ConfigError, match="expected words without brackets or line breaks"):
        env.reset(options={"goal_index": 3})


def test_the_demonstrator_takes_the_query_that_finds_the_goal() -> None:
    catalog = load_catalog(None)
    goal = catalog.goals[3]
    queries = {goal.instruction_without_price: ("zzzz", catalog.product(goal.asin).title)}
    [episode] = rollout(load_policy("demonstrator"), catalog, [3], seed=0, queries=queries.__getitem__)
    assert len(episode.steps[0].valid_actions) == 3
    ranks = [
        hits.index(catalog.position(goal.asin)) if catalog.position(goal.asin) in hits else 99
        for hits in (catalog.search(action[7:-1].lower()) for action in episode.steps[0].valid_actions)
    ]
    assert episode.steps[0].action_index == int(np.argmin(ranks))


def test_results_name_the_query_model(query_folder: Path) -> None:
    catalog, policy = load_catalog(None), load_policy("random")
    queries = load_queries(str(query_folder), 3)
    result = evaluate(policy, catalog, num_episodes=3, queries=queries)
    plain = evaluate(policy, catalog, num_episodes=3)
    assert queries is not None
    assert (result.query_model, result.num_queries) == ("tiny_queries", 3)
    assert result.query_model_sha256 == queries.sha256
    assert set(result.to_json()) - set(plain.to_json()) == {"query_model", "num_queries", "query_model_sha256"}
    assert "proposed queries: 3 of tiny_queries or none." in markdown_table({"one": result, "two": plain})
    assert "queries" not in markdown_table({"two": plain})


def test_a_collection_goes_on_with_the_same_query_model_only(query_folder: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"policy": "random", "num_trajectories": 2, "min_reward": 0.0, "max_steps": 4}
    with_queries = fields | {"query_model": str(query_folder), "num_queries": 2}
    summary = generate_trajectories(TrajectoryConfig(output_dir=str(tmp_path / "a"), **with_queries))
    assert summary["query_model"] == "tiny_queries"
    assert summary["config"]["num_queries"] == 2
    for other in ({"num_queries": 3}, {"query_model": None, "num_queries": DEFAULT_NUM_QUERIES}):
        with pytest.raises(ConfigError, match="holds a complete collection with"):
            generate_trajectories(TrajectoryConfig(output_dir=str(tmp_path / "a"), **(with_queries | other)))
    summary = generate_trajectories(TrajectoryConfig(output_dir=str(tmp_path / "b"), **fields))
    assert not [name for name in (*summary, *summary["config"]) if "quer" in name]
    with pytest.raises(ConfigError, match="holds a complete collection with query_model=None"):
        generate_trajectories(TrajectoryConfig(output_dir=str(tmp_path / "b"), **with_queries))


def test_a_comparison_goes_on_with_the_same_query_model_only(query_folder: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "policies": ("rule", "random"), "num_episodes": 4, "runs": 1, "max_steps": 4, "output_dir": str(tmp_path / "c"),
        "query_model": str(query_folder), "num_queries": 2,
    }  # fmt: skip
    report = compare(ComparisonConfig(**fields))
    assert (report.query_model, report.num_queries) == ("tiny_queries", 2)
    for other in ({"num_queries": 3}, {"query_model": None, "num_queries": DEFAULT_NUM_QUERIES}):
        with pytest.raises(ConfigError, match="holds a complete comparison with"):
            compare(ComparisonConfig(**(fields | other)))


def test_ppo_learns_among_proposed_queries(query_folder: Path, tiny_scorer: Path, tmp_path: Path) -> None:
    config = PPOConfig(
        output_dir=str(tmp_path / "run"), num_updates=1, num_envs=2, num_steps=2, num_minibatches=1, num_passes=1,
        eval_every=0, use_cpu=True,
    )  # fmt: skip
    environment = MixedEnvironmentArguments(query_model=str(query_folder), num_queries=2, max_episode_steps=2)
    train_ppo(PPOArguments(str(tiny_scorer)), environment, TuningArguments(), config)
    metrics = training_metrics(tmp_path / "run")
    assert (metrics["query_model"], metrics["num_queries"]) == ("tiny_queries", 2)


def test_the_commands_take_a_query_model(
    query_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    arguments = ["evaluate", "--policy", "rule", "--num_episodes", "2", "--query_model"]
    main([*arguments, str(query_folder), "--num_queries", "2", "--output_json", str(result)])
    assert json.loads(result.read_text())["num_queries"] == 2
    assert "2 of tiny_queries" in " ".join(capsys.readouterr().out.split())
    for wrong in ([*arguments, str(tmp_path)], [*arguments, str(query_folder), "--num_queries", "0"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1

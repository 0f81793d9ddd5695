"""`recrl show`: episodes page by page, from results, datasets and policies; and what is said of bad input."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from recrl.cli import main
from recrl.errors import DatasetError
from recrl.evaluation.results import load_result, save_result
from recrl.policies.loading import load_policy
from recrl.reports.finding import find_run
from recrl.reports.played import explained, play_again
from recrl.rollouts.rollout import rollout
from recrl.webshop.receipts import make_receipt
from reports_shop import Shop, played


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    main(["show", *map(str, arguments)])
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_info:
        main(list(map(str, arguments)))
    said = capsys.readouterr()
    assert (exit_info.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    return said.err


def test_a_result_played_again_is_what_was_played(shop: Shop) -> None:
    result = load_result(shop.result("random"))
    goals = [record.goal_index for record in result.episodes]
    first = list(rollout(load_policy("random"), shop.catalog, goals, seed=0, greedy=True))
    again = list(play_again(result, shop.catalog))
    known = [replace(one, seed=0, steps=tuple(replace(s, log_prob=0.0) for s in one.steps)) for one in first]
    assert again == known


def test_an_episode_is_shown_page_by_page(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    result, goals = load_result(shop.result("random")), shop.catalog.goals
    goal = next(record for record in result.episodes if "owned" in goals[record.goal_index].instruction)
    text = shown(capsys, shop.result("random"), "--catalog", shop.folder, "--goal", goal.goal_index)
    assert len(re.findall(r"^step \d+ of", text, re.MULTILINE)) == goal.num_steps
    assert re.search(r"> +\d+\.\d% [#.]{20} ", text)  # what was done, with its probability
    assert ("share" in text) == (not goal.truncated)
    assert "\\u001b[2J" in text  # a terminal obeys nothing of a title
    assert "\x1b" not in text + shown(capsys, shop.run, "--policy", "random", "--catalog", shop.folder, "--failures")


def test_the_purchase_table_explains_the_reward(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    result = load_result(shop.result("reader"))
    goal = next(record for record in result.episodes if record.bought_asin is not None)
    text = shown(capsys, shop.run, "--policy", "reader", "--catalog", shop.folder, "--goal", goal.goal_index)
    assert f"bought {goal.bought_asin}: reward {goal.reward:.3f}" in text
    for part in ("the right kind of product", "asked for", "got", "share"):
        assert part in text


def test_receipts_add_up_to_the_reward(shop: Shop) -> None:
    for episode in play_again(load_result(shop.result("reader")), shop.catalog):
        one = explained(episode, shop.catalog)
        assert (one.receipt is None) == episode.truncated
        assert (one.failure is None) == episode.success
        if one.receipt is not None:
            kind, *parts = one.receipt.lines
            total = sum(line.share * line.weight for line in parts if line.weight is not None)
            assert kind.share * total == pytest.approx(episode.reward)
            assert one.receipt.reward == episode.reward <= one.receipt.best_reward
            assert episode.bought_asin is not None
            same = make_receipt(
                shop.catalog, shop.catalog.goals[episode.goal_index], episode.bought_asin, episode.bought_options
            )
            assert same == one.receipt


def test_a_list_names_the_goals_and_the_next_command(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, shop.run, "--catalog", shop.folder)
    assert "48 episodes" in text
    assert "Other policies here: " in text
    assert "--failures all that failed" in " ".join(text.split())


def test_a_dataset_and_a_policy_are_shown(shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    collects = ["generate-trajectories", "--policy", "random", "--num_trajectories", "3", "--min_reward", "0.1"]
    main([*collects, "--catalog", str(shop.folder), "--output_dir", str(data)])
    listed = shown(capsys, data)  # the dataset's summary names its catalogue
    goal = re.search(r"--goal (\d+)", listed)
    assert goal is not None
    assert "bought " in shown(capsys, data, "--goal", goal[1])
    assert "played by matching" in shown(capsys, "matching", "--catalog", shop.folder, "--goal", 1)


def test_bad_input_is_said_in_one_line(shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result, catalog = shop.result("random"), ("--catalog", shop.folder)
    nothing = refused(capsys, "show", tmp_path / "none")
    assert "is no run's folder, result file or trajectory dataset, and no policy either" in nothing
    assert "no such folder; expected a checkpoint" in nothing
    assert "no such file or folder" in refused(capsys, "report", tmp_path / "none")
    assert "holds nothing that can be shown" in refused(capsys, "report", tmp_path)
    assert "name a goal for the policy 'matching' to play" in refused(capsys, "show", "matching")
    assert "holds no episode of goal 999" in refused(capsys, "show", result, *catalog, "--goal", 999)
    assert "give one of them" in refused(capsys, "show", result, "--goal", 1, "--failures")
    assert "name its catalogue with --catalog" in refused(capsys, "show", result, "--goal", 1)
    assert "holds no result of 'nobody'" in refused(capsys, "show", shop.run, *catalog, "--policy", "nobody")
    (tmp_path / "broken.json").write_text('{"episodes": [], "success_rate"')
    assert "cannot be read" in refused(capsys, "report", tmp_path / "broken.json")
    (tmp_path / "empty.json").write_text(json.dumps({"episodes": [], "success_rate": 1}))
    assert "it lacks" in refused(capsys, "report", tmp_path / "empty.json")


def test_a_file_that_was_changed_is_not_played_again(shop: Shop, tmp_path: Path) -> None:
    result = load_result(shop.result("random"))
    one = next(record for record in result.episodes if record.actions and len(record.actions) > 2)
    assert one.actions is not None
    changed = replace(one, actions=(*one.actions[:1], "click[nowhere]", *one.actions[2:]))
    with pytest.raises(DatasetError, match=r"its step 2, 'click\[nowhere\]', is not on its page"):
        list(play_again(result, shop.catalog, [changed]))
    unknown = ("actions", "bought_asin", "bought_options", "reward_parts", "probabilities", "values")
    old = replace(one, **dict.fromkeys(unknown))
    with pytest.raises(DatasetError, match="does not hold what was done"):
        list(play_again(result, shop.catalog, [old]))


def test_a_folder_is_read_without_what_is_damaged(shop: Shop, tmp_path: Path) -> None:
    save_result(tmp_path / "evaluation" / "good.json", played(shop.catalog, "rule"))
    (tmp_path / "evaluation" / "bad.json").write_text('{"episodes": [1], "success_rate": 3}')
    (tmp_path / "training_metrics.json").write_text("[1]")
    run = find_run(tmp_path)
    assert list(run.results) == ["good"]
    assert len(run.damaged) == 2


def test_evaluate_ends_with_what_failed_and_how_to_see_it(
    shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ["--policy", "rule", "--catalog", str(shop.folder), "--split", "all", "--num_episodes", "8"]
    main(["evaluate", *flags])
    said = capsys.readouterr().out
    commands = re.findall(r"^  recrl (show rule --goal \d+ --catalog \S+)$", said, re.MULTILINE)
    assert commands
    for command in commands:
        assert "Why it failed: " in shown(capsys, *command.split()[1:])
    main(["evaluate", *flags, "--decoding", "sample"])
    assert "evaluate with --output_json FILE" in " ".join(capsys.readouterr().out.split())
    page = tmp_path / "page.html"
    main(["evaluate", *flags, "--report", str(page)])
    assert f"the report is {page}" in capsys.readouterr().out.replace("\n", "")
    assert "8 episodes, page by page" in page.read_text(encoding="utf-8")

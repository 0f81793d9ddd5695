"""Importing: what people did comes through as it was, and what does not fit is said."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from datasets import load_from_disk

from recrl.cli import main
from recrl.episodes.data import Episode, episode_to_row, episodes_to_dataset, load_episodes
from recrl.episodes.training_goals import training_goals
from recrl.errors import CatalogError, ConfigError, DatasetError
from recrl.importing.config import ImportConfig
from recrl.importing.trajectories import import_trajectories
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.screens import PageState
from small_catalog import item, options, plain_nouns, write_catalog

Page = dict[str, Any]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty hats with two colours and two sizes each, and goals that people wrote."""
    folder = tmp_path_factory.mktemp("import")
    items = [
        item(
            f"B0HAT{number:05d}", f"Hat{number} [2 Pack] of wool",
            customization_options=options(color=["red", "blue"], size=["S", "M"]),
        )
        for number in range(30)
    ]  # fmt: skip
    entries = {record["asin"]: {"attributes": ["wool"], "instruction_attributes": ["wool"]} for record in items}
    made = {asin: entry | {"instruction": f"i want {asin.lower()}"} for asin, entry in entries.items()}
    human = {
        asin: [entry | {"instruction": f"Please, a hat{number}, it's for 'me'.", "instruction_options": ["red"]}]
        for number, (asin, entry) in enumerate(entries.items())
    }
    raw = write_catalog(folder / "raw", items=items, attributes=made, human=human)
    return build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"})


@pytest.fixture(scope="module")
def catalog(shop: Path) -> Catalog:
    return load_catalog(shop, human_goals=True)


@pytest.fixture(scope="module")
def episodes(catalog: Catalog) -> list[Episode]:
    """What a wanderer did, up to its purchases."""
    played = rollout(load_policy("random"), catalog, [*range(30)], seed=0, split_by="product", max_steps=100)
    bought = [episode for episode in played if episode.terminated]
    assert len(bought) > 15
    return bought


def as_people(episode: Episode) -> Episode:
    """The episode as an import gives it: nobody knows with which probability people act."""
    steps = tuple(replace(step, log_prob=None, probabilities=()) for step in episode.steps)
    return replace(episode, policy="people", seed=0, steps=steps)


def pages_of(catalog: Catalog, episode: Episode) -> list[Page]:
    """What WebShop's server would have written down of an episode."""
    env = WebShopEnv(catalog, split="all", max_steps=1000)
    env.reset(options={"goal_index": episode.goal_index})
    goal = env.goal
    wish = {"asin": goal.asin, "instruction_text": goal.instruction, "attributes": list(goal.attributes)}
    pages = [_page(env, wish)]
    for step in episode.steps:
        _, reward, terminated, _, _ = env.step(step.action)
        pages.append(_page(env, wish) | ({"reward": reward} if terminated else {}))
    return pages


def _page(env: WebShopEnv, goal: dict[str, Any]) -> Page:
    state: PageState = env.screen.state
    words, base = list(state.keywords), "http://127.0.0.1:3000"
    product = {"asin": state.asin, "options": dict(state.options)}
    at = product | {"keywords": str(words), "page": str(state.page)}
    match state.kind:
        case "search":
            return {"page": "index", "url": f"{base}/1", "goal": goal}
        case "results":
            asins = [listed.asin for listed in env.page.listing]
            content: dict[str, Any] = {"keywords": words, "search_result_asins": asins, "page": state.page}
            return {"page": "search_results", "url": f"{base}/search_results/1", "goal": goal, "content": content}
        case "item":
            return {"page": "item_page", "url": f"{base}/item_page/1", "goal": goal, "content": at}
        case "sub":
            place = "/".join(quote(text, safe="") for text in (state.asin, str(words), str(state.page), state.sub_page))
            url = f"{base}/item_sub_page/1/{place}/%7B%7D"
            return {"page": "item_sub_page", "url": url, "goal": goal, "content": at}
    return {"page": "done", "url": f"{base}/done/1", "goal": goal, "content": product}


def write_sessions(folder: Path, sessions: Sequence[Iterable[Page]]) -> Path:
    folder.mkdir()
    for number, pages in enumerate(sessions):
        text = "".join(json.dumps(page) + "\n" for page in pages)
        (folder / f"{number:03d}.jsonl").write_text(text, encoding="utf-8")
    return folder


def demonstration(episode: Episode, *, with_actions: bool = True) -> dict[str, Any]:
    """An episode as a line of WebShop's imitation file."""
    record: dict[str, list[Any]] = {
        "states": [],
        "available_actions": [],
        "action_idxs": [],
        "images": [],
        "actions": [],
    }
    for step in episode.steps:
        titles = {f"click[{listed.asin.lower()}]": f"click[item - {listed.title}]" for listed in step.page.listing}
        is_search = step.page.kind == "search"
        record["states"].append(step.observation)
        record["available_actions"].append(
            [] if is_search else [titles.get(action, action) for action in step.valid_actions]
        )
        record["action_idxs"].append(-1 if is_search else step.action_index)
        record["images"].append(0)
        record["actions"].append(step.action)
    return record if with_actions else {name: values for name, values in record.items() if name != "actions"}


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def imported(tmp_path: Path, source: Path, kind: str, **settings: Any) -> tuple[dict[str, Any], list[Episode]]:
    """The summary and the episodes of an import."""
    config = ImportConfig(source=str(source), format=kind, output_dir=str(tmp_path / "imported"), **settings)
    return import_trajectories(config), load_episodes(tmp_path / "imported")


def test_sessions_come_through_as_they_were(
    shop: Path, catalog: Catalog, episodes: list[Episode], tmp_path: Path
) -> None:
    source = write_sessions(tmp_path / "logs", [pages_of(catalog, episode) for episode in episodes])
    summary, found = imported(tmp_path, source, "webshop_sessions", catalog=str(shop), human_goals=True)
    # A click on an option that is chosen already, and on a page that is shown already, leave no trace in a log.
    said = [episode for episode in episodes if _leaves_traces(episode)]
    same = [episode for episode, original in zip(found, episodes, strict=True) if original in said]
    assert len(said) > 5
    assert same == [as_people(episode) for episode in said]
    assert [episode.reward for episode in found] == [episode.reward for episode in episodes]
    assert summary["num_trajectories"] == summary["num_found"] == len(episodes)
    assert summary["num_filled_in"] == summary["num_other_results"] == summary["num_other_bounds"] == 0
    assert training_goals(found, tmp_path / "imported")[0].goal_indices  # each goal, not the whole split


def _leaves_traces(episode: Episode) -> bool:
    following = [step.page for step in episode.steps[1:]]
    return all(step.page != after for step, after in zip(episode.steps, following, strict=False))


def test_without_the_catalogue_there_are_actions_and_nothing_to_learn_from(
    catalog: Catalog, episodes: list[Episode], tmp_path: Path
) -> None:
    source = write_sessions(tmp_path / "logs", [pages_of(catalog, episode) for episode in episodes[:3]])
    config = ImportConfig(source=str(source), format="webshop_sessions", output_dir=str(tmp_path / "bare"))
    import_trajectories(config)
    row = load_from_disk(str(tmp_path / "bare"))[0]
    assert (row["target_asin"], row["instruction"]) == (
        catalog.goals[episodes[0].goal_index].asin, episodes[0].instruction
    )  # fmt: skip
    assert row["reward"] == episodes[0].reward
    assert [step["action"] for step in row["steps"]][-1] == "click[buy now]"
    assert row["steps"][0]["page"] is row["steps"][0]["observation"] is row["steps"][0]["log_prob"] is None
    assert row["steps"][0]["results"]
    with pytest.raises(
        DatasetError, match=r"bare: 3 of 3 episodes hold no pages.*import-trajectories \.\.\. --catalog C"
    ):
        load_episodes(tmp_path / "bare")


def test_going_back_without_the_server_is_filled_in(shop: Path, catalog: Catalog, tmp_path: Path) -> None:
    """Two looks at two products; the pages between them are the browser's own."""
    env = WebShopEnv(catalog, split="all")
    _, info = env.reset(options={"goal_index": 0})
    wish = {"asin": env.goal.asin, "instruction_text": env.goal.instruction}
    pages = [_page(env, wish)]

    def do(action: str, *, is_logged: bool = True) -> None:
        nonlocal info
        _, reward, terminated, _, info = env.step(action)
        if is_logged:
            pages.append(_page(env, wish) | ({"reward": reward} if terminated else {}))

    do("search[wool]")
    first, second = [action for action in info["valid_actions"] if action.startswith("click[b0")][:2]
    do(first)
    do("click[red]")
    do("click[features]")
    pages.append(pages[-1])  # loaded again
    do("click[< prev]", is_logged=False)
    do("click[< prev]", is_logged=False)
    do(second)
    do("click[blue]")
    do("click[buy now]")
    source = write_sessions(tmp_path / "logs", [pages])
    summary, [episode] = imported(tmp_path, source, "webshop_sessions", catalog=str(shop), human_goals=True)
    assert (summary["num_filled_in"], summary["num_with_filled_in"]) == (2, 1)
    assert [step.action for step in episode.steps[1:]] == [
        first, "click[red]", "click[features]", "click[< prev]", "click[< prev]", second, "click[blue]",
        "click[buy now]",
    ]  # fmt: skip
    assert episode.reward == pages[-1]["reward"]
    strict = ImportConfig(
        source=str(source), format="webshop_sessions", output_dir=str(tmp_path / "strict"), fill_gaps=False
    )
    with pytest.raises(DatasetError, match=r"1 because a move is not in the record \(000.jsonl at step 6: from the "):
        import_trajectories(strict)


Damage = Callable[[list[Page]], Any]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda pages: pages.pop(), "it ends without a purchase"),
        (lambda pages: pages.pop(0), "it does not begin with the search page"),
        (lambda pages: pages[-1].update(reward=0.123), "its purchase earns another reward here"),
        (lambda pages: pages[-1]["content"].update(options={"color": "green"}), "a page is not where a click leads"),
        (lambda pages: pages[0].update(goal={"asin": "B0"}), "its pages do not have one goal"),
        (lambda pages: pages[1]["content"].pop("keywords"), "a page cannot be read"),
        (lambda pages: [page["goal"].update(asin="B0NO") for page in pages], "its target is not in the catalogue"),
        (lambda pages: [page["goal"].update(instruction_text="a") for page in pages], "the catalogue has no such goal"),
        (
            lambda pages: [
                page["content"].update(asin="B0NOTHERE0", search_result_asins=["B0NOTHERE0"])
                for page in pages
                if "content" in page
            ],
            "a product is not in the catalogue",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    damage: Damage, reason: str, shop: Path, catalog: Catalog, episodes: list[Episode], tmp_path: Path
) -> None:
    damaged = json.loads(json.dumps(pages_of(catalog, episodes[0])))
    damage(damaged)
    source = write_sessions(tmp_path / "logs", [damaged, pages_of(catalog, episodes[1])])
    summary, found = imported(tmp_path, source, "webshop_sessions", catalog=str(shop), human_goals=True)
    assert len(found) == 1
    assert summary["num_left_out"] == {reason: 1}
    assert summary["left_out"][0]["name"] == "000.jsonl"


@pytest.mark.parametrize("with_actions", [True, False])
@pytest.mark.parametrize("with_catalog", [True, False])
def test_the_imitation_file_comes_through(
    with_actions: bool, with_catalog: bool, shop: Path, episodes: list[Episode], tmp_path: Path
) -> None:
    """Searches are at hand as words, or stand for the plain instruction, which is what a wanderer searches for."""
    records = [demonstration(episode, with_actions=with_actions) for episode in episodes]
    source = write_lines(tmp_path / "il.jsonl", records)
    settings = {"catalog": str(shop), "human_goals": True} if with_catalog else {"assume_reward": 1.0}
    summary, found = imported(tmp_path, source, "webshop_il", **settings)
    assert summary["num_left_out"] == {}
    for episode, original in zip(found, episodes, strict=True):
        steps = [(step.action, step.valid_actions, step.page, step.log_prob) for step in episode.steps]
        assert steps == [(step.action, step.valid_actions, step.page, None) for step in original.steps]
        assert episode.instruction == original.instruction
    if with_catalog:
        assert found == [as_people(episode) for episode in episodes]
    else:
        assert {episode.reward for episode in found} == {1.0}
        goals = {episode.instruction: episode.goal_index for episode in found}
        assert len(set(goals.values())) == len(goals) == len({episode.instruction for episode in episodes})


def test_a_typed_search_is_offered_beside_the_plain_one(shop: Path, episodes: list[Episode], tmp_path: Path) -> None:
    record = demonstration(episodes[0])
    record["states"][0] = record["states"][0].replace("WebShop", "Amazon Shopping Game")  # as the older file has it
    record["actions"][0] = "search[Wool HAT]"
    source = write_lines(tmp_path / "il.jsonl", [record])
    _, [episode] = imported(tmp_path, source, "webshop_il", assume_reward=0.5)
    assert episode.steps[0].valid_actions == (episodes[0].steps[0].action, "search[Wool HAT]")
    assert (episode.steps[0].action, episode.reward) == ("search[Wool HAT]", 0.5)


def test_a_reward_is_not_made_up(episodes: list[Episode], tmp_path: Path) -> None:
    source = write_lines(tmp_path / "il.jsonl", [demonstration(episodes[0])])
    with pytest.raises(DatasetError, match=r"1 because its reward is not known \(il.jsonl:1: name its catalogue with"):
        imported(tmp_path, source, "webshop_il")
    with pytest.raises(ConfigError, match=r"assume_reward=2\.0, expected a number from 0 to 1"):
        imported(tmp_path, source, "webshop_il", assume_reward=2.0)


@pytest.mark.parametrize("with_catalog", [True, False])
def test_rows_come_through(with_catalog: bool, shop: Path, episodes: list[Episode], tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", map(episode_to_row, episodes))
    settings = {"catalog": str(shop), "human_goals": True} if with_catalog else {}
    _, found = imported(tmp_path, tmp_path / "rows.jsonl", "jsonl", **settings)
    assert found == episodes


def test_rows_that_datasets_wrote_have_ten_decimal_places(episodes: list[Episode], tmp_path: Path) -> None:
    episodes_to_dataset(episodes).to_json(tmp_path / "rows.jsonl")
    _, found = imported(tmp_path, tmp_path / "rows.jsonl", "jsonl")
    for one, original in zip(found, episodes, strict=True):
        assert one.reward == pytest.approx(original.reward, abs=1e-9)
        assert [step.page for step in one.steps] == [step.page for step in original.steps]


def test_rows_of_other_goals_and_changed_pages_do_not_fit(shop: Path, episodes: list[Episode], tmp_path: Path) -> None:
    changed = episode_to_row(episodes[1])
    changed["steps"][1]["page"]["listing"][0]["title"] = "Another hat"
    source = write_lines(tmp_path / "rows.jsonl", [changed, {"goal_index": 1}, episode_to_row(episodes[0])])
    summary, found = imported(tmp_path, source, "jsonl", catalog=str(shop), human_goals=True)
    assert found == [episodes[0]]
    assert set(summary["num_left_out"]) == {"its pages are not those of the catalogue", "a row is no episode"}
    with pytest.raises(DatasetError, match="2 because it is of another catalogue, or of other goals"):
        import_trajectories(
            ImportConfig(source=str(source), format="jsonl", output_dir=str(tmp_path / "synthetic"), catalog=str(shop))
        )


def test_a_split_keeps_its_own_goals(shop: Path, catalog: Catalog, episodes: list[Episode], tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", map(episode_to_row, episodes))
    summary, found = imported(
        tmp_path, tmp_path / "rows.jsonl", "jsonl", catalog=str(shop), human_goals=True, split="train", min_reward=0.7
    )
    kept = set(catalog.split("train").tolist())
    assert found == [one for one in episodes if one.goal_index in kept and one.reward >= 0.7]
    assert set(summary["num_left_out"]) == {
        "its goal is not in the train split by product", "its reward is below min_reward"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="split='train' needs a catalogue"):
        ImportConfig(source="x", format="jsonl", output_dir="y", split="train")


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(["import-trajectories", *map(str, arguments)])
    assert exit_info.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    return said


def test_bad_input_is_one_clear_line(
    shop: Path, catalog: Catalog, episodes: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = write_sessions(tmp_path / "logs", [pages_of(catalog, episodes[0])])
    output = tmp_path / "imported"
    wrong = fails(capsys, sessions, "--format", "webshop_il", "--output_dir", output)
    assert "it looks like webshop_sessions: say --format webshop_sessions" in wrong
    assert "no file or folder" in fails(capsys, tmp_path / "no", "--format", "jsonl", "--output_dir", output)
    cut_off = tmp_path / "cut.jsonl"
    cut_off.write_text((sessions / "000.jsonl").read_text(encoding="utf-8")[:-30], encoding="utf-8")
    said = fails(capsys, cut_off, "--format", "webshop_sessions", "--output_dir", output)
    assert f"because a line is cut off (cut.jsonl at step {len(pages_of(catalog, episodes[0])) - 1}: line " in said
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"page": "index", "goal": {"instruction_text": "Größe"}}\n'.encode("latin-1"))
    half = tmp_path / "half.jsonl"
    half.write_text(json.dumps(demonstration(episodes[0]) | {"note": "\ud800"}) + "\n", encoding="utf-8")
    for source, kind in ((latin, "webshop_sessions"), (half, "webshop_il")):
        said = fails(capsys, source, "--format", kind, "--output_dir", output)
        assert "because a line is not in UTF-8, or spells half a character" in said
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    said = fails(capsys, tmp_path / "empty.jsonl", "--format", "webshop_il", "--output_dir", output)
    assert "none of the 0 trajectories" in said
    synthetic = ("--format", "webshop_sessions", "--catalog", shop, "--output_dir", output)
    assert "for goals that people wrote say --human_goals" in fails(capsys, sessions, *synthetic)
    assert not output.exists()
    output.mkdir()
    assert "exists; choose another" in fails(capsys, sessions, "--format", "webshop_sessions", "--output_dir", output)


def test_a_missing_catalogue_is_the_catalogues_error(sessions_dir: Path, tmp_path: Path) -> None:
    config = ImportConfig(
        source=str(sessions_dir),
        format="webshop_sessions",
        output_dir=str(tmp_path / "out"),
        catalog=str(tmp_path / "no"),
    )
    with pytest.raises(CatalogError, match="is no folder"):
        import_trajectories(config)


@pytest.fixture
def sessions_dir(catalog: Catalog, episodes: list[Episode], tmp_path: Path) -> Path:
    return write_sessions(tmp_path / "some", [pages_of(catalog, episodes[0])])


@pytest.mark.realdata
def test_the_recorded_sessions_come_through(
    webshop_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fifty real ones: 18 of reward 1, as their recordings say, and five in which someone went back in the browser."""
    source = str(webshop_dir / "human_sessions")
    main(["import-trajectories", source, "--format", "webshop_sessions", "--output_dir", str(tmp_path / "people")])
    said = capsys.readouterr().out
    assert "50 of 50 trajectories came through, 18 of them with reward 1 (score 65.2)" in said
    assert "filled in: 11 clicks in 5 sessions" in said
    strict = ["--output_dir", str(tmp_path / "strict"), "--no_fill_gaps"]
    main(["import-trajectories", source, "--format", "webshop_sessions", *strict])
    assert "left out: 5 because a move is not in the record" in capsys.readouterr().out


@pytest.mark.realdata
def test_recorded_sessions_of_other_products_are_refused(webshop_dir: Path, tmp_path: Path) -> None:
    """They were recorded on the full catalogue; of its products this one holds a thousand."""
    config = ImportConfig(
        source=str(webshop_dir / "human_sessions"), format="webshop_sessions", output_dir=str(tmp_path / "out"),
        catalog=str(webshop_dir), human_goals=True,
    )  # fmt: skip
    with pytest.raises(
        DatasetError, match=r"50 because its target is not in the catalogue \(20220427_1_12.jsonl: asin"
    ):
        import_trajectories(config)

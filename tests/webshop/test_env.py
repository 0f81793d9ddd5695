"""The environment's rules, each with a small example, and Gymnasium's own checks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import recrl  # noqa: F401  (registers the environment)
from recrl.errors import CatalogError, ConfigError
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from small_catalog import ATTRIBUTES, item, options, plain_nouns, write_catalog

ENV = "recrl/WebShop-v0"
SHOE = "Leather shoe with a soft sole"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Twelve hats and one shoe whose options are awkward."""
    folder = tmp_path_factory.mktemp("env")
    awkward = options(
        color=["red", "blue", "Buy Now", "Odd [One]"], size=["8", "9", "red", "café"], buy=["search", "description"]
    )
    items = [item("B0SHOE0001", SHOE, customization_options=awkward, query="shoes")]
    items += [item(f"B0HAT{number:05d}", f"Wool hat number {number}") for number in range(12)]
    attributes: dict[str, Any] = {record["asin"]: {"attributes": ["wool"]} for record in items}
    attributes["B0SHOE0001"] = ATTRIBUTES["B000000001"]
    for number in range(12):
        attributes[f"B0HAT{number:05d}"] = {
            "attributes": ["wool"],
            "instruction": f"i need hat number {number}",
            "instruction_attributes": ["wool"],
        }
    raw = write_catalog(folder / "raw", items=items, attributes=attributes, human={})
    return load_catalog(build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"}))


def make(catalog: Catalog, **settings: Any) -> WebShopEnv:
    env = gym.make(ENV, catalog=catalog, split="all", **settings).unwrapped
    assert isinstance(env, WebShopEnv)
    return env


def goal_of(catalog: Catalog, asin: str) -> int:
    return next(index for index, goal in enumerate(catalog.goals) if goal.asin == asin)


def play(env: WebShopEnv, *actions: str, goal: int = 0) -> tuple[Any, ...]:
    """Resets, acts, and returns what the last action did."""
    result: tuple[Any, ...] = env.reset(options={"goal_index": goal})
    for action in actions:
        result = env.step(action)
    return result


def test_gymnasium_accepts_it(catalog: Catalog) -> None:
    check_env(make(catalog), skip_render_check=True)


def test_the_specification_round_trips(catalog: Catalog) -> None:
    env = gym.make(ENV, catalog=catalog, split="all", max_steps=3)
    assert env.spec is not None
    assert env.spec.max_episode_steps is None
    twin = gym.make(env.spec)
    assert twin.reset(seed=5)[0] == env.reset(seed=5)[0]


@pytest.mark.parametrize("words", ["<r>", "<a> wool", "<c> fashion", "<q> shoes"])
def test_the_originals_debug_commands_are_words(catalog: Catalog, words: str) -> None:
    env = make(catalog)
    observation, *_ = play(env, f"search[{words}]")
    assert f"(Total results: {len(catalog.search(words))})" in observation
    assert catalog.search("<r>") == []


@pytest.mark.parametrize("words", ["item_page", "/item_sub_page/x", "done", "search_results/0/hat/1"])
def test_search_words_cannot_fake_another_page(catalog: Catalog, words: str) -> None:
    env = make(catalog)
    *_, info = play(env, f"search[{words} hat]")
    assert info["clickables"][:2] == ["back to search", "next >"]
    assert not info["has_search_bar"]
    assert env.screen.state.kind == "results"


def test_an_episode_leaves_nothing_behind(catalog: Catalog) -> None:
    """The original keeps every session for ever; here the second episode starts as the first did."""
    env = make(catalog, num_prev_obs=2, num_prev_actions=2)
    first = env.reset(options={"goal_index": 3})
    play(env, "search[wool hat]", "click[b0hat00003]", "click[< prev]", goal=3)
    assert env.reset(options={"goal_index": 3}) == first
    assert env.screen.state == type(env.screen.state)()


def test_asking_before_the_first_reset_is_refused(catalog: Catalog) -> None:
    env = make(catalog)
    for ask in (lambda: env.step("search[hat]"), lambda: env.page, lambda: env.screen, lambda: env.goal, env.render):
        with pytest.raises(ResetNeeded):
            ask()


def test_an_equal_seed_gives_an_equal_episode(catalog: Catalog) -> None:
    env = make(catalog)
    drawn = [env.reset(seed=seed)[1]["goal_index"] for seed in range(40)]
    assert drawn == [make(catalog).reset(seed=seed)[1]["goal_index"] for seed in range(40)]
    assert len(set(drawn)) > 5


def test_goals_are_drawn_by_their_weight(catalog: Catalog) -> None:
    env = make(catalog)
    env.reset(seed=0)
    drawn = np.bincount([env.reset()[1]["goal_index"] for _ in range(3000)], minlength=len(catalog.goals)) / 3000
    weights = np.array([goal.weight for goal in catalog.goals])
    assert np.abs(drawn - weights / weights.sum()).max() < 0.04  # 4 standard errors


def test_a_whole_purchase(catalog: Catalog) -> None:
    goal = next(
        index for index, goal in enumerate(catalog.goals)
        if goal.asin == "B0SHOE0001" and goal.options == {"buy": "search", "color": "blue", "size": "9"}
    )  # fmt: skip
    env = make(catalog)
    observation, info = env.reset(options={"goal_index": goal})
    assert observation == f"WebShop\nInstruction: \n{info['instruction']}\n[button] Search [button_]\n"
    assert info["has_search_bar"]
    assert info["valid_actions"] == (f"search[{env.goal.instruction_without_price}]",)
    observation, *_, info = env.step("search[Leather Shoe]")
    assert (
        f"\nPage 1 (Total results: 1)\n[button] Next > [button_]\n\n[button] B0SHOE0001 [button_]\n{SHOE}"
        in observation
    )
    assert info["valid_actions"] == ("click[back to search]", "click[next >]", "click[b0shoe0001]")
    observation, *_, info = env.step("click[B0SHOE0001]")
    assert info["valid_actions"][:6] == tuple(
        f"click[{name}]" for name in ("back to search", "< prev", "description", "features", "reviews", "buy now")
    )
    assert "click[search]" not in info["valid_actions"]  # the name is taken
    assert "click[odd [one]]" not in info["valid_actions"]  # the pattern is greedy
    assert list(info["clickables"]).count("red") == 1
    env.step("click[blue]")
    observation, *_ = env.step("click[9]")
    assert observation.startswith("You have clicked 9.\nYou have clicked blue.\nInstruction:\n")
    assert "\n  [clicked button] blue [clicked button_]\n" in observation
    observation, reward, terminated, truncated, info = env.step("click[Buy Now]")
    assert (terminated, truncated) == (True, False)
    assert reward == pytest.approx((1 + 2 + 1) / 5)  # the option named search cannot be clicked
    assert info["reward_parts"]["r_option"] == pytest.approx(2 / 3)
    assert info["valid_actions"] == ()
    assert f"\n{reward}\n" in observation
    with pytest.raises(ResetNeeded):
        env.step("click[buy now]")


def test_buttons_win_over_options_and_later_groups_over_earlier(catalog: Catalog) -> None:
    env = make(catalog)
    start = ("search[leather shoe]", "click[b0shoe0001]")
    assert play(env, *start, "click[description]")[0].rstrip().endswith("described at length.")
    *_, info = play(env, *start, "click[red]")
    assert env._state.options == {"size": "red"}
    assert info["goal_index"] == 0
    *_, terminated, _, _ = play(env, *start, "click[buy now]")
    assert terminated


def test_moving_about(catalog: Catalog) -> None:
    env = make(catalog)
    first, *_ = play(env, "search[wool hat]")
    assert "Page 1 (Total results: 12)" in first
    assert first.count("[button] B0HAT") == 10
    second, *_ = env.step("click[next >]")
    assert second.count("[button] B0HAT") == 2
    assert "\n[button] < Prev [button_]\n[button] Next > [button_]\n" in second
    beyond, *_ = env.step("click[next >]")
    assert "Page 3 (Total results: 12)" in beyond
    assert "B0HAT" not in beyond
    env.step("click[< prev]")
    again, *_ = env.step("click[< prev]")
    assert again == first
    asin = env.screen.clickables[2]
    env.step(f"click[{asin}]")
    features, *_ = env.step("click[features]")
    assert features.endswith("\n soft sole\n")
    env.step("click[< prev]")
    back, *_ = env.step("click[< prev]")
    assert f"[clicked button] {asin.upper()} [clicked button_]" in back
    env.step("click[back to search]")
    cleared, *_ = env.step("search[wool hat]")
    assert cleared == first


def test_searching_is_possible_everywhere_and_splits_at_single_blanks(catalog: Catalog) -> None:
    env = make(catalog, observation_mode="url")
    where, *_ = play(env, "search[leather shoe]", "click[b0shoe0001]", "search[Wool  HAT]")
    assert where == "http://127.0.0.1:3000/search_results/0/wool++hat/1"
    where, *_ = env.step("click[b0hat00003]")
    assert where == "http://127.0.0.1:3000/item_page/0/B0HAT00003/wool++hat/1/{}"


@pytest.mark.parametrize(
    "action", ["", "buy", "click[nothing here]", "click[search]", "press[buy now]", "click[]", "x[y"]
)
def test_an_invalid_action_changes_nothing_and_counts(catalog: Catalog, action: str) -> None:
    env = make(catalog, max_steps=2)
    before, *_ = play(env, "search[leather shoe]")
    observation, reward, terminated, truncated, info = env.step(action)
    assert (observation, reward, terminated, truncated) == (before, 0.0, False, True)
    assert info["invalid_action"]


def test_the_step_limit_truncates(catalog: Catalog) -> None:
    env = make(catalog, max_steps=3)
    ends = [play(env, *["search[hat]"] * count)[2:4] for count in (1, 2, 3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(ResetNeeded):
        env.step("search[hat]")


def test_history_stands_in_front(catalog: Catalog) -> None:
    env = make(catalog, observation_mode="text", num_prev_obs=1, num_prev_actions=2)
    plain = make(catalog, observation_mode="text")
    start, _ = plain.reset(options={"goal_index": 0})
    results, *_ = plain.step("search[hat]")
    last, *_ = plain.step("bogus")
    observation, *_ = play(env, "search[hat]", "bogus")
    assert observation == f"search[hat] [SEP] {results} [SEP] bogus [SEP] {last}"
    assert env.reset(options={"goal_index": 0})[0] == start


def test_history_is_as_long_as_asked_for(catalog: Catalog) -> None:
    env = make(catalog, observation_mode="url", num_prev_obs=30, num_prev_actions=30, max_steps=100)
    observation, *_ = play(env, *[f"search[{number}]" for number in range(40)])
    parts = observation.split(" [SEP] ")
    assert [part for part in parts if part.startswith("search")] == [f"search[{number}]" for number in range(10, 40)]
    assert len(parts) == 30 + 30 + 1


def test_what_is_no_text_is_no_action(catalog: Catalog) -> None:
    env = make(catalog)
    env.reset(seed=0)
    with pytest.raises(TypeError, match="expected an action's text"):
        env.step(3)  # type: ignore[arg-type]
    env.step(np.str_("search[hat]"))


def test_text_is_stripped_and_values_that_are_not_ascii_never_show_as_clicked(catalog: Catalog) -> None:
    env = make(catalog, observation_mode="text")
    observation, *_ = play(env, "search[leather shoe]", "click[b0shoe0001]", "click[features]")
    assert observation.endswith("[SEP] < Prev [SEP] Bullet one of Leather shoe with a soft sole [SEP] soft sole")
    rich = make(catalog)
    observation, *_, info = play(rich, "search[leather shoe]", "click[b0shoe0001]", "click[café]")
    assert "You have clicked" not in observation
    assert rich._state.options == {"size": "café"}
    assert "invalid_action" not in info


@settings(max_examples=60, deadline=None, derandomize=True)
@given(words=st.lists(st.text(max_size=20) | st.sampled_from(["click[b0shoe0001]", "search[hat]", "click[red]"])))
def test_no_action_can_crash_it(catalog: Catalog, words: list[str]) -> None:
    env = make(catalog, max_steps=100)
    env.reset(options={"goal_index": 1})
    for word in words:
        for action in (word, f"search[{word}]", f"click[{word}]"):
            observation, _, terminated, _, info = env.step(action)
            assert env.observation_space.contains(observation) or "\ud800" <= max(word) <= "\udfff"
            if terminated:
                return
            assert all(env.action_space.contains(valid) for valid in info["valid_actions"])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_every_valid_action_is_accepted(catalog: Catalog, seed: int) -> None:
    env, rng = make(catalog, max_steps=50), np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    while info["valid_actions"]:
        *_, truncated, info = env.step(str(rng.choice(info["valid_actions"])))
        assert "invalid_action" not in info
        if truncated:
            break


def test_vector_environments_roll_out_given_goals(catalog: Catalog) -> None:
    envs = gym.make_vec(
        ENV, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        catalog=catalog, split="all", max_steps=5,
    )  # fmt: skip
    observations, infos = envs.reset(options={"goal_index": 2})
    assert len(set(observations)) == 1
    assert list(infos["goal_index"]) == [2, 2, 2]
    observations, rewards, terminated, truncated, _ = envs.step(["search[hat]", "bogus", "search[shoe]"])
    assert len(set(observations)) == 3
    assert not rewards.any()
    assert not terminated.any()
    assert not truncated.any()


def test_vector_environments_share_one_catalogue(catalog: Catalog) -> None:
    envs = gym.make_vec(ENV, num_envs=64, vectorization_mode="sync", catalog=str(catalog.folder), split="all")
    assert len({id(env.unwrapped.catalog) for env in envs.envs}) == 1  # type: ignore[attr-defined]
    observations, infos = envs.reset(seed=4)
    assert len(observations) == 64
    for _ in range(3):
        observations, *_, infos = envs.step([str(actions[0]) for actions in infos["valid_actions"]])
    assert len(set(observations)) > 1


def test_vector_environments_take_a_goal_each(catalog: Catalog) -> None:
    for kind in ("sync", "async"):
        envs = gym.make_vec(
            ENV, num_envs=2, vectorization_mode=kind, catalog=catalog, split="all",
            vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        )  # fmt: skip
        envs.reset(seed=0)
        for place, goal in enumerate((3, 5)):
            _, infos = envs.reset(options={"goal_index": goal, "reset_mask": np.arange(2) == place})
            assert infos["goal_index"][place] == goal
        *_, infos = envs.step(["search[hat]", "search[hat]"])
        assert list(infos["goal_index"]) == [3, 5], kind
        envs.close()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "validation"}, "split='validation'"),
        ({"split_by": "user"}, "split_by='user'"),
        ({"observation_mode": "html"}, "observation_mode='html'"),
        ({"max_steps": 0}, "max_steps=0"),
    ],
)
def test_bad_settings_are_named(catalog: Catalog, changed: dict[str, Any], message: str) -> None:
    with pytest.raises((CatalogError, ConfigError), match=message):
        gym.make(ENV, **({"catalog": catalog, "split": "all"} | changed))


@pytest.mark.parametrize("given_options", [{"goal_index": -1}, {"goal_index": 10**6}, {"goal_index": "7"}, {"goal": 1}])
def test_bad_goals_are_named(catalog: Catalog, given_options: dict[str, Any]) -> None:
    with pytest.raises((CatalogError, ConfigError), match=r"goal_index|expected"):
        make(catalog).reset(options=given_options)


def test_a_small_catalogue_has_no_empty_split_in_silence(catalog: Catalog, tmp_path: Path) -> None:
    raw = write_catalog(tmp_path / "raw", items=[item("B000000001", "Hat")], human={})
    built = build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"})
    with pytest.raises(CatalogError, match=r"the test split by product of 1 goals is empty; use a larger catalogue"):
        gym.make(ENV, catalog=str(built), split="test")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import recrl, sys; print([name for name in ('torch', 'datasets', 'spacy', 'pyarrow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = "import recrl.webshop.env, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

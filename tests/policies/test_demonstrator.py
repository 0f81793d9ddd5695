"""What the demonstrator says is right: against plain searches through what can be done, on pages of its own way and of
others."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.data import Episode, Step
from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.policies.base import Choice
from recrl.policies.loading import load_policy
from recrl.rollouts.collecting import goal_stream
from recrl.rollouts.pruning import prune_loops
from recrl.rollouts.rollout import rollout
from recrl.webshop import actions
from recrl.webshop.best_purchase import best_clicks, best_options, best_reward
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.reward import purchase_reward
from small_catalog import item, options, plain_nouns, write_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two shoes that differ in nothing but their numbers, one that is too dear, and one without options."""
    folder = tmp_path_factory.mktemp("demonstrator")
    common = {"product_category": "Clothing › Shoes › Sandals", "query": "shoes", "small_description": ["soft sole"]}
    both = options(color=["red", "blue"], size=["8", "9"])
    items = [
        item(f"B0SHOE{number:04d}", f"leather shoe {number}", pricing=price, customization_options=chosen, **common)
        for number, (price, chosen) in enumerate([("$15", both), ("$15", both), ("$5,000", both), ("$15", "")])
    ]
    wish = {
        "attributes": ["soft sole"], "instruction": "find me leather shoe with soft sole",
        "instruction_attributes": ["soft sole"],
    }  # fmt: skip
    attributes = {items[0]["asin"]: wish} | {one["asin"]: {"attributes": ["soft sole"]} for one in items[1:]}
    raw = write_catalog(folder / "raw", items=items, attributes=attributes, human={})
    return load_catalog(build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"}))


def said(step: Step) -> list[str]:
    return [step.valid_actions[index] for index in step.right_actions]


def test_every_right_action_of_a_demonstration(catalog: Catalog) -> None:
    [place] = [
        place for place, goal in enumerate(catalog.goals) if goal.options == {"color": "red", "size": "9"}
    ]  # fmt: skip

    def queries(plain: str) -> tuple[str, ...]:
        return " ".join(reversed(plain.split())), "zzzz"  # the order of words makes no difference to the search

    [episode] = rollout(load_policy("demonstrator"), catalog, [place], seed=0, queries=queries)
    assert episode.success
    search, results, first, second, last = episode.steps
    assert search.valid_actions[2] == "search[zzzz]"
    assert search.right_actions == (0, 1)  # both find the goal at the same place
    assert sorted(said(results)) == ["click[b0shoe0000]", "click[b0shoe0001]"]
    assert results.action == "click[b0shoe0000]"  # the goal's own
    assert sorted(said(first)) == ["click[9]", "click[red]"]
    assert said(second) == (["click[9]"] if first.action == "click[red]" else ["click[red]"])
    assert said(last) == ["click[buy now]"]


VALUES = st.sampled_from(["red", "dark red", "blue", "9", "9 wide", "buy now", "a[b", "search", ""])
GROUPS = st.dictionaries(
    st.sampled_from(["color", "size", "fit"]), st.lists(VALUES, max_size=4, unique=True), max_size=3
)
WISHES = st.dictionaries(st.sampled_from(["color", "size", "fit"]), VALUES, max_size=3) | st.lists(
    VALUES, max_size=3
).map(tuple)


@settings(deadline=None, max_examples=300)
@given(GROUPS, WISHES, st.data())
def test_right_clicks_are_those_of_the_shortest_ways(groups: dict[str, list[str]], wish: Any, data: Any) -> None:
    """A plain search through all that clicks can set, from any setting; groups may share values, of which a click sets
    the later group's.
    """
    shop = load_catalog(None)
    goal = replace(shop.goals[0], options=wish)
    product = replace_options(shop.product(goal.asin), groups)
    names = {"back to search", "< prev", "description", "features", "reviews", "buy now"}
    clicks = {
        value: group for group, values in groups.items() for value in values
        if value and value not in names and actions.can_be_clicked(value)
    }  # fmt: skip
    State = tuple[tuple[str, str], ...]

    def after(state: State, value: str) -> State:
        return tuple(sorted((dict(state) | {clicks[value]: value}).items()))

    def reward(state: State) -> float:
        return purchase_reward(product, goal, dict(state), product.price)[0]

    reached: list[State] = [()]
    for state in reached:
        reached += [one for one in dict.fromkeys(after(state, value) for value in clicks) if one not in reached]
    best = max(map(reward, reached))
    distance = {state: 0 for state in reached if reward(state) == best}
    while len(distance) < len(reached):
        distance |= {
            state: 1 + min(distance[after(state, value)] for value in clicks if after(state, value) in distance)
            for state in reached
            if state not in distance and any(after(state, value) in distance for value in clicks)
        }
    assert reward(tuple(best_options(product, goal).items())) == best == best_reward(product, goal)
    state = data.draw(st.sampled_from(reached))
    right = {value for value in clicks if distance[after(state, value)] < distance[state]}
    assert set(best_clicks(product, goal, dict(state))) == right
    assert best_clicks(product, goal, {})[:1] == tuple(best_options(product, goal).values())[:1]


def replace_options(product: Any, groups: dict[str, list[str]]) -> Any:
    """The product with other options; what else is read of it is its own."""

    class Changed:
        def __getattr__(self, name: str) -> Any:
            return groups if name == "options" else getattr(product, name)

    return Changed()


class Watched:
    """Another policy's actions, each page labelled by the demonstrator."""

    name = "watched"
    catalog_sha256 = None
    knows_goal = True

    def __init__(self, name: str) -> None:
        self.player, self.teacher = load_policy(name), load_policy("demonstrator")

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        played = self.player.act(decisions, rngs, greedy=greedy)
        labels = self.teacher.act(decisions, rngs)
        return [replace(one, right_actions=label.right_actions) for one, label in zip(played, labels, strict=True)]


def test_pages_of_another_policy_are_labelled_and_their_labels_pruned_with_them() -> None:
    """The labels of the shorter way are what the demonstrator says when it is asked there."""
    catalog, teacher = load_catalog(None), load_policy("demonstrator")
    env = WebShopEnv(catalog=catalog, split="all", max_steps=40)
    shorter, wrong = 0, 0
    kinds: set[str] = set()
    for episode in rollout(Watched("random"), catalog, range(40), seed=0, max_steps=40):
        assert all(step.right_actions for step in episode.steps)
        assert all(said(step) == ["click[< prev]"] for step in episode.steps if step.page.kind == "sub")
        kinds |= {step.page.kind for step in episode.steps}
        wrong += sum(step.action_index not in step.right_actions for step in episode.steps)
        pruned = prune_loops(episode, env)
        if pruned.num_steps == episode.num_steps:
            continue
        shorter += 1
        _, info = env.reset(options={"goal_index": episode.goal_index})
        for decision, step in zip(pruned.decisions(), pruned.steps, strict=True):
            assert step.valid_actions == info["valid_actions"]
            [choice] = teacher.act([replace(decision, env=env)], [np.random.default_rng(0)])
            assert choice.right_actions == step.right_actions
            *_, info = env.step(step.action)
    assert shorter > 10
    assert wrong > 100
    assert kinds == {"search", "results", "item", "sub"}


class Wrong(Watched):
    """Labels that are no indices."""

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        return [Choice(0, 0.0, (7, 1)) for _ in decisions]


def test_labels_that_point_nowhere_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"'watched' gave right_actions=\(7, 1\): expected ascending indices into 1"):
        list(rollout(Wrong("rule"), load_catalog(None), [0], seed=0))


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("split_by", "uniform", "share"),
    [("product", True, 22.3), ("product", False, 11.3), ("goal", True, 14.6), ("goal", False, 7.9)],
)
def test_how_many_demonstrations_have_several_right_products(
    webshop_dir: Path, split_by: str, uniform: bool, share: float
) -> None:
    """Of the first 1,000 training goals of seed 0, in %."""
    catalog = load_catalog(webshop_dir)
    goals = itertools.islice(goal_stream(catalog, "train", split_by, 0, draw="uniform" if uniform else "weight"), 1000)
    several = [_several(episode) for episode in rollout(load_policy("demonstrator"), catalog, goals, seed=0)]
    assert 100 * np.mean(several) == pytest.approx(share, abs=0.05)


def _several(episode: Episode) -> bool:
    page = next(step for step in episode.steps if step.page.kind == "results")
    return len(page.right_actions) > 1


def test_many_groups_of_options_take_no_time(tmp_path: Path) -> None:
    """26 groups have millions of combinations."""
    groups = {f"part {letter}": [f"{letter} one", f"{letter} two"] for letter in "abcdefghijklmnopqrstuvwxyz"}
    product_of_many = item("B0MANY0001", "kit of parts", customization_options=options(**groups))
    about = {"attributes": ["soft"]}  # without an instruction, or each combination would be a goal
    other = about | {"instruction": "find me a kit", "instruction_attributes": ["soft"]}
    items = [product_of_many, item("B0OTHER001", "another kit")]
    raw = write_catalog(tmp_path / "raw", items, {"B0MANY0001": about, "B0OTHER001": other}, {})
    built = load_catalog(build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger={"name": "plain"}))
    product = built.product("B0MANY0001")
    wanted = {group: values[1] for group, values in product.options.items()}
    goal = replace(load_catalog().goals[0], options=wanted)
    assert best_options(product, goal) == wanted
    assert len(best_clicks(product, goal, {})) >= 26

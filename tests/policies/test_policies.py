"""What policies read and do, alone and in rollouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_data import colour_episode, colour_page, text_decision
from recrl.episodes.data import Episode, Step, episodes_to_dataset, load_episodes, row_to_episode
from recrl.errors import DatasetError, PolicyError
from recrl.evaluation.ceilings import ceiling_rewards
from recrl.policies.base import Choice
from recrl.policies.loading import load_policy
from recrl.policies.options import named_options
from recrl.policies.reader import phrase_score, wanted_phrases
from recrl.rollouts.rollout import rollout
from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.pages import OptionGroup, Page
from recrl.webshop.prices import price_bound
from recrl.webshop.reading import read_page
from small_catalog import item, options, plain_nouns, write_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Shoes of which the wanted one is never the first hit, and tells its soft sole in the features only."""
    folder = tmp_path_factory.mktemp("policies")
    items, attributes = [], {}
    for number in range(8):
        common = {"product_category": "Clothing › Shoes › Sandals", "query": "shoes"}
        colours = options(color=["red", "blue"], size=["8", "9"])
        pair = (
            item(f"B0LOUD{number:04d}", f"Brand{number} leather shoe, find shoe brand{number} leather", pricing="$500",
                 small_description=["hard sole"], full_description="", customization_options=colours, **common),
            item(f"B0WISH{number:04d}", f"Brand{number} leather shoe", pricing="$15", small_description=["soft sole"],
                 full_description="", customization_options=colours, **common),
        )  # fmt: skip
        items += pair
        attributes[pair[0]["asin"]] = {"attributes": ["leather"]}
        attributes[pair[1]["asin"]] = {
            "attributes": ["soft sole"],
            "instruction": f"find me brand{number} leather shoe with soft sole",
            "instruction_attributes": ["soft sole"],
        }
    raw = write_catalog(folder / "raw", items=items, attributes=attributes, human={})
    return load_catalog(build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"}))


def play(catalog: Catalog, spec: str, **settings: Any) -> list[Episode]:
    return list(rollout(load_policy(spec), catalog, range(len(catalog.goals)), **({"seed": 0} | settings)))


def success(episodes: list[Episode]) -> float:
    return sum(episode.success for episode in episodes) / len(episodes)


def test_the_policies_stand_in_the_expected_order(catalog: Catalog) -> None:
    assert success(play(catalog, "rule")) == 0
    assert success(play(catalog, "matching")) == 0  # the options are right, the first hit is not
    assert success(play(catalog, "matching-price")) == 1  # the price gives the loud shoe away
    assert success(play(catalog, "demonstrator")) == 1
    assert min(ceiling_rewards(catalog, range(len(catalog.goals)))) == 1
    assert max(ceiling_rewards(catalog, range(len(catalog.goals)), num_hits=1)) < 1


def test_the_reader_buys_in_time_whatever_the_limit(catalog: Catalog) -> None:
    for max_steps in (6, 8, 15, 40):
        episodes = play(catalog, "reader", max_steps=max_steps)
        assert all(episode.terminated for episode in episodes), max_steps
    assert success(play(catalog, "reader", max_steps=40)) == 1
    assert success(play(catalog, "reader:1")) == 0


def test_results_are_in_order_and_do_not_depend_on_the_batch(catalog: Catalog) -> None:
    goals = [3, 1, 4, 1, 5, 9, 2, 6]
    one, many = (list(rollout(load_policy("random"), catalog, goals, seed=5, batch_size=size)) for size in (1, 7))
    assert [episode.goal_index for episode in one] == goals
    assert one == many
    later = list(rollout(load_policy("random"), catalog, goals[3:], seed=5, first_number=3))
    assert later == one[3:]
    assert one != list(rollout(load_policy("random"), catalog, goals, seed=6))


def test_random_records_its_propensities(catalog: Catalog) -> None:
    for episode in play(catalog, "random", max_steps=30):
        for step in episode.steps:
            assert step.log_prob == pytest.approx(-np.log(len(step.valid_actions)))


class AskingTooMuch:
    """A policy that forgets an answer."""

    name = "forgetful"
    catalog_sha256 = None

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
        return [Choice(0, 0.0)] * (len(decisions) - 1)


class Hasty:
    """A policy that does not know of ``greedy``."""

    name = "hasty"
    catalog_sha256 = None

    def act(self, decisions: Any, rngs: Any) -> list[Choice]:
        return [Choice(0, 0.0) for _ in decisions]


class Says(Hasty):
    """A policy that always gives the same answer."""

    name = "parrot"

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Any]:  # type: ignore[override]
        return [self.answer for _ in decisions]


def first_hit(observation: str, info: dict[str, Any]) -> str | int:
    """A plain function as a policy."""
    assert info["instruction"] in observation
    if info["page"].listing:
        return f"click[{info['page'].listing[0].asin.lower()}]"
    return "click[buy now]" if "click[buy now]" in info["valid_actions"] else 0


def forgetful() -> AskingTooMuch:
    return AskingTooMuch()


def test_ones_own_policy_is_found_and_checked(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    policy = load_policy("test_policies:forgetful")
    with pytest.raises(PolicyError, match="gave 0 choices for 1 decisions"):
        list(rollout(policy, catalog, [0], seed=0))
    with pytest.raises(PolicyError, match="cannot be imported"):
        load_policy("test_policies:nothing")
    with pytest.raises(PolicyError, match="an object with name, catalog_sha256 and act"):
        load_policy("collections:Counter")
    with pytest.raises(PolicyError, match="cannot be called without arguments"):
        load_policy("test_policies:Pointing")
    with pytest.raises(PolicyError, match=r"has act\(.*; expected act\(decisions, rngs, \*, greedy\)"):
        load_policy("test_policies:Hasty")
    assert load_policy("test_policies:first_hit").name == "first_hit"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "policy 'parrot' chose None, expected an index into its valid actions, one of their texts, or a Choice"),
        (True, "policy 'parrot' chose True, expected an index"),
        (99, "policy 'parrot' chose action_index=99, expected an index into the page's 1 valid actions"),
        ("click[nowhere]", r"chose 'click\[nowhere\]', which is not among the page's 1 valid actions, such as 'search"),
        (Choice(0, 0.0, right_actions=(7,)), "policy 'parrot' gave right_actions"),
    ],
)
def test_an_answer_that_is_no_action_is_one_line(catalog: Catalog, answer: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message) as refused:
        list(rollout(Says(answer), catalog, [0], seed=0))
    assert "\n" not in str(refused.value)


def test_actions_may_be_indices_texts_or_choices(catalog: Catalog) -> None:
    [searched] = rollout(Says(0), catalog, [0], seed=0, max_steps=1)
    for answer in (np.int64(0), Choice(0, 0.0), searched.steps[0].action):
        assert list(rollout(Says(answer), catalog, [0], seed=0, max_steps=1)) == [searched]


def takes_too_little(observation: str) -> int:
    return 0


def test_a_plain_function_is_a_policy(catalog: Catalog) -> None:
    rule = load_policy("rule")
    mine, theirs = (list(rollout(policy, catalog, range(4), seed=0)) for policy in (first_hit, rule))
    assert [episode.steps for episode in mine] == [episode.steps for episode in theirs]
    assert mine[0].policy == "first_hit"
    with pytest.raises(PolicyError, match="expected a function of \\(observation, info\\), or an object with name"):
        list(rollout(object(), catalog, [0], seed=0))  # type: ignore[arg-type]
    with pytest.raises(
        PolicyError,
        match=r"the policy is takes_too_little\(observation: str\) -> int; expected a function of \(observation, info",
    ):
        list(rollout(takes_too_little, catalog, [0], seed=0))  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="the policy has no name, catalog_sha256; expected"):
        list(rollout(type("Half", (), {"act": lambda self: []})(), catalog, [0], seed=0))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("matchin", "unknown policy 'matchin'; did you mean 'matching'"),
        ("xyzzy", "unknown policy 'xyzzy'"),
        ("reader:none", "expected a positive number of products"),
        ("rule:3", "takes no argument"),
    ],
)
def test_unknown_policies_are_named(spec: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        load_policy(spec)


def test_best_options_are_the_best_of_all_combinations(catalog: Catalog) -> None:
    import itertools

    from recrl.webshop.reward import purchase_reward

    for goal in catalog.goals[:6]:
        for product in catalog.products[:6]:
            groups = [[(name, value) for value in values] + [None] for name, values in product.options.items()]
            every = [dict(filter(None, choice)) for choice in itertools.product(*groups)]
            best = max(purchase_reward(product, goal, chosen, product.price)[0] for chosen in every)
            assert best_reward(product, goal) == best
    assert best_options(catalog.product("B0WISH0000"), catalog.goals[0]) == catalog.goals[0].options


def test_an_item_page_is_read_back() -> None:
    page = read_page(colour_page("i want, a red shirt", ("red", "blue"), clicked="blue"))
    assert (page.kind, page.instruction, page.title, page.price_tag) == (
        "item",
        "i want, a red shirt",
        "cotton shirt",
        "$9.0",
    )
    assert page.options == (OptionGroup("color", ("red", "blue"), ("blue",)),)
    assert page.clicked == ("blue",)


def test_other_observation_modes_are_refused(catalog: Catalog) -> None:
    env = WebShopEnv(catalog=catalog, split="all", observation_mode="text")
    env.reset(options={"goal_index": 0})
    with pytest.raises(PolicyError, match="observation_mode='text_rich'"):
        read_page(env.step("search[shoe]")[0])


@pytest.mark.parametrize(
    ("instruction", "bound"),
    [
        ("a hat, and price lower than 30.00 dollars", 30.0),
        ("Find me a hat priced lower than $12.50 dollars", 12.5),
        ("a hat of size 12", None),
    ],
)
def test_the_price_bound_is_read(instruction: str, bound: float | None) -> None:
    assert price_bound(instruction) == bound


def test_phrases_and_named_options() -> None:
    text = (
        "Find me double sided, machine washable pillows with printing technology with size: 28 x 28, and price lower "
        "than 30.00 dollars"
    )
    assert wanted_phrases(text) == ["double sided", "machine washable pillows", "printing technology"]
    assert phrase_score("machine washable pillows", "a machine washable cover") == pytest.approx(1 / 3)
    groups = (OptionGroup("size", ("8", "28 x 28", "28")), OptionGroup("color", ("red",)))
    assert named_options(text, Page("item", text, options=groups)) == {"size": "28 x 28"}


def test_a_dataset_gives_its_episodes_back(tmp_path: Path) -> None:
    episodes = [colour_episode(number) for number in range(3)]
    episodes_to_dataset(episodes).save_to_disk(str(tmp_path / "data"))
    assert load_episodes(tmp_path / "data") == episodes


def test_datasets_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    from datasets import Dataset

    with pytest.raises(DatasetError, match="expected a trajectory dataset"):
        load_episodes(tmp_path / "nowhere" / "at" / "all")
    Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(DatasetError, match=r"it lacks the columns goal_index, .*; it has text"):
        load_episodes(tmp_path / "other")
    episodes_to_dataset([]).save_to_disk(str(tmp_path / "empty"))
    with pytest.raises(DatasetError, match="it is empty"):
        load_episodes(tmp_path / "empty")
    for path in (tmp_path / "empty").glob("*.arrow"):
        path.write_bytes(b"torn")
    with pytest.raises(DatasetError):
        load_episodes(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action": "click[purple]"}, "not among its page's valid actions"),
        ({"log_prob": 0.5}, "log_prob=0.5"),
        ({"log_prob": float("nan")}, "log_prob=nan"),
    ],
)
def test_impossible_steps_are_refused(changed: dict[str, Any], message: str) -> None:
    from recrl.episodes.data import episode_to_row

    row = episode_to_row(colour_episode(0))
    row["steps"][1] |= changed
    with pytest.raises(DatasetError, match=message):
        row_to_episode(row)


PAGE = Page("search", "i want a shirt")


@given(index=st.integers(-3, 9), count=st.integers(0, 5))
def test_an_action_is_an_index_into_the_valid_ones(index: int, count: int) -> None:
    actions = tuple(f"click[{number}]" for number in range(count))
    if 0 <= index < count:
        assert Step("page", PAGE, actions, 15, index, -1.0, 0.0).action == actions[index]
    else:
        with pytest.raises(DatasetError, match="no index"):
            Step("page", PAGE, actions, 15, index, -1.0, 0.0)


def test_the_demonstrator_needs_the_environment() -> None:
    decision = text_decision(colour_page("i want a red shirt", ("red",)), ("click[buy now]",))
    with pytest.raises(PolicyError, match="hidden goal"):
        load_policy("demonstrator").act([decision], [np.random.default_rng(0)])


@pytest.mark.parametrize("max_steps", [3, 4, 5])
def test_the_reader_buys_without_all_options_rather_than_not_at_all(catalog: Catalog, max_steps: int) -> None:
    assert all(episode.terminated for episode in play(catalog, "reader", max_steps=max_steps))


def test_the_reader_stops_when_the_page_is_read(catalog: Catalog) -> None:
    """Asked for more products than a page lists, it buys as soon as the last one is read."""
    ten, twenty = (play(catalog, f"reader:{count}", max_steps=200) for count in (10, 20))
    assert [episode.num_steps for episode in ten] == [episode.num_steps for episode in twenty]
    assert max(episode.num_steps for episode in ten) < 100


class Pointing:
    """A policy that gives the same index everywhere."""

    name = "pointing"
    catalog_sha256 = None

    def __init__(self, index: int) -> None:
        self.index = index

    def act(self, decisions: Any, rngs: Any, *, greedy: bool = False) -> list[Choice]:
        return [Choice(self.index, 0.0) for _ in decisions]


@pytest.mark.parametrize("index", [-1, 999])
def test_an_index_that_points_nowhere_is_refused(catalog: Catalog, index: int) -> None:
    with pytest.raises(PolicyError, match=f"action_index={index}, expected an index into the page's 1 valid"):
        list(rollout(Pointing(index), catalog, [0], seed=0))


@pytest.mark.realdata
def test_every_recorded_page_is_read(golden_dir: Path) -> None:
    """Each recorded page is of the kind that its address says, and shows the recorded instruction."""
    from recordings import read_recording

    kinds = {"search_results": "results", "item_page": "item", "item_sub_page": "sub", "done": "bought"}
    seen: set[str] = set()
    for name in ("real", "quirks"):
        for record in read_recording(golden_dir / name, "episodes"):
            for shown in (record["reset"], *record["steps"]):
                page = read_page(shown["text_rich"])
                assert page.kind == kinds.get(shown["url"].split("/")[3], "search")
                assert page.kind == "bought" or page.instruction == record["instruction_text"].removeprefix(
                    "Instruction: "
                )
                seen.add(page.kind)
    assert seen == {"search", "results", "item", "sub", "bought"}

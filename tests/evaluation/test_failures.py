"""Why episodes failed: each kind by an episode made for it, and what holds of any episode."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.cli import main
from recrl.episodes.data import Episode, episode_to_row, row_to_episode
from recrl.episodes.decisions import Decision
from recrl.errors import DatasetError
from recrl.evaluation.ceilings import ceiling_rewards
from recrl.evaluation.failure_tables import example_lines, failure_table
from recrl.evaluation.failure_types import KINDS, Failure, Failures, Lack
from recrl.evaluation.failures import explain_failure, follow_episode
from recrl.evaluation.measure import evaluate
from recrl.evaluation.results import aggregate_seeds, load_result, save_result
from recrl.policies.loading import load_policy
from recrl.policies.scripted import ScriptedPolicy
from recrl.rollouts.rollout import rollout
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.reward import purchase_reward
from small_catalog import item, options, plain_nouns, write_catalog

SANDALS, GIFT = "find me sandals with soft sole", "a gift"
NO_SOLE = {"full_description": "For the beach.", "small_description": ["light"]}
ITEMS = [
    # Found last, because the bullet that is searched is long; its sole stands in the other one.
    item("B00TARGET1", "Red leather sandal", small_description=["long " * 300, "has a soft sole"],
         customization_options=options(Color=["red", "green"], Size=["8", "9"])),
    item("B00CANVAS1", "Canvas sandal", customization_options=options(Color=["red"], Size=["8"]), **NO_SOLE),
    item("B000DEAR01", "Dear sandal", pricing="$900.00", customization_options=options(Color=["red"], Size=["8"])),
    item("B0000HAT01", "Wool hat with sole", query="hats", product_category="Clothing › Hats",
         customization_options=options(Color=["red"], Size=["8"])),
    item("B000PLAIN1", "Plain soft sandal", customization_options=options(Color=["green"], Size=["9"])),
    *(item(f"B00FILLER{number}", "Find me soft sandal with sole", **NO_SOLE) for number in range(6)),
    item("B0000LAMP1", "Lamp", query="lamps", product_category="Home › Lamps", small_description=["bright"]),
    item("B0000CARD1", "Gift card", query="cards", product_category="Office › Cards", small_description=["a gift"]),
]  # fmt: skip
ATTRIBUTES = {
    "B00TARGET1": {
        "attributes": ["soft sole"], "instruction": SANDALS, "instruction_attributes": ["soft sole"]
    },
    "B0000LAMP1": {"attributes": ["bright"], "instruction": GIFT, "instruction_attributes": ["bright"]},
    "B0000CARD1": {"attributes": ["card"], "instruction": "a gift card", "instruction_attributes": ["card"]},
}  # fmt: skip
NOTHING = {"attributes": []}
TO_PAGE_2 = ("click[next >]",)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("failures")
    attributes = {record["asin"]: NOTHING for record in ITEMS} | ATTRIBUTES
    raw = write_catalog(folder / "raw", ITEMS, attributes, {})
    return load_catalog(build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"}))


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


def play(catalog: Catalog, asin: str, *texts: str) -> Episode:
    """Searches for the plain instruction of the asin's goal (red, in size 8), then does what the texts say."""

    def choose(decision: Decision) -> str:
        return decision.valid_actions[0] if not decision.previous_actions else texts[len(decision.previous_actions) - 1]

    goals = [number for number, goal in enumerate(catalog.goals) if goal.asin == asin]
    wanted = [number for number in goals if catalog.goals[number].options in ({}, {"color": "red", "size": "8"})]
    (episode,) = rollout(ScriptedPolicy("script", choose), catalog, wanted, seed=0, max_steps=1 + len(texts))
    return episode


def failure(catalog: Catalog, asin: str, *texts: str) -> Failure:
    found = explain_failure(catalog, play(catalog, asin, *texts))
    assert found is not None
    return found


def test_a_success_has_no_kind(shop: Catalog) -> None:
    bought = ("click[b00target1]", "click[red]", "click[8]", "click[buy now]")
    assert explain_failure(shop, play(shop, "B00TARGET1", *TO_PAGE_2, *bought)) is None


def test_never_bought(shop: Catalog) -> None:
    looking = failure(shop, "B00TARGET1", "click[next >]", "click[b00target1]", "click[features]")
    assert (looking.kind, looking.bought, looking.reward) == ("still_looking", None, 0)
    assert looking.perfect is not None
    assert (looking.perfect.opened, looking.perfect.read) == (True, ("features",))
    around = ("click[next >]", "click[< prev]")
    assert failure(shop, "B00TARGET1", *around).kind == "still_looking"
    assert failure(shop, "B00TARGET1", *around, "click[next >]").kind == "looped"
    assert failure(shop, "B00TARGET1", *around, *around, "click[b00canvas1]").kind == "still_looking"  # out of the loop


def test_equal_pages_of_two_products_are_no_loop(shop: Catalog) -> None:
    look = ("click[reviews]", "click[< prev]", "click[< prev]")  # no product has reviews
    both = ("click[b00canvas1]", *look, "click[b000plain1]", *look[:2])
    assert failure(shop, "B00TARGET1", *both).kind == "still_looking"
    again = ("click[b00canvas1]", "click[red]", "click[red]")
    assert failure(shop, "B00TARGET1", *again).kind == "still_looking"  # first without, then with the option set
    assert failure(shop, "B00TARGET1", *again, "click[red]").kind == "looped"


@pytest.mark.parametrize(
    ("chosen", "kind", "lacking"),
    [
        ((), "missing_option", ["color: red", "size: 8"]),
        (("red",), "missing_option", ["size: 8"]),
        (("green", "8"), "wrong_option", ["color: red"]),
        (("green",), "wrong_option", ["color: red", "size: 8"]),
    ],
)
def test_right_product_wrong_options(shop: Catalog, chosen: tuple[str, ...], kind: str, lacking: list[str]) -> None:
    clicks = [f"click[{value}]" for value in chosen]
    found = failure(shop, "B00TARGET1", *TO_PAGE_2, "click[b00target1]", *clicks, "click[buy now]")
    assert (found.kind, found.perfect) == (kind, None)
    assert found.bought is not None
    assert found.bought.lacks == tuple(Lack(what="option", wanted=wanted) for wanted in lacking)
    assert sorted(found.bought.options.values()) == sorted(chosen)


def test_options_are_those_of_the_product_at_hand(shop: Catalog) -> None:
    left = ("click[b00canvas1]", "click[red]", "click[8]", "click[< prev]")
    found = failure(shop, "B00TARGET1", *left, *TO_PAGE_2, "click[b00target1]", "click[9]", "click[buy now]")
    assert found.bought is not None
    assert (found.kind, found.bought.options) == ("wrong_option", {"size": "9"})


def test_where_a_perfect_product_was(shop: Catalog) -> None:
    bought = ("click[b00canvas1]", "click[buy now]")
    not_shown = failure(shop, "B00TARGET1", *bought)
    assert not_shown.kind == "perfect_not_shown"
    assert not_shown.perfect is not None
    assert (not_shown.perfect.asin, not_shown.perfect.page_number, not_shown.perfect.place) == ("B00TARGET1", 2, 1)
    shown = failure(shop, "B00TARGET1", *TO_PAGE_2, "click[< prev]", *bought)
    assert shown.kind == "perfect_shown"
    assert shown.perfect == replace(not_shown.perfect, shown=True)
    looks = ("click[b00target1]", "click[description]", "click[< prev]", "click[< prev]")
    opened = failure(shop, "B00TARGET1", *TO_PAGE_2, *looks, "click[< prev]", *bought)
    assert opened.kind == "perfect_opened"
    assert opened.perfect == replace(not_shown.perfect, shown=True, opened=True, read=("description",))
    none = failure(shop, "B0000LAMP1", "click[b0000card1]", "click[buy now]")
    assert (none.kind, none.perfect) == ("none_findable", None)


@pytest.mark.parametrize(
    ("asin", "read", "lacks"),
    [
        ("b000dear01", (), ["price"]),
        ("b0000hat01", (), ["type"]),
        ("b000plain1", (), ["option", "option"]),
        ("b00canvas1", (), ["attribute_features_unread"]),
        ("b00canvas1", ("description",), ["attribute_features_unread"]),
        ("b00canvas1", ("features",), ["attribute_description_unread"]),
        ("b00canvas1", ("features", "description"), ["attribute_read"]),
        ("b00filler3", (), ["option", "option", "attribute_features_unread"]),
    ],
)
def test_what_a_wrong_product_lacks(shop: Catalog, asin: str, read: tuple[str, ...], lacks: list[str]) -> None:
    looks = [text for name in read for text in (f"click[{name}]", "click[< prev]")]
    found = failure(shop, "B00TARGET1", f"click[{asin}]", *looks, "click[buy now]")
    assert found.bought is not None
    assert [lack.what for lack in found.bought.lacks] == lacks
    assert {lack.wanted for lack in found.bought.lacks} <= {
        "at most 20.00 dollars", "at most 30.00 dollars", "at most 40.00 dollars", "at most 50.00 dollars",
        "sandals (Clothing › Shoes › Sandals)", "color: red", "size: 8", "soft sole",
    }  # fmt: skip


def test_kinds_add_up_and_survive_a_file(embedded: Catalog, tmp_path: Path) -> None:
    for name, settings_ in (("reader", {}), ("matching-price", {}), ("random", {"max_steps": 40}), ("rule", {})):
        result = evaluate(load_policy(name), embedded, num_episodes=60, explain_failures=True, **settings_)
        failures = result.failures
        assert failures is not None
        assert [count.kind for count in failures.kinds] == list(KINDS)
        assert sum(count.episodes for count in failures.kinds) == failures.num_failures
        assert failures.num_failures == sum(not record.success for record in result.episodes) > 0
        assert replace(result, failures=None) == evaluate(load_policy(name), embedded, num_episodes=60, **settings_)
        save_result(tmp_path / "result.json", result)
        assert load_result(tmp_path / "result.json") == result
        assert "failures" not in result.headline()
        assert aggregate_seeds([result]).failures is None
        assert failure_table(failures, 60).rows[-1][1] == failures.num_failures


def test_damaged_failures_are_refused(embedded: Catalog, tmp_path: Path) -> None:
    result = evaluate(load_policy("rule"), embedded, num_episodes=20, explain_failures=True)
    assert result.failures is not None
    assert "failures" not in evaluate(load_policy("rule"), embedded, num_episodes=2).to_json()
    first, *others = result.failures.episodes
    with pytest.raises(DatasetError, match="other goals than the episodes that failed"):
        replace(result, failures=Failures.of(others))
    with pytest.raises(DatasetError, match="counts of the kinds"):
        replace(result.failures, kinds=result.failures.kinds[::-1])
    with pytest.raises(DatasetError, match="num_failures=3"):
        replace(result.failures, num_failures=3)
    with pytest.raises(DatasetError, match="kind='tired', expected one of looped"):
        replace(first, kind="tired")
    with pytest.raises(DatasetError, match="contradicts bought"):
        replace(first, kind="looped")
    with pytest.raises(DatasetError, match="contradicts perfect"):
        replace(first, kind=next(kind for kind in ("none_findable", "perfect_opened") if kind != first.kind))
    with pytest.raises(DatasetError, match="reward=1"):
        replace(first, reward=1.0)


def test_an_episode_of_other_goals_is_refused(shop: Catalog, embedded: Catalog) -> None:
    with pytest.raises(DatasetError, match="open the catalogue that it was played in"):
        explain_failure(embedded, play(shop, "B00TARGET1", "click[next >]"))


def stumbling(seed: int, share: float, embedded: Catalog, max_steps: int) -> Iterator[Episode]:
    """Episodes of a demonstrator that does something else at a share of its steps."""
    demonstrator, random = load_policy("demonstrator"), load_policy("random")

    class Stumbling:
        name, catalog_sha256, knows_goal = "stumbling", None, True

        def act(self, decisions, rngs, *, greedy=False):  # type: ignore[no-untyped-def]
            return [
                (random if decision.page.kind == "sub" or rng.random() < share else demonstrator).act(
                    [decision], [rng]
                )[0]
                for decision, rng in zip(decisions, rngs, strict=True)
            ]

    goals = [(seed * 97 + number * 31) % len(embedded.goals) for number in range(4)]
    return rollout(Stumbling(), embedded, goals, seed=seed, max_steps=max_steps)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 25))
def test_any_episode(seed: int, share: float, max_steps: int) -> None:
    embedded = load_catalog()
    for episode in stumbling(seed, share, embedded, max_steps):
        found = explain_failure(embedded, episode)
        assert (found is None) == episode.success
        assert found == explain_failure(embedded, row_to_episode(episode_to_row(episode)))
        goal, trail = embedded.goals[episode.goal_index], follow_episode(episode)
        if episode.terminated:  # the purchase that was followed earns what the environment paid
            product = embedded.product(trail.asin)
            assert purchase_reward(product, goal, trail.options, product.price)[0] == episode.reward
        if found is None:
            continue
        assert (found.kind in ("looped", "still_looking")) == episode.truncated
        if found.kind == "none_findable":
            assert ceiling_rewards(embedded, [episode.goal_index], num_hits=50)[0] < 1


def test_the_command_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    common = ("evaluate", "--policy", "matching-price", "--num_episodes", "40")
    main((*common, "--failures", "2", "--output_json", str(path)))
    shown = capsys.readouterr().out
    counts = {one["kind"]: one["episodes"] for one in json.loads(path.read_text())["failures"]["kinds"]}
    assert f"{sum(counts.values())} of 40 episodes failed" in shown
    examples = [line for line in shown.splitlines() if line.startswith("  instruction: ")]
    assert len(examples) == sum(min(2, number) for number in counts.values()) > 0
    assert shown.count("  actions: search[") == len(examples)
    main((*common, "--failures"))
    shown = capsys.readouterr().out
    assert "never bought, in a loop" in shown
    assert "instruction:" not in shown
    with pytest.raises(SystemExit) as ended:
        main((*common, "--failures", "-1"))
    assert ended.value.code == 2
    assert "failures=-1, expected at least 0" in capsys.readouterr().err


def test_examples_say_what_was_passed_over(shop: Catalog) -> None:
    looks = ("click[next >]", "click[b00target1]", "click[features]", "click[< prev]", "click[< prev]", "click[< prev]")
    failures = Failures.of(
        [failure(shop, "B00TARGET1", *looks, "click[b00canvas1]", "click[red]", "click[8]", "click[buy now]")]
    )
    lines = example_lines(failures, 1)
    assert lines[0] == ""
    assert lines[1].startswith("wrong, perfect one left (1 of 1), goal ")
    assert lines[3].startswith("  bought: B00CANVAS1 Canvas sandal, $15.00, color: red, size: 8; reward 0.75")
    assert lines[4] == "  lacks: attribute: soft sole (features unread)"
    assert lines[5].endswith("Red leather sandal, $15.00; place 1 of results page 2; opened, features read")
    assert example_lines(failures, 0) == []
    odd = replace(failures.episodes[0], instruction="two\nlines\x1b[31m")
    assert "  instruction: two lines [31m" in example_lines(Failures.of([odd]), 1)


@pytest.mark.realdata
def test_known_failures_on_webshop_1k_unseen(webshop_dir: Path) -> None:
    result = evaluate(load_policy("reader"), load_catalog(webshop_dir), explain_failures=True)
    assert result.failures is not None
    assert {count.kind: count.episodes for count in result.failures.kinds} == {
        "looped": 0, "still_looking": 0, "wrong_option": 5, "missing_option": 0, "perfect_opened": 7,
        "perfect_shown": 85, "perfect_not_shown": 32, "none_findable": 21,
    }  # fmt: skip

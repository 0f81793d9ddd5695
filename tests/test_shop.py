"""Shopping by hand: what is drawn, what a typed line means, and how the reward is explained."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recrl.policies.loading import load_policy
from recrl.shop import play
from recrl.webshop.best_purchase import best_options
from recrl.webshop.env import WebShopEnv


def played(lines: list[str], *, goal_index: int = 3, max_steps: int = 15, advisor: Any = None, **settings: Any) -> str:
    output = io.StringIO()
    console = Console(file=output, width=100, color_system=None)
    env = WebShopEnv(split="all", max_steps=max_steps, **settings)
    play(env, lines, console, goal_index=goal_index, advisor=advisor)
    return output.getvalue()


def number_of(shown: str, name: str) -> str:
    """The number that is drawn before a name, on the last page that has it."""
    return shown.lower().rsplit(f" {name.lower()}]", 1)[0].rsplit("[", 1)[1]


def test_a_person_can_buy_the_right_thing_by_numbers() -> None:
    env = WebShopEnv(split="all")
    env.reset(options={"goal_index": 3})
    goal, target = env.goal, env.catalog.product(env.goal.asin)
    lines = [goal.name]
    lines.append(number_of(played(lines), goal.asin))
    for value in best_options(target, goal).values():
        lines.append(number_of(played(lines), value))
    shown = played(lines)
    lines.append(number_of(shown, "buy now"))
    bought = played(lines)
    assert goal.instruction.split()[0] in shown
    assert f"You bought {goal.asin}: reward 1.000 - success" in bought
    assert "1.00 x" in bought
    assert "could have given" not in bought


def test_what_was_missed_is_said() -> None:
    lines = ["a thing that is made of cotton or wood", "3"]
    shown = played([*lines, "click[buy now]"])
    assert "none chosen" in shown or "reward 0.000" in shown
    assert "This product could have given" in shown
    assert "Meant was B0" in shown


def test_lines_that_mean_nothing_cost_no_step() -> None:
    shown = played(["help", "", "99", "hat", "0", "77", "quit"], max_steps=2)
    assert shown.count("Type a number or what it stands for") == 3
    assert "99 is on no button; this page has none; type words to search for" in shown
    assert "77 is on no button; expected 1 to 12" in shown
    assert "You left without buying; the reward is 0." in shown


def test_what_is_displayed_is_clicked_by_its_name() -> None:
    env = WebShopEnv(split="all")
    env.reset(options={"goal_index": 3})
    target = env.catalog.product(env.goal.asin)
    lines = [env.goal.name, target.asin, *best_options(target, env.goal).values(), "Buy Now"]
    assert f"You bought {target.asin}: reward 1.000 - success" in played(lines)


def test_an_unknown_word_leaves_no_product_silently() -> None:
    lines = ["hat", "3", "buy nwo"]
    shown = played([*lines, "buy now"])
    assert "nothing here is called 'buy nwo'; did you mean 'buy now'?" in shown
    assert "You bought " in shown
    assert played([*lines, "y"]).count("Page 1 (Total results: ") == 2
    stayed = played([*lines, "n", "buy now"])
    assert "You stay with this product." in stayed
    assert "You bought " in stayed
    assert "'y'" in played([*lines, "hm", "features", "y"])  # an offer is for the next line alone


def test_sub_pages_have_names_and_goals_outside_the_split_are_said() -> None:
    assert "product: Features" in played(["hat", "3", "features"])
    output = io.StringIO()
    env = WebShopEnv(split="train")
    outside = next(index for index in range(100) if index not in env.goal_indices)
    play(env, ["quit"], Console(file=output, width=100, color_system=None), goal_index=outside)
    assert re.search(rf"goal {outside} is not in the train split by product; it is in (dev|test)", output.getvalue())


def test_an_invalid_action_and_the_step_limit_are_said() -> None:
    shown = played(["click[nowhere]", "search[hat]"], max_steps=2)
    assert "nothing happened: 'nowhere' cannot be clicked on this page" in shown
    assert "That was the last of 2 steps; nothing was bought" in shown


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["--goal_index", "5"], 0, "goal 5: you want this"),
    (["--goal_index", "99999999"], 2, "error: goal_index=99999999, expected 0 to 4644"),
])  # fmt: skip
def test_the_command(arguments: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "recrl", "shop", *arguments]
    done = subprocess.run(command, input="hat\n", capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_proposed_queries_have_numbers() -> None:
    shown = played(["2", "quit"], queries=lambda instruction: ["wool hat"])
    assert "[2 wool hat]" in shown
    assert "Page 1 (Total results: " in shown
    assert "[1 " not in played(["quit"]).split("Type what to search for.")[1]


def test_an_advisor_says_on_each_page_what_it_would_do(tiny_scorer: Path) -> None:
    for name in ("matching", str(tiny_scorer)):
        policy = load_policy(name)
        shown = played(["my own words", "click[next >]", "quit"], goal_index=0, advisor=policy)
        said = [line for line in shown.splitlines() if line.startswith(policy.name)]
        assert len(said) == 3
        assert ("%" in said[1]) == (name != "matching")

"""Episodes made by hand whose right actions are known, for tests that train."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recrl.episodes.data import Episode, Step
from recrl.episodes.decisions import Decision
from recrl.episodes.notes import Notes
from recrl.webshop.reading import read_page

COLOURS = ("black", "blue", "green", "red", "white", "yellow")


def colour_page(instruction: str, colours: tuple[str, ...], clicked: str | None = None) -> str:
    """An item page as the environment shows it in mode text_rich, with one group of options."""
    lines = [f"You have clicked {clicked}."] if clicked else []
    lines += ["Instruction:", instruction, "[button] Back to Search [button_]", "[button] < Prev [button_]", "color"]
    for colour in colours:
        mark = "clicked button" if colour == clicked else "button"
        lines.append(f"  [{mark}] {colour} [{mark}_]")
    lines += ["cotton shirt", "Price: $9.0", "Rating: N.A."]
    lines += [f"[button] {name} [button_]" for name in ("Description", "Features", "Reviews", "Buy Now")]
    return "\n".join(lines) + "\n"


def text_decision(
    observation: str, actions: Sequence[str], previous: Sequence[str] = (), steps_left: int = 15
) -> Decision:
    """A decision on a page that is given as its text."""
    page = read_page(observation)
    return Decision(observation, page, tuple(actions), tuple(previous), steps_left, Notes.first(page))


def text_step(observation: str, *fields: Any) -> Step:
    """A step on a page that is given as its text."""
    return Step(observation, read_page(observation), *fields)


def episode_by_hand(goal_index: int, instruction: str, steps: tuple[Step, ...], reward: float) -> Episode:
    """An episode of these steps, which ended by itself."""
    return Episode(
        goal_index=goal_index,
        instruction=instruction,
        protocol="custom",
        catalog_sha256="c" * 64,
        goals_sha256="g" * 64,
        policy="by hand",
        seed=0,
        steps=steps,
        reward=reward,
        success=reward == 1.0,
        terminated=True,
        truncated=False,
        reward_parts={},
    )


def colour_episode(number: int) -> Episode:
    """Click the colour that the instruction names, then buy; the search page before has a single action."""
    rng = np.random.default_rng(number)
    colours = tuple(str(colour) for colour in rng.permutation(COLOURS))
    wanted = colours[int(rng.integers(len(colours)))]
    instruction = f"i want a {wanted} shirt, and price lower than 20.00 dollars"
    buttons = ("click[back to search]", "click[< prev]", "click[description]", "click[features]", "click[reviews]")
    actions = (*buttons, "click[buy now]", *(f"click[{colour}]" for colour in colours))
    search = f"WebShop\nInstruction: \n{instruction}\n[button] Search [button_]\n"
    steps = (
        text_step(search, (f"search[i want a {wanted} shirt]",), 15, 0, 0.0, 0.0),
        text_step(colour_page(instruction, colours), actions, 14, actions.index(f"click[{wanted}]"), -1.0, 0.0),
        text_step(colour_page(instruction, colours, wanted), actions, 13, actions.index("click[buy now]"), -1.0, 1.0),
    )
    return episode_by_hand(number, instruction, steps, 1.0)

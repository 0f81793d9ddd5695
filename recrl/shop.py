"""Playing an episode by hand in the terminal: the quickest way to understand the task."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from recrl.advising import Advisor
from recrl.policies.base import Policy
from recrl.reports.purchase import print_receipt, shown
from recrl.settings import nearest
from recrl.terminal import plain
from recrl.webshop import actions
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import SPLITS
from recrl.webshop.receipts import make_receipt
from recrl.webshop.screens import Screen

HELP = (
    "Type a number or what it stands for to click it, words to search for them, 'help', or 'quit'. "
    "Only 'Buy Now' ends the episode with a reward."
)
PAGE_NAMES = {"search": "search", "results": "results", "item": "product"}


def play(
    env: WebShopEnv,
    lines: Iterable[str],
    console: Console,
    *,
    goal_index: int | None = None,
    seed: int = 0,
    advisor: Policy | None = None,
) -> None:
    """Plays one episode.

    Args:
        env: takes the actions.
        lines: what the person types, one line at a time; the episode is left when they end.
        goal_index: the goal; None draws one with ``seed``.
        advisor: says on each page what it would do.
    """
    options = None if goal_index is None else {"goal_index": goal_index}
    _, info = env.reset(seed=seed, options=options)
    console.print(Panel(shown(info["instruction"]), title=f"goal {info['goal_index']}: you want this", expand=False))
    if goal_index is not None and goal_index not in env.goal_indices:
        console.print(shown(_other_split(env, goal_index), style="yellow"))
    console.print(HELP, style="dim", markup=False)
    draw(env.screen, console)
    beside = None if advisor is None else Advisor(advisor, env, info)
    if beside is not None:
        console.print(shown(beside.advice(), style="italic"))
    for steps, action in enumerate(_actions(lines, env, console), start=1):
        _, reward, terminated, truncated, info = env.step(action)
        if "invalid_action" in info:
            console.print(shown(f"nothing happened: {info['invalid_action']}", style="yellow"))
        if terminated:
            state = env.screen.state
            print_receipt(make_receipt(env.catalog, env.goal, state.asin, state.options), console)
            return
        if truncated:
            console.print(f"That was the last of {steps} steps; nothing was bought, so the reward is 0.")
            return
        draw(env.screen, console)
        if beside is not None:
            beside.follow(action, float(reward), info)
            console.print(shown(beside.advice(), style="italic"))
    console.print("\nYou left without buying; the reward is 0.")


def _other_split(env: WebShopEnv, goal_index: int) -> str:
    """What is said of a goal that is not in the split that was asked for."""
    splits = [name for name in SPLITS if name != "all" and goal_index in env.catalog.split(name, env.split_by)]
    where = f"it is in {splits[0]}" if splits else "it is in none"
    return f"goal {goal_index} is not in the {env.split} split by {env.split_by}; {where}"


def _actions(lines: Iterable[str], env: WebShopEnv, console: Console) -> Iterator[str]:
    """What the lines mean on the page of the moment."""
    offered_search = ""  # words that were no button of a product's page, until they are confirmed
    for line in lines:
        typed, confirmed, offered_search = line.strip(), offered_search, ""
        if typed in ("quit", "exit", "q"):
            return
        if confirmed and typed.lower() in ("y", "yes"):
            yield actions.search(confirmed)
            continue
        if confirmed and typed.lower() in ("n", "no"):
            console.print("You stay with this product.", style="dim")
            continue
        if typed in ("help", "?", ""):
            console.print(HELP, style="dim", markup=False)
            continue
        clicks = _clicks(env.screen)
        offered = _searches(env.screen) or [actions.click(name) for name in clicks]
        if typed.lower() in clicks and not (typed.isdigit() and 1 <= int(typed) <= len(offered)):
            yield actions.click(typed.lower())
        elif typed.isascii() and typed.isdigit():
            if not 1 <= int(typed) <= len(offered):
                expected = (
                    f"expected 1 to {len(offered)}" if offered else "this page has none; type words to search for"
                )
                console.print(shown(f"{typed} is on no button; {expected}", style="yellow"))
                continue
            yield offered[int(typed) - 1]
        elif actions.is_meant(typed):
            yield typed
        elif env.screen.state.kind in ("item", "sub"):  # a search would leave the product and its options
            offered_search = typed
            meant = nearest(typed.lower(), clicks)
            hint = f"; did you mean {meant!r}?" if meant else "."
            said = f"nothing here is called {typed!r}{hint} To leave this product and search for {typed!r}, type y."
            console.print(shown(said, style="yellow"))
        else:
            yield actions.search(typed)


def _page_name(screen: Screen) -> str:
    """What the page is called above its content."""
    state = screen.state
    return f"product: {state.sub_page}" if state.kind == "sub" else PAGE_NAMES.get(state.kind, state.kind)


def _searches(screen: Screen) -> list[str]:
    """The searches of a search page for which queries are proposed; none on any other page."""
    return list(screen.valid_actions) if screen.state.kind == "search" and screen.queries else []


def _clicks(screen: Screen) -> list[str]:
    """The names that can be clicked, in the order in which they stand on the page; one that clashes has no number."""
    if screen.state.kind == "search":
        return []
    names = dict.fromkeys(line.text.lower() for line in screen.lines if line.role)
    return [name for name in names if actions.click(name) in screen.valid_actions]


def draw(screen: Screen, console: Console) -> None:
    """The page as a person reads it, with a number before everything that can be clicked."""
    numbers = {name: number for number, name in enumerate(_clicks(screen), start=1)}
    console.rule(f"[bold]{_page_name(screen)}[/bold]")
    if screen.state.kind == "search":
        console.print("Type what to search for.")
        for place, search in enumerate(_searches(screen), start=1):
            words = action.argument if (action := actions.parse(search)) else search
            console.print(shown(f"[{place} {words}]", style="bold cyan"))
        return
    text = Text()
    after = ""  # the role of the line before
    for line in screen.lines[2:]:  # after the instruction, which stays the same
        if not line.text:
            continue
        if not line.role:
            text.append(("  " if after == "link" else "\n") + plain(line.text.strip()))
            after = "link" if after == "link" else ""
            continue
        number = numbers.get(line.text.lower())
        label = f"{number} " if number is not None else ""
        style = {"button": "bold cyan", "link": "bold green", "option": "magenta"}[line.role]
        text.append("  " if after == line.role and line.role != "link" else "\n")
        text.append(f"[{label}{plain(line.text)}]", style=f"reverse {style}" if line.clicked else style)
        after = line.role
    console.print(text)


def typed_lines(prompt: str = "> ") -> Iterator[str]:
    """The lines that a person types, until the end of the input."""
    while True:
        try:
            yield input(prompt)
        except EOFError:
            return


def shop(env_settings: dict[str, Any], *, goal_index: int | None, seed: int, advisor: Policy | None = None) -> None:
    """Plays an episode in this terminal; ``env_settings`` go to `WebShopEnv`, the rest as to `play`.

    Raises:
        CatalogError: the catalogue, the split or the goal cannot be used.
    """
    play(WebShopEnv(**env_settings), typed_lines(), Console(), goal_index=goal_index, seed=seed, advisor=advisor)

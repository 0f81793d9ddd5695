"""An episode in the terminal, page by page: what was shown, how probable each action was, what was done."""

from collections.abc import Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from recrl.episodes.data import Episode, Step
from recrl.evaluation.failure_tables import explanation
from recrl.evaluation.failure_types import KINDS
from recrl.reports.played import Played
from recrl.reports.purchase import print_receipt, shown
from recrl.webshop import actions
from recrl.webshop.pages import Page

BAR = 20  # characters of a probability of 1
LEAST = 0.005  # probability from which a button or option has a line of its own
TEXT = 600  # characters of a text, or of the values of a group of options
PAGE_NAMES = {"search": "search page", "results": "results page", "item": "product page", "sub": "sub page"}


def draw_episode(played: Played, console: Console, *, name: str) -> None:
    """The whole episode.

    Args:
        name: of who played.
    """
    episode = played.episode
    title = f"goal {episode.goal_index}, played by {name}: {outcome(played)}"
    console.print(Panel(shown(episode.instruction), title=shown(title), expand=False))
    where = ""  # the product at hand
    for number, step in enumerate(episode.steps, 1):
        draw_step(step, console, head=f"step {number} of {episode.num_steps}: {page_name(episode, number - 1, where)}")
        where = _at_hand(step, where)
    if episode.truncated:
        console.print(f"\nThe step limit ended the episode after {episode.num_steps} steps; the reward is 0.")
    elif played.receipt is not None:
        console.print()
        print_receipt(played.receipt, console, who=name)
    else:
        console.print(f"\nBought with a reward of {episode.reward:.3f}; without its catalogue nothing explains it.")
    if played.failure is not None:
        console.print(shown(f"\nWhy it failed: {KINDS[played.failure.kind]}.", style="bold"))
        for part, text in explanation(played.failure).items():
            console.print(shown(f"  {part}: {text}"))


def outcome(played: Played) -> str:
    """What came of an episode, in a few words."""
    episode = played.episode
    if episode.success:
        return f"success in {episode.num_steps} steps"
    if played.failure is not None:
        return f"{KINDS[played.failure.kind]}, reward {episode.reward:.2f}"
    return "never bought" if episode.truncated else f"bought, reward {episode.reward:.2f}"


def page_name(episode: Episode, place: int, asin: str) -> str:
    """What the page of a step is."""
    page = episode.steps[place].page
    if page.kind == "results":
        return f"results page {page.page_number}, {page.num_results} found"
    if page.kind == "item":
        return f"product {asin}"
    if page.kind == "sub":
        parsed = actions.parse(episode.steps[place - 1].action) if place else None
        return f"{parsed.argument if parsed else 'sub page'} of {asin}"
    return PAGE_NAMES.get(page.kind, page.kind)


def _at_hand(step: Step, asin: str) -> str:
    """The product at hand after a step."""
    parsed = actions.parse(step.action)
    if parsed is None:
        return asin
    place = step.page.place_of(parsed.argument.lower()) if step.page.kind == "results" else None
    return asin if place is None else step.page.listing[place].asin


def draw_step(step: Step, console: Console, *, head: str) -> None:
    """One page with its actions; ``>`` marks what was done."""
    value = "" if step.value is None else f", value {step.value:.2f}"
    console.print()
    console.rule(shown(head + value, style="bold"), align="left", characters="-")
    page = step.page
    if page.kind == "item":
        console.print(shown(f"{page.title}   {page.price_tag}"))
        for group in page.options:
            values = " | ".join(f"[{value}]" if value in group.clicked else value for value in group.values)
            console.print(shown(f"{group.name}: {_cut(values)}", style="dim"))
    elif page.kind == "sub":
        console.print(shown(_cut(page.text or "(nothing is written here)")))
    table = Table.grid(padding=(0, 1))
    left_out = 0
    for place, action in enumerate(step.valid_actions):
        taken = place == step.action_index
        chance = step.probabilities[place] if step.probabilities else None
        listed = _listed(page, action)
        if not (taken or listed or step.page.kind == "search" or (chance is not None and chance >= LEAST)):
            left_out += 1
            continue
        words = shown(listed or _button(page, action), style="bold" if taken else "")
        table.add_row(">" if taken else " ", *_bar(chance, taken), words)
    console.print(table)
    if left_out:
        console.print(f"  and {left_out} other action{'s' * (left_out > 1)}", style="dim", highlight=False)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]} ..."


def _bar(chance: float | None, taken: bool) -> Sequence[Text | str]:
    if chance is None:
        return ()
    length = round(chance * BAR)
    bar = Text("#" * length + "." * (BAR - length), style="green" if taken else "dim")
    return f"{100 * chance:5.1f}%", bar


def _listed(page: Page, action: str) -> str:
    """The product that an action opens, with its place and price; empty if it opens none."""
    parsed = actions.parse(action)
    place = page.place_of(parsed.argument.lower()) if parsed and page.kind == "results" else None
    if place is None:
        return ""
    one = page.listing[place]
    visited = " (seen)" if one.visited else ""
    return f"{place + 1:2d}. {one.title}   {one.price_tag}{visited}"


def _button(page: Page, action: str) -> str:
    """An action's name; of an option its group too."""
    parsed = actions.parse(action)
    if parsed is None:
        return action
    if parsed.verb == actions.SEARCH:
        return f"search: {parsed.argument}"
    name = parsed.argument
    group = page.group_of(name) if page.kind == "item" else None
    if group is None:
        return f"[{name}]"
    return f"{group.name}: {name}{' (chosen)' if name in group.clicked else ''}"

"""Episodes as the page's viewer reads them: JSON in which what comes again and again stands once.

Listed products, option groups, texts, lists of actions and whole pages are each kept in a table, and are referred to by
their place in it. Probabilities are whole numbers of ten thousandths.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from recrl.episodes.data import Episode
from recrl.episodes.notes import Notes
from recrl.evaluation.failure_tables import explanation
from recrl.evaluation.failure_types import KINDS
from recrl.reports.played import Played
from recrl.reports.terminal import page_name
from recrl.webshop import actions
from recrl.webshop.pages import Page
from recrl.webshop.receipts import FORMULA, Receipt

SUCCESS, NEVER_BOUGHT, IMPERFECT = "success", "never bought", "bought, not perfect"


class Tables:
    """The tables, filled as episodes are added."""

    def __init__(self) -> None:
        self._places: dict[str, dict[Hashable, int]] = {}
        self.rows: dict[str, list[Any]] = {name: [] for name in ("listed", "groups", "texts", "actions", "pages")}

    def place(self, table: str, row: Any, key: Hashable | None = None) -> int:
        """The place of a row in a table; it is added if it is not there."""
        places = self._places.setdefault(table, {})
        key = row if key is None else key
        if key not in places:
            places[key] = len(places)
            self.rows[table].append(row)
        return places[key]

    def page(self, page: Page) -> int:
        """The place of a page."""
        if page.kind == "results":
            products = [self.place("listed", list(one[:3]), one[:3]) for one in page.listing]
            visited = [place for place, one in enumerate(page.listing) if one.visited]
            row: list[Any] = ["r", page.page_number, page.num_results, products, visited]
        elif page.kind == "item":
            groups = [
                self.place("groups", [one.name, list(one.values)], (one.name, one.values)) for one in page.options
            ]
            row = [
                "i",
                self.place("texts", page.title),
                page.price_tag,
                groups,
                [list(one.clicked) for one in page.options],
            ]
        elif page.kind == "sub":
            row = ["t", self.place("texts", page.text)]
        else:
            row = ["s"]
        return self.place("pages", row, repr(row))


def viewer_data(by_policy: Mapping[str, Iterable[Played]]) -> dict[str, Any]:
    """All episodes, ready for JSON.

    Args:
        by_policy: name -> its episodes.
    """
    tables, episodes = Tables(), []
    goals: dict[str, dict[str, Any]] = {}
    for place, played in enumerate(by_policy.values()):
        for one in played:
            episode = one.episode
            goal = goals.setdefault(str(episode.goal_index), {"instruction": episode.instruction})
            if one.receipt is not None:
                goal["target"] = [one.receipt.target_asin, one.receipt.target_title]
            episodes.append({"p": place, "g": episode.goal_index} | _episode(one, tables))
    return {
        "policies": list(by_policy),
        "goals": goals,
        "episodes": episodes,
        "kinds": [SUCCESS, *KINDS.values(), NEVER_BOUGHT, IMPERFECT],
        "formula": FORMULA,
        **tables.rows,
    }


def kind_of(played: Played) -> str:
    """What an episode is filtered by: success, or why it failed as far as that is known."""
    if played.episode.success:
        return SUCCESS
    if played.failure is not None:
        return KINDS[played.failure.kind]
    return NEVER_BOUGHT if played.episode.truncated else IMPERFECT


def _episode(played: Played, tables: Tables) -> dict[str, Any]:
    episode = played.episode
    found: dict[str, Any] = {
        "r": round(episode.reward, 4),
        "k": kind_of(played),
        "steps": _steps(episode, tables),
    }
    if played.receipt is not None:
        found["receipt"] = _receipt(played.receipt)
    elif episode.reward_parts:
        found["parts"] = {name: round(float(value), 4) for name, value in episode.reward_parts.items()}
    if played.failure is not None:
        found["why"] = explanation(played.failure)
    return found


def _steps(episode: Episode, tables: Tables) -> list[list[Any]]:
    """For each step: page, its name, actions, the one taken, probabilities, value, what was read so far; 0 for notes
    that are those of the step before.
    """
    rows: list[list[Any]] = []
    known: list[list[Any]] | None = None
    asin = ""
    for place, (step, decision) in enumerate(zip(episode.steps, episode.decisions(), strict=True)):
        read = _read(decision.notes, tables)
        parsed = actions.parse(step.action)
        rows.append(
            [
                tables.page(step.page),
                page_name(episode, place, asin),
                tables.place("actions", list(step.valid_actions), step.valid_actions),
                step.action_index,
                [round(10_000 * chance) for chance in step.probabilities] or 0,
                None if step.value is None else round(step.value, 3),
                0 if read == known else read,
            ]
        )
        known = read
        opened = step.page.place_of(parsed.argument.lower()) if parsed and step.page.kind == "results" else None
        asin = asin if opened is None else step.page.listing[opened].asin
    return rows


def _read(notes: Notes, tables: Tables) -> list[list[Any]]:
    """What is known of the products that were opened: asin, title, price, the texts that were read (-1: unread)."""
    return [
        [
            one.asin,
            one.title,
            one.price_tag,
            -1 if one.features is None else tables.place("texts", one.features),
            -1 if one.description is None else tables.place("texts", one.description),
        ]
        for one in notes.products
        if one.times_opened
    ]


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "asin": receipt.asin,
        "title": receipt.title,
        "price": f"${receipt.price:.2f}",
        "lines": [
            [
                line.part,
                line.asked,
                line.got,
                round(line.share, 4),
                None if line.weight is None else round(line.weight, 4),
            ]
            for line in receipt.lines
        ],
        "best": round(receipt.best_reward, 4),
        "with": ", ".join(f"{group}: {value}" for group, value in receipt.best_options.items()) or "no option",
    }

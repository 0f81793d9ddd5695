"""Counts about preference pairs: what they are about, and how much of it the reference policy knows already."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recrl.preferences.data import Preference
from recrl.tables import Cell, Number, Table
from recrl.webshop import actions
from recrl.webshop.pages import Page

GROUPS = ("origin", "page", "action")


def describe_preferences(pairs: Sequence[Preference]) -> dict[str, Any]:
    """Counts and means: of all pairs, and by origin, kind of page and kind of action, where the two sides part.

    Probabilities are the reference policy's, from when the pairs were made. A mean probability of the chosen side near
    1 says that the reference already does what the pairs teach.
    """
    groups: dict[str, dict[str, list[Preference]]] = {name: defaultdict(list) for name in GROUPS}
    for pair in pairs:
        parting = pair.parting
        page = parting.decision.page
        groups["origin"][pair.origin].append(pair)
        groups["page"][page.kind].append(pair)
        groups["action"][_action_kind(page, parting.action)].append(pair)
    summary: dict[str, Any] = {
        "num_goals": len({(pair.goals_sha256, pair.goal_index) for pair in pairs}),
        **_summary(pairs),
    }
    for name, group in groups.items():
        summary[f"by_{name}"] = {kind: _summary(members) for kind, members in sorted(group.items())}
    return summary


def _summary(pairs: Sequence[Preference]) -> dict[str, Any]:
    known = [
        pair.chosen_outcome - pair.rejected_outcome
        for pair in pairs
        if pair.chosen_outcome is not None and pair.rejected_outcome is not None
    ]
    return {
        "num_pairs": len(pairs),
        "mean_moves": float(np.mean([len(pair.chosen_moves) + len(pair.rejected_moves) for pair in pairs])) / 2,
        "mean_margin": float(np.mean(known)) if known else None,
        "mean_chosen_probability": float(np.mean([math.exp(pair.log_probs[0]) for pair in pairs])),
        "mean_rejected_probability": float(np.mean([math.exp(pair.log_probs[1]) for pair in pairs])),
    }


def _action_kind(page: Page, action: str) -> str:
    if action == actions.BUY_NOW:
        return "buy"
    parsed = actions.parse(action)
    if parsed is not None and parsed.verb == actions.SEARCH:
        return "search"
    name = action if parsed is None else parsed.argument
    if page.place_of(name) is not None:
        return "product"
    return "option" if page.group_of(name) is not None else "navigation"


HEADER = (
    "pairs", "number", "mean probability of chosen", "mean probability of rejected", "mean difference of outcomes",
    "moves a side",
)  # fmt: skip


LEGEND = {
    "pairs": "all, and by how a pair was made (origin), the kind of page and the kind of action where its sides part",
    "mean probability": "of the reference policy, for the preferred action and the other; near 1 "
    "and 0 it knows already what the pairs teach",
    "mean difference of outcomes": "reward of the chosen side's episodes minus that of the rejected side's",
    "moves a side": "actions of each side of a pair after they part",
}


def statistics_rows(summary: Mapping[str, Any]) -> list[list[Cell]]:
    """A row, under `HEADER`, for all pairs and for each group of `describe_preferences`."""
    groups = [("all", summary)]
    groups += [(f"{name} {kind}", group) for name in GROUPS for kind, group in summary[f"by_{name}"].items()]
    return [
        [
            name,
            group["num_pairs"],
            Number(group["mean_chosen_probability"], form=".2f"),
            Number(group["mean_rejected_probability"], form=".2f"),
            "not tried" if group["mean_margin"] is None else Number(group["mean_margin"], form=".2f"),
            Number(group["mean_moves"]),
        ]
        for name, group in groups
    ]


def statistics_table(summary: Mapping[str, Any]) -> Table:
    """The rows of `statistics_rows`, with the number of pairs and goals below."""
    caption = f"{summary['num_pairs']} pairs on {summary['num_goals']} goals"
    left_out = [f"left out: {count} {reason}" for reason, count in summary.get("left_out", {}).items()]
    return Table(HEADER, statistics_rows(summary), caption, notes=left_out, legend=LEGEND)

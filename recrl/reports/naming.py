"""Which results of a folder stand together, in which order, and what to call them.

An experiment's results lie in folders such as ``product/seed_0/evaluation/test_15_steps_template``; people want
"ppo", the protocol above the table, and seeds averaged.
"""

import re
from collections.abc import Iterable, Mapping

from recrl.errors import DatasetError
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import aggregate_seeds
from recrl.evaluation.tables import strongest_rule
from recrl.reports.finding import ceiling_name, is_scripted
from recrl.webshop.goals import REWORDED_SUFFIX

SEED = re.compile(r"seed[ _](\d+)")


def seed_of(name: str) -> int | None:
    """The seed that a folder in the name says, such as ``seed_0``; None if none does."""
    found = [match for part in name.split("/") if (match := SEED.fullmatch(part))]
    return int(found[0][1]) if found else None


def without_seed(name: str) -> str:
    """The name without the folder that says its seed."""
    return "/".join(part for part in name.split("/") if not SEED.fullmatch(part))


def over_seeds(results: Mapping[str, Result]) -> dict[str, Result]:
    """Results of one agent with several seeds as one, where their folders are called ``seed_0`` and so on."""
    groups: dict[str, dict[str, Result]] = {}
    for name, result in results.items():
        groups.setdefault(without_seed(name), {})[name] = result
    found: dict[str, Result] = {}
    for name, group in groups.items():
        if len(group) == 1:
            found[name] = next(iter(group.values()))
            continue
        try:
            found[name] = aggregate_seeds(list(group.values()))
        except DatasetError:  # of other goals: each for itself
            found |= group
    return found


def comparable_results(results: Mapping[str, Result]) -> list[dict[str, Result]]:
    """Results that can stand in one table: equal goals and step limit; a ceiling goes with each.

    Test goals come first, then products that are not trained on, WebShop's own wording, and few steps.
    """
    tables = _played_tables(results)
    ceilings: dict[str, Result] = {}
    for name, result in results.items():
        if result.max_steps is None:
            alike = [table for table in tables if next(iter(table.values())).goals == result.goals]
            for table in alike:
                table[name] = result
            ceilings |= {} if alike else {name: result}
    alone: dict[object, dict[str, Result]] = {}
    for name, result in ceilings.items():
        alone.setdefault(result.goals, {})[name] = result
    return [_shortly_named(table) for table in (*tables, *alone.values())]


def _played_tables(results: Mapping[str, Result]) -> list[dict[str, Result]]:
    """What was played, of equal goals and step limit together."""
    tables: dict[tuple[object, int], dict[str, Result]] = {}
    for name, result in results.items():
        if result.max_steps is not None:
            tables.setdefault((result.goals, result.max_steps), {})[name] = result
    return sorted(tables.values(), key=_order)


def _order(table: Mapping[str, Result]) -> tuple[bool, bool, bool, int]:
    first = next(iter(table.values()))
    return (
        first.split != "test",
        "unseen" not in first.protocol,
        first.protocol.endswith(REWORDED_SUFFIX),
        first.max_steps or 0,
    )


def _shortly_named(table: dict[str, Result]) -> dict[str, Result]:
    """The results of a table without the folders in their names, where that tells them apart; each ceiling once."""
    played = {name: result for name, result in table.items() if result.max_steps is not None}
    short = {name.rpartition("/")[2]: result for name, result in played.items()}
    ceilings = {ceiling_name(result): result for result in table.values() if result.max_steps is None}
    return (short if len(short) == len(played) else played) | ceilings


def table_title(table: Mapping[str, Result]) -> str:
    """Protocol, split and step limit of a table."""
    first = next(iter(table.values()))
    limit = next((f", {one.max_steps} steps" for one in table.values() if one.max_steps is not None), "")
    return f"{first.protocol}, {first.split} split{limit}"


def start_of(table: Mapping[str, Result]) -> str | None:
    """The name of the imitation start, which the other learned agents of a table are measured against."""
    return next((name for name in table if "imitation" in name.lower() and not is_scripted(table[name])), None)


def best_trained(table: Mapping[str, Result]) -> str | None:
    """The name of the trained agent with most success, then score."""
    trained = [name for name, one in table.items() if one.max_steps is not None and not is_scripted(one)]
    return max(trained, key=lambda name: (table[name].success_rate, table[name].score), default=None)


def viewing_order(results: Mapping[str, Result]) -> list[str]:
    """Names of what was played, in the order in which their episodes are worth showing.

    Of each table the first seed of the best trained agent, its start and the strongest rule come first; then the other
    agents; then further seeds; then tables of other goals than test goals.
    """
    ranked: list[tuple[tuple[bool, int, int, int], str]] = []
    for place, table in enumerate(_played_tables(results)):
        is_other = next(iter(table.values())).split != "test"
        lowest = min((seed for name in table if (seed := seed_of(name)) is not None), default=None)
        first = {name: one for name, one in table.items() if seed_of(name) in (None, lowest)}
        best, start = best_trained(first), start_of(first)
        learned = start or best
        asked = (best, start, None if learned is None else strongest_rule(first, learned))
        shown = list(dict.fromkeys(name for name in asked if name is not None))
        rest = [name for name in first if name not in shown]
        rest.sort(key=lambda name: (is_scripted(table[name]), -table[name].success_rate))
        later = [name for name in table if name not in first]
        for tier, names in enumerate((shown, rest, later)):
            ranked += [((is_other, tier, place, number), name) for number, name in enumerate(names)]
    return [name for _, name in sorted(ranked)]


def spoken(name: str, result: Result, all_of: Iterable[Result]) -> str:
    """What to call a policy's episodes: its own name, and what tells it apart from the others of its run."""
    seed, others = seed_of(name), [one for one in all_of if one.max_steps is not None]
    told = [] if seed is None else [f"seed {seed}"]
    for value, values in (
        (result.protocol, {one.protocol for one in others}),
        (f"{result.max_steps} steps", {f"{one.max_steps} steps" for one in others}),
    ):
        told += [value] if len(values) > 1 else []
    told += [f"{result.split} split"] if result.split != "test" else []
    return f"{name.rpartition('/')[2]} ({', '.join(told)})" if told and "/" in name else name

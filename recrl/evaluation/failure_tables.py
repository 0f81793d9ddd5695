"""Failures for people: counts as a table, examples as lines."""

from recrl.evaluation.failure_types import KINDS, LACKS, MEANINGS, Failure, Failures, Lack, PerfectProduct, Purchase
from recrl.tables import Cell, Number, Table

OF_ATTRIBUTES = {
    "attribute_features_unread": "features unread",
    "attribute_description_unread": "description unread",
    "attribute_read": "both read",
}
HEADER = ("why", "episodes", "%", "products", *(OF_ATTRIBUTES.get(what, what) for what in LACKS))


def failure_table(failures: Failures, num_episodes: int) -> Table:
    """A row per kind of failure, and one for all.

    Args:
        num_episodes: of the evaluation, failed or not.
    """
    rows = [
        _row(KINDS[count.kind], count.episodes, num_episodes, count.products, [count.lacks[what] for what in LACKS])
        for count in failures.kinds
    ]
    lacks = [sum(count.lacks[what] for count in failures.kinds) for what in LACKS]
    products = len({failure.target_asin for failure in failures.episodes})
    rows.append(_row("all failures", failures.num_failures, num_episodes, products, lacks))
    legend = _legend(failures) | {
        "products": "different target products of these episodes",
        "type, price, option": "purchases that lack it, a wrong product even with its best options; one can lack "
        "several things",
        ", ".join(OF_ATTRIBUTES.values()): "purchases that lack an attribute, by which of the product's own pages were "
        "read before",
    }
    return Table(HEADER, rows, _said(failures, num_episodes), legend=legend)


def summary_table(failures: Failures, num_episodes: int) -> Table:
    """A row per kind of failure that occurred, with a goal as an example.

    Args:
        num_episodes: of the evaluation, failed or not.
    """
    examples = first_of_each(failures)
    rows: list[list[Cell]] = [
        [KINDS[count.kind], count.episodes, Number(100 * count.episodes / num_episodes), examples[count.kind]]
        for count in failures.kinds
        if count.episodes
    ]
    header = ("why", "episodes", "%", "goal of an example")
    return Table(header, rows, _said(failures, num_episodes), legend=_legend(failures))


def _said(failures: Failures, num_episodes: int) -> str:
    return f"{failures.num_failures} of {num_episodes} episodes failed, each counted in the first row that holds."


def _legend(failures: Failures) -> dict[str, str]:
    """What the kinds that occurred mean."""
    return {KINDS[count.kind]: MEANINGS[count.kind] for count in failures.kinds if count.episodes} | {
        "perfect": "a product that would earn a reward of 1 with its best options"
    }


def first_of_each(failures: Failures) -> dict[str, int]:
    """Kind -> the goal of its first failure, for the kinds that occurred, in their order."""
    first = {failure.kind: failure.goal_index for failure in reversed(failures.episodes)}
    return {kind: first[kind] for kind in KINDS if kind in first}


def _row(name: str, episodes: int, of: int, products: int, lacks: list[int]) -> list[Cell]:
    return [name, episodes, Number(100 * episodes / of), products, *lacks]


def example_lines(failures: Failures, number: int) -> list[str]:
    """The first ``number`` failures of each kind, a few lines each."""
    lines = []
    for count in failures.kinds:
        of_kind = [failure for failure in failures.episodes if failure.kind == count.kind]
        for place, failure in enumerate(of_kind[:number], 1):
            lines += ["", f"{KINDS[count.kind]} ({place} of {count.episodes}), goal {failure.goal_index}"]
            said = {"instruction": failure.instruction, **explanation(failure), "actions": " > ".join(failure.actions)}
            lines += [f"  {name}: {_one_line(text)}" for name, text in said.items()]
    return lines


def explanation(failure: Failure) -> dict[str, str]:
    """What was bought and what it lacks, and where a perfect product was, by name."""
    parts = {}
    if failure.bought is not None:
        parts["bought"] = f"{_bought(failure.bought)}; reward {failure.reward:.2f}"
        parts["lacks"] = "; ".join(map(_lack, failure.bought.lacks))
    if failure.perfect is not None:
        parts["perfect"] = _perfect(failure.perfect)
    return parts


def _lack(lack: Lack) -> str:
    read = OF_ATTRIBUTES.get(lack.what)
    return f"{lack.what}: {lack.wanted}" if read is None else f"attribute: {lack.wanted} ({read})"


def _bought(bought: Purchase) -> str:
    options = ", ".join(f"{group}: {value}" for group, value in bought.options.items()) or "no options"
    return f"{bought.asin} {bought.title}, ${bought.price:.2f}, {options}"


def _perfect(perfect: PerfectProduct) -> str:
    """The product, where it was, and how closely the shopper looked at it."""
    looked = "shown, not opened" if perfect.shown else "not shown"
    if perfect.opened:
        looked = f"opened, {' and '.join(perfect.read) or 'no sub page'} read"
    place = f"place {perfect.place} of results page {perfect.page_number}"
    return f"{perfect.asin} {perfect.title}, ${perfect.price:.2f}; {place}; {looked}"


def _one_line(text: str) -> str:
    """Text of a catalogue without what would move the terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)

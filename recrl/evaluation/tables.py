"""Results and their comparisons for people."""

from collections.abc import Mapping

from recrl.evaluation.legend import marked, result_legend
from recrl.evaluation.result_types import Comparison, Result
from recrl.evaluation.results import compare_results
from recrl.evaluation.seen_goals import seen_goals_notes
from recrl.policies.loading import RULES
from recrl.tables import Cell, Number, Table, with_interval

HEADER = ("policy", "success % [95% CI]", "score [95% CI]", "success % per product", "steps")
EQUAL_STEPS = 0.5  # how many more steps an episode a rule may take on average, and still count as one of equal steps


def result_table(results: Mapping[str, Result], *, baseline: str | None = None) -> Table:
    """A row per result; with a baseline's name, the last columns are paired differences in points.

    The first is the difference to the baseline, the second that to the strongest rule of equal steps, see
    `strongest_rule`.

    Raises:
        DatasetError: a result is of other goals than the baseline.
    """
    rule = None if baseline is None else strongest_rule(results, baseline)
    against = [name for name in (baseline, rule) if name is not None]
    rows = []
    for name, result in results.items():
        row = result_cells(name, result)
        for other in against:
            if name == other:
                row.append("-")
            else:
                comparison = compare_results(result, results[other])
                row.append(Number(comparison.success_difference, comparison.success_difference_ci, "+.1f"))
        rows.append(row)
    differences = [f"success against {name}" for name in against]
    said = (
        ""
        if rule is None
        else f" {rule} is the strongest rule of equal steps (up to {EQUAL_STEPS} more than {baseline})."
    )
    legend = result_legend(results, against=differences)
    return Table([*HEADER, *differences], rows, caption(results) + said, legend=legend)


def result_cells(name: str, result: Result) -> list[Cell]:
    """A result under `HEADER`; the name says so if the policy knows the goal."""
    return [
        marked(name, knows_goal=result.knows_goal),
        Number(result.success_rate, result.success_ci),
        Number(result.score, result.score_ci),
        Number(result.success_per_product),
        "" if result.mean_steps is None else Number(result.mean_steps),
    ]


def strongest_rule(results: Mapping[str, Result], learned: str) -> str | None:
    """The name of the rule with most success (then score) that takes as many steps as a learned agent, or fewer.

    It is chosen on the goals of the table, which makes it look a little stronger than it is, never weaker.

    Args:
        learned: name of the agent; None is returned if it is a rule or a ceiling, or there is no such rule.
    """
    steps = results[learned].mean_steps
    if is_rule(results[learned]) or steps is None:
        return None
    rules = {
        name: (result.success_rate, result.score)
        for name, result in results.items()
        if is_rule(result) and result.mean_steps is not None and result.mean_steps <= steps + EQUAL_STEPS
    }
    return max(rules, key=lambda name: rules[name], default=None)


def is_rule(result: Result) -> bool:
    """Whether a rule was played: nothing that was trained, no ceiling."""
    return result.trained_on_this_catalog is None and result.policy.partition(":")[0] in RULES


def caption(results: Mapping[str, Result]) -> str:
    """The protocol, the goals, the settings and the fingerprints behind a table."""
    first = next(iter(results.values()))
    played = [result for result in results.values() if result.max_steps is not None]  # a ceiling plays nothing
    settings = "".join(
        f", {' or '.join(dict.fromkeys(str(getattr(result, name)) for result in played))} {unit}"
        for name, unit in (("max_steps", "steps at most"), ("decoding", "decoding"))
        if played
    )
    proposed = [f"{result.num_queries} of {result.query_model}" for result in played if result.num_queries is not None]
    if proposed:
        plain = ["none"] if len(proposed) < len(played) else []
        settings += f", proposed queries: {' or '.join(dict.fromkeys([*proposed, *plain]))}"
    seeds = ", and over seeds where a row is a mean over seeds" if any(one.success_by_seed for one in played) else ""
    return (
        f"Protocol {first.protocol}, {first.split} split, {first.num_episodes} goals of "
        f"{first.num_products} products{settings}. Intervals: 95%, over target products{seeds}. "
        f"Catalogue {first.catalog_sha256[:12]}, goals {first.goals_sha256[:12]}."
        + seen_goals_notes({name: result.num_seen_goals for name, result in results.items()}, first.num_episodes)
    )


def markdown_table(results: Mapping[str, Result], *, baseline: str | None = None) -> str:
    """The table as Markdown; arguments and errors as those of `result_table`."""
    return result_table(results, baseline=baseline).markdown()


def print_table(results: Mapping[str, Result], *, baseline: str | None = None) -> None:
    """The table on the terminal; arguments and errors as those of `result_table`."""
    result_table(results, baseline=baseline).print()


def comparison_lines(comparison: Comparison) -> list[str]:
    """What `recrl.evaluation.results.compare_results` found, as lines for people; differences in points of 100."""
    success = with_interval(comparison.success_difference, comparison.success_difference_ci, "+.1f")
    score = with_interval(comparison.score_difference, comparison.score_difference_ci, "+.1f")
    lines = [
        f"paired difference in success: {success}",
        f"paired difference in score: {score}",
        f"exact sign test over products: {comparison.products_better} better, {comparison.products_worse} worse, "
        f"p = {comparison.p_value_products:.3g}",
    ]
    if comparison.p_value is not None:
        lines.append(f"exact McNemar test over goals, as if they were independent: p = {comparison.p_value:.3g}")
    return lines

"""A comparison as a table."""

from recrl.evaluation.legend import comparison_legend, marked
from recrl.evaluation.report import Report
from recrl.evaluation.result_types import Interval
from recrl.evaluation.seen_goals import seen_goals_notes
from recrl.tables import Cell, Number, Table, with_interval

HEADER = (
    "agent", "episodes", "success % [95% CI]", "score [95% CI]", "running success %", "P(best) by run",
)  # fmt: skip


def comparison_rows(report: Report) -> list[list[Cell]]:
    """A row per agent: episodes, valid estimates over all runs, the biased running mean, P(best) of each run."""
    return [
        [
            marked(agent.policy, knows_goal=agent.policy in (report.know_goal or ())),
            agent.pulls,
            _estimate(agent.success, agent.success_raw, agent.success_ci),
            _estimate(agent.score, agent.score_raw, agent.score_ci),
            "" if agent.success_running_mean is None else Number(agent.success_running_mean),
            ", ".join(f"{run.probability_best[place]:.2f}" for run in report.runs),
        ]
        for place, agent in enumerate(report.all_runs)
    ]


def _estimate(value: float | None, raw: float | None, interval: Interval) -> Cell:
    """An estimate with its interval, and behind it the raw one where that is another."""
    if value is None:
        return "not played"
    is_other = raw is not None and abs(raw - value) >= 0.05
    return Number(value, interval, note=f"raw {raw:.1f}" if is_other else "")


def caption(report: Report) -> str:
    """What stands behind the table."""
    config = report.config
    drawn = "Thompson's rule" if config["allocation"] == "thompson" else "uniform"
    runs = "1 run" if config["runs"] == 1 else f"{config['runs']} runs"
    queries = "" if report.query_model is None else f", {report.num_queries} queries of {report.query_model}"
    return (
        f"Protocol {report.protocol}, {config['split']} split, {report.num_goals} goals drawn with replacement, "
        f"{runs} of {config['num_episodes']} episodes, {drawn} allotment (objective "
        f"{config['objective']}, exploration {config['exploration']}), {config['decoding']} decoding{queries}, seed "
        f"{config['seed']}. Intervals are for episodes on these goals and valid under adaptive allotment and stopping; "
        "the running mean is not. The agent that came out best did so partly by luck, so its running mean and P(best) "
        "are on average too high: play it again before its figure is published. "
        f"Catalogue {report.catalog_sha256[:12]}, goals {report.goals_sha256[:12]}."
        + seen_goals_notes(dict(report.num_seen_goals or {}), report.num_goals)
    )


def paired_lines(report: Report) -> list[str]:
    """Of a uniform allotment: the paired differences as lines for people."""
    return [
        f"{paired.policy} against {paired.baseline}, paired: "
        f"success {with_interval(paired.success_difference, paired.success_difference_ci, '+.1f')}, "
        f"score {with_interval(paired.score_difference, paired.score_difference_ci, '+.1f')}; "
        f"sign test over products: {paired.products_better} better, {paired.products_worse} worse, "
        f"p = {paired.p_value_products:.3g}"
        for paired in report.paired or ()
    ]


def equal_lines(report: Report) -> list[str]:
    """Of agents with equal weights: a line for people that says so."""
    return [
        f"{', '.join(group)} have equal weights: they are one agent, and differ by chance alone"
        for group in report.equal_agents()
    ]


def comparison_table(report: Report) -> Table:
    """A row per agent; below, which agents are one, and the paired differences of a uniform allotment."""
    adaptive = report.config["allocation"] == "thompson"
    legend = comparison_legend(knows_goal=bool(report.know_goal), adaptive=adaptive)
    notes = [*equal_lines(report), *paired_lines(report)]
    return Table(HEADER, comparison_rows(report), caption(report), notes=notes, legend=legend)

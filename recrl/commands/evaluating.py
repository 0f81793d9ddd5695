"""`recrl evaluate`, `compare`, `show`, `report` and `evaluate-search`: how good it is, and why."""

import os
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from recrl.errors import RecrlError
from recrl.evaluation.config import ComparisonConfig, EvaluationConfig, SearchEvaluationConfig
from recrl.reports.config import ReportConfig, ShowConfig
from recrl.settings import part
from recrl.tables import TableSettings, print_tables, show_beside
from recrl.terminal import ProgressLine, quiet_libraries, show


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(TableSettings, EvaluationConfig):
    """How the result is printed."""


def evaluate(config: EvaluateConfig) -> None:
    from recrl.evaluation.commands import run_evaluation
    from recrl.evaluation.failure_tables import example_lines, failure_table, first_of_each, summary_table
    from recrl.evaluation.tables import comparison_lines, result_table
    from recrl.publishing.cards import write_results
    from recrl.reports.finding import Run
    from recrl.reports.hints import page_of, show_command
    from recrl.reports.making import make_report
    from recrl.runs import README_FILE
    from recrl.training.runs import is_complete

    if config.query_model is not None:
        quiet_libraries()
    results = run_evaluation(part(config, EvaluationConfig))
    result, folder = next(iter(results.values())), Path(config.policy)
    tables, lines = [result_table(results)], []
    if result.comparison is not None:
        lines += comparison_lines(result.comparison)
    if config.failures is not None and result.failures is not None:
        tables.append(failure_table(result.failures, result.num_episodes))
        lines += example_lines(result.failures, config.failures)
    elif result.failures is not None and result.failures.num_failures:
        tables.append(summary_table(result.failures, result.num_episodes))
    if result.failures is not None and result.failures.num_failures:
        examples = [f"  {show_command(config, goal)}" for goal in first_of_each(result.failures).values()]
        lines += ["An example of each, page by page:", *examples]
    print_tables(tables, config.format)
    for text in lines:
        show_beside(text, config.format)
    if config.report is not None:
        settings = asdict(part(config, EvaluationConfig))
        found = Run(Path(config.report), result.policy, results=results, settings=settings)
        page = make_report(page_of(config), found=[found])
        show_beside(f"the report is {page}; open it in a browser", config.format)
    if config.split == "test" and is_complete(folder) and os.access(folder, os.W_OK):
        card = folder / README_FILE
        try:
            write_results(folder, repo_id=folder.name, results=[result])
        except RecrlError as error:  # the result stands, whatever else is in the folder
            show(f"the card {card} was left as it is: {error}", error=True)
        else:
            show_beside(f"the card {card} names this result", config.format)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TableSettings, ComparisonConfig):
    """What is shown."""

    plots: bool = field(default=True, metadata={"help": "Draw the pictures, if matplotlib is installed."})


def compare(config: CompareConfig) -> None:
    from recrl.evaluation import comparison
    from recrl.evaluation.comparison_plots import draw_comparison
    from recrl.evaluation.comparison_tables import comparison_table
    from recrl.reports.making import end_with_report

    quiet_libraries()
    plots = config.plots and find_spec("matplotlib") is not None
    if config.plots and not plots:
        show(
            "no pictures are drawn beside the report: `pip install matplotlib` for them, or say --no_plots", error=True
        )
    draw = draw_comparison if plots else lambda report, folder: []
    for group in comparison.equal_weights(config.policies):
        show(f"warning: {' and '.join(group)} have the same weights; differences between them are chance", error=True)
    report = comparison.compare(part(config, ComparisonConfig), draw=draw)
    end_with_report(config.output_dir, ProgressLine().say)
    print_tables([comparison_table(report)], config.format)


def show_episode(config: ShowConfig) -> None:
    from recrl.reports import showing

    quiet_libraries()
    showing.show(config, wait=showing.wait_for_enter)


def report(config: ReportConfig) -> None:
    from recrl.reports.making import make_report

    quiet_libraries()
    written = make_report(config)
    show(f"the report is {written} ({written.stat().st_size / 1e6:.1f} MB); open it in a browser")


@dataclass(frozen=True, kw_only=True)
class EvaluateSearchConfig(TableSettings, SearchEvaluationConfig):
    """How the report is printed."""


def evaluate_search(config: EvaluateSearchConfig) -> None:
    from recrl.evaluation.commands import run_search_evaluation
    from recrl.evaluation.search import search_tables

    quiet_libraries()
    report = run_search_evaluation(part(config, SearchEvaluationConfig))
    print_tables(search_tables(report), config.format)

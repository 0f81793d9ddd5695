"""Commands that show something, as they are named on the terminal."""

import shlex

from recrl.evaluation.config import EvaluationConfig
from recrl.reports.config import ReportConfig
from recrl.reports.finding import CATALOG_SETTINGS
from recrl.rollouts.config import CatalogSettings


def catalog_flags(config: CatalogSettings) -> list[str]:
    """The flags by which a command opens the catalogue of these settings; none for the embedded one's own goals."""
    flags = [] if config.catalog is None else ["--catalog", config.catalog]
    if config.goal_seed:
        flags += ["--goal_seed", str(config.goal_seed)]
    if config.human_goals:
        flags.append("--human_goals")
    return flags if config.wording == "template" else [*flags, "--wording", config.wording]


def page_of(config: EvaluationConfig) -> ReportConfig:
    """The settings of the page of an evaluation."""
    said = {name: getattr(config, name) for name in CATALOG_SETTINGS}
    return ReportConfig(sources=(config.policy,), output=config.report, **said)


def show_command(config: EvaluationConfig, goal: int) -> str:
    """The command that shows the episode of a goal of an evaluation: from its result, or played again."""
    source = config.output_json
    plays_alike = config.decoding == "greedy" and config.query_model is None and not config.loop_guard
    if source is None and not plays_alike:
        return f"goal {goal}: evaluate with --output_json FILE, then `recrl show FILE --goal {goal}`"
    words = ["recrl", "show", source or config.policy, "--goal", str(goal), *catalog_flags(config)]
    if source is None and config.max_steps != 15:
        words += ["--max_steps", str(config.max_steps)]
    return shlex.join(words)

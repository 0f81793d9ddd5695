"""The experiment that the project stands on: every arm, seed and protocol in one folder that is gone on with."""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from recrl.errors import ConfigError
from recrl.evaluation.measure import evaluation_goals
from recrl.evaluation.result_types import Result
from recrl.experiment.arms import numbered
from recrl.experiment.config import PaperConfig
from recrl.experiment.curves import Curve, read_curve
from recrl.experiment.making import TINY_ENCODER
from recrl.experiment.plan import Plan, make_plan
from recrl.experiment.report import RESULTS_JSON, RESULTS_MD, ArmCost, Report, write_report
from recrl.experiment.rows import Cost, Found, cost_of, find_results
from recrl.experiment.stages import StageLog, run_stages
from recrl.files import write_text
from recrl.publishing.cards import write_results
from recrl.runs import JOURNAL_FILE, README_FILE, RunFolder, RunState, read_object
from recrl.webshop.catalog import load_catalog
from recrl.webshop.goals import REWORDED_SUFFIX

logger = logging.getLogger(__name__)

SETTINGS_FILE, STAGES_FILE = "experiment.json", "stages.json"
PICTURES = "results"  # inside the folder of the docs
FILES = {
    SETTINGS_FILE: "the settings that all stages share",
    JOURNAL_FILE: "when each stage was begun and ended, with its settings and the commit of the code",
    "product, goal": "what was made for the splits by product, and by goal: a folder per seed, and the rules'",
    RESULTS_MD: "tables, minutes and curves",
    RESULTS_JSON: "a row per evaluation",
    "ppo_PROTOCOL.png": "the learning curve of PPO",
    STAGES_FILE: "the stages that were made; written last",
    "report.html": "one page for a browser: results, curves, failures, episodes to step through",
}


def run_paper(config: PaperConfig, say: Callable[[str], None] = logger.info) -> list[str]:
    """Makes the stages that are missing, as far as the budget goes, and writes the report of what is there.

    Args:
        say: called with a line for each stage.

    Returns:
        the names of the stages that are missing at the end.

    Raises:
        ConfigError: the folder holds another experiment or stages with other settings, or a setting does not exist.
        RecrlError: see the stages.
    """
    config.check_stages()
    drawn = [arm.name for arm in config.find_arms() if arm.kind == "ppo" or numbered(arm.name)]
    if drawn and importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            f"the pictures of {', '.join(drawn)} need matplotlib; install it with `pip install matplotlib`"
        )
    run = _run_folder(config)
    with run.claim() as state:
        _check_goals(config)
        stages = list(make_plan(config.sized(), run.path).stages.values())
        log = StageLog(run.path, run.journal)
        log.check(stages)
        if state is RunState.COMPLETE and {stage.name for stage in stages} <= _made(run.path):
            say("every stage is complete; there is nothing to do")
            return []
        if state is RunState.COMPLETE:  # more is asked for now
            (run.path / STAGES_FILE).unlink()
            write_text(run.path / README_FILE, run.readme())
        try:
            missing = run_stages(
                stages,
                log,
                budget_minutes=config.budget_minutes,
                expected_minutes=config.expected_minutes,
                say=say,
            )
        finally:
            plan = make_plan(_with_what_is_there(config, run.path).sized(), run.path)
            report = make_report(plan, log, [stage.name for stage in stages if not log.is_done(stage)])
            write_report(report, run.path)
        _write_cards(report, log)
        if not missing:
            done = [stage.name for stage in plan.stages.values() if log.is_done(stage)]
            run.complete({"num_stages": len(done), "num_rows": len(report.found), "stages": done})
    return [stage.name for stage in missing]


def write_docs(config: PaperConfig, docs: Path) -> list[str]:
    """Writes the report of what the experiment's folder holds into a folder of docs; makes nothing.

    Returns:
        the names of the stages that are missing.

    Raises:
        ConfigError: the folder holds no such experiment, or the page in ``docs`` has no place for the report.
    """
    report = read_report(config)
    write_report(report, docs, pictures=PICTURES, between_marks=True)
    return list(report.missing)


def read_report(config: PaperConfig) -> Report:
    """The report of what the experiment's folder holds; makes nothing.

    Raises:
        ConfigError: the folder holds no such experiment.
    """
    config.check_stages()
    run = _run_folder(config)
    if run.state() is RunState.NEW:
        raise ConfigError(f"{run.path} holds no experiment; run recipes/paper.py with this --output_dir first")
    with run.claim():
        log = StageLog(run.path, run.journal)
        stages = make_plan(config.sized(), run.path).stages.values()
        missing = [stage.name for stage in stages if not log.is_done(stage)]
        plan = make_plan(_with_what_is_there(config, run.path).sized(), run.path)
        return make_report(plan, log, missing)


def make_report(plan: Plan, log: StageLog, missing: list[str]) -> Report:
    """The report of what is complete."""
    found = find_results(plan, log)
    curves: dict[str, dict[int, Curve]] = {}
    by_arm: dict[tuple[str, str], dict[int, Found]] = {}
    for one in found:
        arm, seed = one.measurement.arm, one.measurement.seed
        if seed is not None:
            name = one.row.protocol.removesuffix(REWORDED_SUFFIX)  # training is the same for both wordings
            by_arm.setdefault((name, arm.name), {})[seed] = one
            if arm.kind == "ppo":
                curves.setdefault(name, {})[seed] = read_curve(log.path(one.measurement.made_by[-1]))
    costs = []
    for (name, arm_name), seeds in by_arm.items():
        own = [cost_of(one.measurement.own, plan, log) for one in seeds.values()]
        whole = [cost_of(one.measurement.made_by, plan, log) for one in seeds.values()]
        costs.append(ArmCost(name, arm_name, len(seeds), _mean(own), _mean(whole)))
    return Report(found, costs, curves, missing)


def _mean(costs: list[Cost]) -> Cost:
    known = [cost.minutes for cost in costs if cost.minutes is not None]
    minutes = fmean(known) if len(known) == len(costs) else None
    return Cost(round(fmean(cost.kept for cost in costs)), round(fmean(cost.played for cost in costs)), minutes)


def _run_folder(config: PaperConfig) -> RunFolder:
    return RunFolder(
        path=Path(config.output_dir),
        kind="experiment",
        command="python recipes/paper.py",
        settings=config.recorded(),
        settings_file=SETTINGS_FILE,
        result_file=STAGES_FILE,
        files=FILES,
        scratch=(TINY_ENCODER,),
    )


def _check_goals(config: PaperConfig) -> None:
    """Refuses a catalogue that cannot be opened, and more goals than a split has, before anything is made."""
    for wording in config.wordings:
        catalog = load_catalog(config.catalog, wording=wording)
        for split_by in config.split_by:
            evaluation_goals(catalog, config.split, split_by, config.num_eval_episodes)


def _made(folder: Path) -> set[str]:
    """The stages that the experiment's folder was completed with."""
    return set(read_object(folder / STAGES_FILE, folder)["stages"])


def _with_what_is_there(config: PaperConfig, folder: Path) -> PaperConfig:
    """The experiment with all that was evaluated in its folder so far, asked for now or by an earlier call."""
    asked: dict[str, dict[Any, None]] = {
        name: dict.fromkeys(getattr(config, name)) for name in ("arms", "seeds", "split_by", "steps", "wordings")
    }
    for path in folder.glob(f"*/*/evaluation/{config.split}_*_*/*.json"):
        split_by, who, _, goals, _ = path.relative_to(folder).parts
        _, steps, _, wording = goals.split("_")
        asked["split_by"][split_by], asked["arms"][path.stem], asked["wordings"][wording] = None, None, None
        if steps != "no":
            asked["steps"][int(steps)] = None
        if who.startswith("seed_"):
            asked["seeds"][int(who.removeprefix("seed_"))] = None
    changes: dict[str, Any] = {name: list(values) for name, values in asked.items()}
    return replace(config, **changes)


def _write_cards(report: Report, log: StageLog) -> None:
    """Puts the results of every trained agent into its card."""
    by_folder: dict[str, list[Result]] = {}
    for one in report.found:
        arm = one.measurement.arm
        if arm.seeded and arm.policy == "{}" and not arm.forgets:
            by_folder.setdefault(one.measurement.made_by[-1], []).append(one.result)
    for name, results in by_folder.items():
        folder = log.path(name)
        write_results(folder, repo_id=f"user/{folder.name}", results=results)

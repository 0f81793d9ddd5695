"""Iterated self-improvement: generate -> pairs -> DPO -> dev, round after round, within a budget of episodes.

As in ETO (arXiv:2403.02502) the agent explores, contrasts what it did by its outcome, and explores again with what it
has become. What deviates: there is no expert; several episodes of each goal are played, so that they can be compared;
a round begins with the best agent so far on dev goals, the start included, which is also its pi_ref, so that a round
that did harm is not built on. The budget counts every training episode that is played, kept or not; dev episodes come
on top, and are counted apart (``num_episodes_played``).

The run's folder holds ``round_N`` with its ``trajectories``, the ``dpo`` run and ``dev.json``; ``rounds.json`` records
them. Every stage goes on where it was interrupted, see `recrl.rollouts.collecting` and `recrl.training.runs`.
"""

import copy
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recrl.environments.protocols import Task
from recrl.errors import NoPairsError
from recrl.evaluation.results import load_result, save_result
from recrl.files import write_json
from recrl.policies.scorer import ScorerPolicy
from recrl.preferences.building import read_pairs
from recrl.rollouts.collecting import SUMMARY_FILE, generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.runs import read_object
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.training.dpo import PREFERENCES_FOLDER, ChoiceDPOConfig, DPOArguments, train_dpo
from recrl.training.environment import EnvironmentArguments
from recrl.training.runs import (
    TrainingRun,
    is_complete,
    made_by_main_process,
    report_best,
    tidy_complete_run,
    training_metrics,
    training_run,
)
from recrl.training.settings.self_improvement import SelfImprovementArguments, SelfImprovementSettings
from recrl.training.tuning import TuningArguments

logger = logging.getLogger(__name__)

ROUNDS_FILE = "rounds.json"
DEV_FILE = "dev.json"
FILES = {
    ROUNDS_FILE: "what each round played, learned and reached on dev goals",
    "round_N": f"a round: its `trajectories`, its `dpo` run, and the result on dev goals, `{DEV_FILE}`",
}


@dataclass
class SelfImprovementConfig(SelfImprovementSettings, ChoiceDPOConfig):  # type: ignore[misc]  # fewer types than there
    """The settings of DPO in every round; TRL's names, with our defaults."""


def train_self_improvement(
    arguments: SelfImprovementArguments,
    environment: EnvironmentArguments,
    tuning: TuningArguments,
    config: ChoiceDPOConfig,
) -> Path:
    """Runs the rounds; the best agent on dev goals, the start included, ends up in ``config.output_dir``.

    Args:
        config: of DPO in every round; its seed also draws goals, actions and pairs.

    Raises:
        CatalogError, CheckpointError, ConfigError, DatasetError: see the modules that read them.
    """
    output_dir = Path(config.output_dir or "")
    task, queries = environment.load_task(), environment.load_queries()
    # Fails before anything is written.
    environment.check_dev_goals(ScorerPolicy.from_pretrained(arguments.model_name_or_path, device="cpu"), task)

    def on_dev(scorer: str, folder: Path) -> dict[str, float]:
        """Success and score on dev goals, played once, by the main process."""

        def play() -> None:
            policy = ScorerPolicy.from_pretrained(scorer, device=str(config.device))
            save_result(folder / DEV_FILE, environment.evaluate_on_dev(policy, task, queries))

        made_by_main_process(config, folder / DEV_FILE, play)
        result = load_result(folder / DEV_FILE)
        return {
            "dev_success": result.success_rate,
            "dev_score": result.score,
            "num_dev_episodes": result.num_episodes,
        }

    def scorer_of(number: int) -> str:
        return str(output_dir / f"round_{number}" / "dpo") if number else arguments.model_name_or_path

    settings = {"arguments": arguments, "environment": environment, "tuning": tuning}
    with training_run("self-improvement", config, settings, files=FILES) as run:
        if run.is_complete:
            return run.folder.path
        records: list[dict[str, Any]] = [{"round": 0, **on_dev(scorer_of(0), output_dir / "round_0"), "best": True}]
        best = records[0]
        logger.info(
            "the start on %(num_dev_episodes)d dev goals: success %(dev_success).1f%%, score %(dev_score).1f", best
        )
        for number in range(1, arguments.num_rounds + 1):
            folder = output_dir / f"round_{number}"
            record: dict[str, Any] = {"round": number, "start": best["round"]}
            seeds = np.random.SeedSequence([config.seed, number]).generate_state(3).tolist()
            start = scorer_of(best["round"])
            played = folder / "trajectories"
            play = functools.partial(_play, played, start, seeds[0], arguments, environment, config)
            made_by_main_process(config, played / SUMMARY_FILE, play)
            record |= _sampled(played)
            try:
                record |= _prefer(folder, start, seeds[1:], arguments, tuning, config)
            except NoPairsError as error:
                logger.warning("round %d has nothing to learn: %s", number, error)
                records.append(record | {"num_pairs": 0, "left_out": str(error), "best": False})
                continue
            record |= on_dev(scorer_of(number), folder)
            record["best"] = record["dev_score"] > best["dev_score"]
            best = record if record["best"] else best
            records.append(record)
            logger.info("%s", _round_line(record, arguments.num_rounds))
        if config.should_save:
            write_json(output_dir / ROUNDS_FILE, records)
            _finish(run, scorer_of(best["round"]), records, task, environment, arguments, config)
    return output_dir


def _round_line(record: dict[str, Any], num_rounds: int) -> str:
    """What the log says of a round."""
    kept = "the best so far" if record["best"] else "not better than the best so far"
    parts = (
        f"round {record['round']}/{num_rounds}",
        f"sampled success {record['sampled_success']:.1f}%",
        f"{record['num_pairs']} pairs",
        f"dev success {record['dev_success']:.1f}%, score {record['dev_score']:.1f}: {kept}",
    )
    return "  ".join(parts)


def _play(
    folder: Path,
    policy: str,
    seed: int,
    arguments: SelfImprovementArguments,
    environment: EnvironmentArguments,
    config: ChoiceDPOConfig,
) -> None:
    """Plays the round's share of the budget; every episode is kept, without its loops, because failures teach too."""
    share = arguments.num_episodes // arguments.num_rounds
    generate_trajectories(
        TrajectoryConfig(
            policy=policy,
            output_dir=str(folder),
            environment=environment.environment,
            catalog=environment.catalog,
            goal_seed=environment.goal_seed,
            human_goals=environment.human_goals,
            wording=environment.wording,
            query_model=environment.query_model,
            num_queries=environment.num_queries,
            split_by=environment.split_by,
            goal_draw=environment.goal_draw,
            max_steps=environment.max_episode_steps,
            num_trajectories=share,
            max_episodes=share,
            min_reward=0.0,
            rollouts_per_goal=arguments.rollouts_per_goal,
            temperature=arguments.temperature,
            loop_guard=arguments.loop_guard,
            seed=seed,
        ),
        policy=ScorerPolicy.from_pretrained(
            policy,
            device=str(config.device),
            temperature=arguments.temperature,
            loop_guard=arguments.loop_guard,
        ),
    )


def _sampled(folder: Path) -> dict[str, Any]:
    """What a round's record says of the episodes that `_play` keeps in the folder."""
    summary = read_object(folder / SUMMARY_FILE, folder)
    return {
        "num_episodes": summary["num_episodes"],
        "sampled_success": summary["success_rate"],
        "sampled_score": summary["score"],
    }


def _prefer(
    folder: Path,
    policy: str,
    seeds: Sequence[int],
    arguments: SelfImprovementArguments,
    tuning: TuningArguments,
    config: ChoiceDPOConfig,
) -> dict[str, Any]:
    """DPO on the round's episodes; ``seeds``: of the pairs and of training.

    Raises:
        NoPairsError: no two of them can be compared.
    """
    of_round = copy.copy(config)
    of_round.output_dir, of_round.seed = str(folder / "dpo"), seeds[1]
    if is_complete(folder / "dpo"):
        tidy_complete_run(folder / "dpo")
    else:
        train_dpo(
            DPOArguments(
                model_name_or_path=policy,
                trajectories=str(folder / "trajectories"),
                pairs=arguments.pairs,
                min_reward=arguments.min_reward,
                weight_by_margin=arguments.weight_by_margin,
                pairs_seed=seeds[0],
            ),
            copy.copy(tuning),
            of_round,
        )
    summary = read_pairs(folder / "dpo" / PREFERENCES_FOLDER)
    counts = {name: summary[name] for name in ("num_pairs", "num_goals", "left_out")}
    return counts | {"global_step": training_metrics(folder / "dpo")["global_step"]}


def _finish(
    run: TrainingRun,
    best: str,
    records: list[dict[str, Any]],
    task: Task,
    environment: EnvironmentArguments,
    arguments: SelfImprovementArguments,
    config: ChoiceDPOConfig,
) -> None:
    """Puts the best scorer into the run's folder, then the metrics, which mark the run as complete."""
    model, tokenizer = load_scorer(best)
    model.config.catalog_sha256 = task.sha256
    save_scorer(model, tokenizer, run.folder.path)
    played = {
        "training": sum(record.get("num_episodes", 0) for record in records),
        "dev": sum(record.get("num_dev_episodes", 0) for record in records),
    }
    logger.info("played %(training)d episodes in training and %(dev)d on dev goals", played)
    about = {
        "method": "self-improvement",
        "num_rounds": arguments.num_rounds,
        "num_episodes": played["training"],
        "num_episodes_played": played,
        "num_pairs": sum(record.get("num_pairs", 0) for record in records),
        "num_processes": config.world_size,
        "global_step": sum(record.get("global_step", 0) for record in records),
        **report_best(max(record["round"] for record in records if record["best"]), "round"),
        "protocol": task.protocol(environment.split_by),
        "catalog_sha256": task.sha256,
        "goals_sha256": task.goals_sha256,
        "rounds": records,
    }
    run.complete(about)

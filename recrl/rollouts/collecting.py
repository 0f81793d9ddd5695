"""Collecting trajectories: what `recrl generate-trajectories` does.

While it plays, the run's folder (`recrl.runs`) stands beside the dataset's, and every finished episode is in its
journal before the next one is counted. A collection that was killed goes on with the next episode's number; since each
episode has a generator of its own, the result is that of an uninterrupted collection. When enough episodes are kept,
the dataset is written as a whole and the run's folder is removed.
"""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recrl.environments.fewer_products import first_targets
from recrl.environments.protocols import Task
from recrl.environments.webshop import as_task
from recrl.episodes.data import episode_to_row, episodes_to_dataset, row_to_episode
from recrl.episodes.training_goals import SUMMARY_FILE
from recrl.errors import DatasetError
from recrl.files import replace_folder, sha256_of, write_text
from recrl.journals import Journal
from recrl.policies.base import Policy
from recrl.policies.loading import load_policy
from recrl.policies.taught import Taught
from recrl.progress import Bar, duration
from recrl.queries.proposing import QueryModel, describe_queries, recorded
from recrl.rollouts.config import TrajectoryConfig
from recrl.rollouts.pruning import prune_loops
from recrl.rollouts.rollout import rollout
from recrl.runs import JOURNAL_FILE, README_FILE, RunFolder, outcome_of, read_object, refuse_no_folder
from recrl.same_settings import refuse_other_settings
from recrl.seals import check_folder, seal_folder, write_sealed_json
from recrl.webshop.catalog import Catalog

JOURNAL_ENDING = ".collecting"
COLLECT_AGAIN = "remove it and collect it again, or take another --output_dir"
FREE_FIELDS = ("batch_size", "max_episodes", "output_dir")  # may differ when a collection goes on: no influence
DATASET_FILES = {
    "data-*.arrow": "the episodes, a row each; `datasets.load_from_disk` and `recrl.episodes.load_episodes` read them",
    "dataset_info.json": "the columns; `state.json`: the list of the data files",
    SUMMARY_FILE: "settings and counts",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a collection is; times in seconds, rates per second."""

    episodes: int
    kept: int
    wanted: int
    successes: int
    steps_per_second: float
    seconds_left: float | None

    @property
    def standing(self) -> str:
        """What was played so far."""
        rate = 100 * self.successes / max(1, self.episodes)
        return f"{self.kept} of {self.episodes} episodes kept, success {rate:.1f}%, {self.steps_per_second:.0f} steps/s"

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        return f"{self.kept}/{self.wanted}, {self.standing}{left}"


def goal_stream(
    catalog: Catalog | Task,
    split: str,
    split_by: str,
    seed: int,
    *,
    start: int = 0,
    repeats: int = 1,
    draw: str = "weight",
    num_products: int | None = None,
) -> Iterator[int]:
    """Goals of a split without end: in each pass every goal, in an order that is drawn.

    Args:
        start: how many goals of the stream to leave out.
        repeats: how often a goal comes in a row.
        draw: one of `recrl.webshop.goals.GOAL_DRAWS`.
        num_products: goals of so many targets alone, see `recrl.environments.fewer_products`; None: of all.

    Raises:
        ConfigError: the split has fewer targets.
    """
    task = as_task(catalog)
    indices = np.asarray(task.split(split, split_by))
    if num_products is not None:
        targets = first_targets(task, split, split_by, num_products)
        indices = np.array([index for index in indices.tolist() if task.target(index) in targets])
    chances = None if draw == "uniform" else task.chances(indices, draw)
    passes, first = divmod(start, repeats * len(indices))
    while True:
        rng = np.random.default_rng([seed, passes, 1])  # not 0, which makes an episode's [seed, passes]
        order = rng.choice(indices, size=len(indices), replace=False, p=chances)
        yield from np.repeat(order, repeats)[first:].tolist()
        passes, first = passes + 1, 0


def generate_trajectories(
    config: TrajectoryConfig, *, policy: Policy | None = None, progress: Callable[[Progress], None] | None = None
) -> dict[str, Any]:
    """Collects trajectories and writes them as a `datasets` dataset with the columns of `recrl.episodes.data`.

    Args:
        policy: instead of ``config.policy``, which then only names it.
        progress: called after every episode.

    Returns:
        the summary that is also written beside the dataset, as `SUMMARY_FILE`.

    Raises:
        DatasetError: the output folder holds something else, or ``max_episodes`` were played before enough were kept.
        ConfigError: an interrupted collection in the same place had another configuration, catalogue or checkpoint.
        StorageError: the disk is full; what was collected is kept, and the same command goes on from there.
    """
    output_dir = Path(config.output_dir)
    journal_folder = output_dir.with_name(output_dir.name + JOURNAL_ENDING)
    refuse_no_folder(output_dir)
    if (summary := _finished(output_dir, config)) is not None:
        shutil.rmtree(journal_folder, ignore_errors=True)  # of a kill between writing the dataset and removing it
        return summary
    task = config.load_task()
    policy = policy or config.load_policy()
    if config.teacher is not None:
        policy = Taught(policy, load_policy(config.teacher))
    queries = config.load_queries()
    run = RunFolder(
        path=journal_folder,
        kind="collection",
        command="recrl generate-trajectories",
        settings=recorded(config) | _identity(config, policy, task, queries),
        settings_file="config.json",
        result_file=f"../{output_dir.name}/{SUMMARY_FILE}",
        files={
            "config.json": "all settings",
            JOURNAL_FILE: "an episode a line: its reward, and its steps if it is kept",
        },
        free=FREE_FIELDS,
    )
    with run.claim():
        summary = _finished(output_dir, config)  # by a process that held the folder until now
        if summary is None:
            records = _records(run.journal)
            with Bar(f"playing {policy.name}") as bar:
                records += _collect(config, policy, task, queries, records, run.journal, bar, progress)
            summary = _summary(config, policy, task, queries, records)
            _write_dataset(run, output_dir, records, summary)
        shutil.rmtree(journal_folder, ignore_errors=True)
    return summary


def _finished(output_dir: Path, config: TrajectoryConfig) -> dict[str, Any] | None:
    """The summary of the collection that the folder holds, None if there is no such folder."""
    path = output_dir / SUMMARY_FILE
    if not path.exists():
        if output_dir.exists():
            raise DatasetError(f"{output_dir} exists and holds no finished collection; choose another --output_dir")
        return None
    summary = read_object(path, output_dir)
    check_folder(output_dir, DatasetError, COLLECT_AGAIN)
    if not isinstance(summary.get("config"), dict):
        raise DatasetError(f"{output_dir} holds no collection of ours; choose another --output_dir")
    refuse_other_settings(f"{output_dir} holds a complete collection", summary["config"], recorded(config), FREE_FIELDS)
    return summary


def _collect(
    config: TrajectoryConfig,
    policy: Policy,
    task: Task,
    queries: QueryModel | None,
    earlier: Sequence[dict[str, Any]],
    journal: Journal,
    bar: Bar,
    progress: Callable[[Progress], None] | None,
) -> list[dict[str, Any]]:
    """Plays until enough episodes are kept or the budget is spent; every episode is on the disk before it counts."""
    start, started = len(earlier), time.monotonic()
    kept = sum(record["row"] is not None for record in earlier)
    successes = sum(record["success"] for record in earlier)
    env = task.make_env(max_steps=config.max_steps, queries=queries)
    goals = itertools.islice(
        goal_stream(
            task,
            config.split,
            config.split_by,
            config.seed,
            start=start,
            repeats=config.rollouts_per_goal,
            draw=config.goal_draw,
            num_products=config.num_products,
        ),
        config.episode_budget - start,
    )
    records: list[dict[str, Any]] = []
    steps = 0
    if kept >= config.num_trajectories:
        return records
    for episode in rollout(
        policy,
        task,
        goals,
        seed=config.seed,
        split_by=config.split_by,
        batch_size=config.batch_size,
        max_steps=config.max_steps,
        first_number=start,
        queries=queries,
        exact_probabilities=bool(config.exact_probabilities),
    ):
        keep = config.keeps(episode.reward)
        steps += episode.num_steps
        if keep and config.prune:
            episode = prune_loops(episode, env, config.loops)
        record: dict[str, Any] = {
            "number": start + len(records),
            "reward": episode.reward,
            "success": episode.success,
            "row": episode_to_row(episode) if keep else None,
        }
        journal.append(record)
        records.append(record)
        kept, successes = kept + keep, successes + episode.success
        seconds = time.monotonic() - started
        new = sum(record["row"] is not None for record in records)
        left = seconds / new * (config.num_trajectories - kept) if new else None
        now = Progress(start + len(records), kept, config.num_trajectories, successes, steps / seconds, left)
        bar.update(kept, config.num_trajectories, now.standing)
        if progress is not None:
            progress(now)
        if kept >= config.num_trajectories:
            break
    return records


def _identity(config: TrajectoryConfig, policy: Policy, task: Task, queries: QueryModel | None) -> dict[str, Any]:
    """What the configuration only names by place: the catalogue's content, the policy with its weights, and the query
    model's weights.
    """
    specs = [one for one in (config.policy, config.teacher) if one is not None]
    folders = [Path(one.removeprefix("planner:")) for one in specs]
    weights = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.safetensors"))]
    return {
        "catalog_sha256": task.sha256,
        "goals_sha256": task.goals_sha256,
        "policy_name": policy.name,
        "weights_sha256": [sha256_of(path) for path in weights],
    } | ({} if queries is None else {"query_model_sha256": queries.sha256})


def _records(journal: Journal) -> list[dict[str, Any]]:
    """The records of an interrupted collection; an empty list for a new one."""
    records = journal.read()
    for place, record in enumerate(records):
        if record.get("number") != place or not {"reward", "success", "row"} <= record.keys():
            raise journal.damaged(place + 1, f"expected episode {place} with its reward, success and row")
    return records


def _write_dataset(
    run: RunFolder, output_dir: Path, records: Sequence[dict[str, Any]], summary: dict[str, Any]
) -> None:
    """Writes the kept episodes with their summary and a README, all or nothing."""
    dataset = replace(run, path=output_dir, settings_file=SUMMARY_FILE, files=DATASET_FILES)
    rows = [record["row"] for record in records if record["row"] is not None]
    with replace_folder(output_dir) as folder:
        episodes_to_dataset(row_to_episode(row) for row in rows).save_to_disk(str(folder))
        write_sealed_json(folder / SUMMARY_FILE, summary)
        write_text(folder / README_FILE, dataset.readme(outcome_of(summary)))
        seal_folder(folder, "trajectory dataset", command=run.command)


def _summary(
    config: TrajectoryConfig,
    policy: Policy,
    task: Task,
    queries: QueryModel | None,
    records: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Settings and counts.

    Raises:
        DatasetError: fewer episodes are kept than were asked for.
    """
    rows = [record["row"] for record in records if record["row"] is not None]
    if len(rows) < config.num_trajectories:
        raise DatasetError(
            f"only {len(rows)} of {len(records)} episodes reached min_reward={config.min_reward}, asked for were "
            f"{config.num_trajectories}; raise --max_episodes to go on from here, or lower --min_reward"
        )
    return {
        "config": recorded(config),
        "protocol": task.protocol(config.split_by),
        "catalog_sha256": task.sha256,
        "goals_sha256": task.goals_sha256,
        "policy": policy.name,
        **describe_queries(queries),
        "num_episodes": len(records),
        "num_trajectories": len(rows),
        "success_rate": 100 * sum(record["success"] for record in records) / len(records),
        "score": 100 * sum(record["reward"] for record in records) / len(records),
        "mean_steps": sum(row["num_steps"] for row in rows) / len(rows),
    }

"""Importing trajectories: what `recrl import-trajectories` does.

With their catalogue at hand trajectories are replayed in it: pages, valid actions and rewards are the environment's.
Without it the imitation file's pages are read from its texts, rows are taken as they are, and sessions, which hold no
texts, become rows without pages, of which nothing can be learned. What does not fit is left out and counted by reason.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recrl.episodes.data import Episode, episode_features, episode_to_row
from recrl.episodes.training_goals import SUMMARY_FILE
from recrl.errors import DatasetError
from recrl.files import replace_folder, sha256_of
from recrl.importing.config import ImportConfig
from recrl.importing.demonstrations import read_demonstrations
from recrl.importing.recordings import PEOPLE, MisfitError, Recording, find_files
from recrl.importing.replay import Replayer, as_recorded
from recrl.importing.rows import read_rows, to_recording
from recrl.importing.sessions import read_sessions
from recrl.progress import tracked
from recrl.seals import seal_folder, write_sealed_json

SHOWN_MISFITS = 20  # of each reason, in the summary's list

Found = tuple[str, Recording | Episode | MisfitError]  # a trajectory's name, and what was found under it


@dataclass
class Imported:
    """What came of a source.

    Attributes:
        rows: of the dataset; misfits: name, step, reason and detail of what was left out.
        num_filled: actions that were filled in; num_with_filled: trajectories with such.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    misfits: list[dict[str, Any]] = field(default_factory=list)
    num_filled: int = 0
    num_with_filled: int = 0

    def leave_out(self, name: str, misfit: MisfitError) -> None:
        self.misfits.append({"name": name, "step": misfit.step, "reason": misfit.reason, "detail": misfit.detail})

    def add(self, row: dict[str, Any], found: Recording | Episode) -> None:
        self.rows.append(row)
        filled = sum(step.is_filled_in for step in found.steps) if isinstance(found, Recording) else 0
        self.num_filled, self.num_with_filled = self.num_filled + filled, self.num_with_filled + bool(filled)


def import_trajectories(config: ImportConfig) -> dict[str, Any]:
    """Imports trajectories and writes them as a `datasets` dataset with a summary beside it, all or nothing.

    Returns:
        the summary that is also written, as `SUMMARY_FILE`.

    Raises:
        DatasetError: the output folder exists, the source cannot be read or is of another format, or nothing in it
            fits.
        CatalogError: the catalogue cannot be loaded.
    """
    output_dir, source = Path(config.output_dir), Path(config.source)
    if output_dir.exists():
        raise DatasetError(f"{output_dir} exists; choose another --output_dir or remove it")
    found = list(_read(config, source))
    replayer = None
    if config.catalog is not None:
        replayer = Replayer(config.load_catalog(), config.split_by, config.max_steps)
    make = _row_without_catalog(config, found) if replayer is None else _row_with_catalog(config, replayer)
    imported = Imported()
    for name, one in tracked(found, "replaying trajectories", len(found)):
        try:
            if isinstance(one, MisfitError):
                raise one
            row = make(name, one)
            if row["reward"] < config.min_reward:
                raise MisfitError("its reward is below min_reward", f"{row['reward']:g}")
            imported.add(row, one)
        except MisfitError as misfit:
            imported.leave_out(name, misfit)
    if not imported.rows:
        raise DatasetError(
            f"none of the {len(found)} trajectories of {source} fits: {reasons_text(imported.misfits) or 'it is empty'}"
        )
    summary = _summary(config, source, found, imported, replayer)
    has_pages = not (replayer is None and config.format == "webshop_sessions")
    with replace_folder(output_dir) as folder:
        _to_dataset(imported.rows, has_pages).save_to_disk(str(folder))
        write_sealed_json(folder / SUMMARY_FILE, summary)
        seal_folder(folder, "trajectory dataset", command="recrl import-trajectories")
    return summary


def reasons_text(misfits: Iterable[dict[str, Any]]) -> str:
    """How many do not fit, by reason, each with its first example."""
    first: dict[str, dict[str, Any]] = {}
    counts = Counter(misfit["reason"] for misfit in misfits)
    for misfit in misfits:
        first.setdefault(misfit["reason"], misfit)
    parts = []
    for reason, count in counts.most_common():
        example = first[reason]
        step = "" if example["step"] is None else f" at step {example['step']}"
        detail = f": {example['detail']}" if example["detail"] else ""
        parts.append(f"{count} because {reason} ({example['name']}{step}{detail})")
    return "; ".join(parts)


def _read(config: ImportConfig, source: Path) -> Iterator[Found]:
    if config.format == "webshop_sessions":
        return read_sessions(source, fill_gaps=config.fill_gaps)
    return read_demonstrations(source) if config.format == "webshop_il" else read_rows(source)


MakeRow = Callable[[str, Recording | Episode], dict[str, Any]]


def _row_with_catalog(config: ImportConfig, replayer: Replayer) -> MakeRow:
    """Replays a trajectory and makes its row."""
    catalog = replayer.catalog
    kept = None if config.split == "all" else {int(index) for index in catalog.split(config.split, config.split_by)}

    def make(name: str, found: Recording | Episode) -> dict[str, Any]:
        ours = (catalog.sha256, catalog.goals_sha256)
        if isinstance(found, Episode) and (found.catalog_sha256, found.goals_sha256) != ours:
            theirs = f"{found.catalog_sha256[:12]}, {found.goals_sha256[:12]}"
            raise MisfitError("it is of another catalogue, or of other goals", f"of {theirs}")
        recording = to_recording(name, found) if isinstance(found, Episode) else found
        goal_index = replayer.goal_of(recording)
        if kept is not None and goal_index not in kept:
            raise MisfitError(f"its goal is not in the {config.split} split by {config.split_by}", f"goal {goal_index}")
        episode = replayer.replay(recording, goal_index)
        if isinstance(found, Episode):  # as it was recorded; the replay has shown that it can be so
            if [step.page for step in found.steps] != [step.page for step in episode.steps]:
                raise MisfitError("its pages are not those of the catalogue")
            episode = found
        return episode_to_row(episode)

    return make


def _row_without_catalog(config: ImportConfig, found: list[Found]) -> MakeRow:
    """Makes a trajectory's row of what its record shows."""
    instructions = sorted({one.instruction for _, one in found if isinstance(one, Recording)})
    goals_sha256 = hashlib.sha256("\n".join(instructions).encode()).hexdigest()
    index_of = {instruction: index for index, instruction in enumerate(instructions)}

    def make(name: str, one: Recording | Episode) -> dict[str, Any]:
        if isinstance(one, Episode):
            return episode_to_row(one)
        if config.format == "webshop_sessions":
            return _row_without_pages(one)
        if one.reward is None and config.assume_reward is None:
            raise MisfitError(
                "its reward is not known", "name its catalogue with --catalog, or say --assume_reward 1.0"
            )
        episode = as_recorded(
            one,
            index_of[one.instruction],
            goals_sha256=goals_sha256,
            reward=config.assume_reward or 0.0,
            max_steps=config.max_steps,
        )
        return episode_to_row(episode)

    return make


def _row_without_pages(recording: Recording) -> dict[str, Any]:
    """A row with actions, asins and rewards, and nothing of what was shown."""
    if recording.reward is None:
        raise MisfitError("its reward is not known")
    unknown = dict.fromkeys(("observation", "page", "valid_actions", "steps_left", "log_prob"))
    last = len(recording.steps) - 1
    steps = [
        unknown
        | {
            "action": step.action,
            "reward": recording.reward if place == last else 0.0,
            "right_actions": [],
            "results": None if step.results is None else list(step.results),
            "is_filled_in": step.is_filled_in,
        }
        for place, step in enumerate(recording.steps)
    ]
    return dict.fromkeys(episode_features()) | {
        "name": recording.name,
        "instruction": recording.instruction,
        "target_asin": recording.target_asin,
        "bought_asin": recording.bought_asin,
        "policy": PEOPLE,
        "steps": steps,
        "reward": recording.reward,
        "success": recording.reward == 1.0,
        "terminated": True,
        "truncated": False,
        "num_steps": len(steps),
    }


def _to_dataset(rows: list[dict[str, Any]], has_pages: bool) -> Any:
    from datasets import Dataset, Features, List, Value

    features = episode_features()
    if not has_pages:
        text = Value("string")
        step = features["steps"].feature | {"results": List(text), "is_filled_in": Value("bool")}
        extra = {"name": text, "target_asin": text, "bought_asin": text}
        features = Features(dict(features) | extra | {"steps": List(step)})
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def _summary(
    config: ImportConfig, source: Path, found: list[Found], imported: Imported, replayer: Replayer | None
) -> dict[str, Any]:
    """Settings and counts."""
    rewards = np.array([row["reward"] for row in imported.rows])
    counts = Counter(misfit["reason"] for misfit in imported.misfits)
    shown = [
        misfit
        for reason in counts
        for misfit in [one for one in imported.misfits if one["reason"] == reason][:SHOWN_MISFITS]
    ]
    rebuilt = (
        {}
        if replayer is None
        else {
            "num_other_results": replayer.num_other_results,
            "num_other_bounds": replayer.num_other_bounds,
            "protocol": replayer.catalog.protocol(config.split_by),
            "catalog_sha256": replayer.catalog.sha256,
            "goals_sha256": replayer.catalog.goals_sha256,
        }
    )
    return {
        "import": asdict(config),
        "files_sha256": {path.name: sha256_of(path) for path in find_files(source)},
        "num_found": len(found),
        "num_trajectories": len(imported.rows),
        "num_left_out": dict(counts.most_common()),
        "left_out": shown,
        "num_filled_in": imported.num_filled,
        "num_with_filled_in": imported.num_with_filled,
        "num_successes": int((rewards == 1).sum()),
        "success_rate": 100 * float((rewards == 1).mean()),
        "score": 100 * float(rewards.mean()),
        "mean_steps": float(np.mean([row["num_steps"] for row in imported.rows])),
        **rebuilt,
    }

"""What a run's folder, or a file, holds that can be shown: results, training logs, comparisons, trajectories.

Files are known by what is in them, so that every command's folder can be read, and a folder that a person has put
together too. What is damaged is left out and named.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.episodes.data import Episode, load_episodes
from recrl.errors import DatasetError
from recrl.evaluation.report import Report, load_report
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import load_result
from recrl.files import read_json
from recrl.policies.loading import RULES
from recrl.seals import read_sealed_json

TRAINING_LOG, TRAINING_SETTINGS = "training_metrics.json", "config_resolved.json"
DATASET_MARK = "dataset_info.json"
EXPERIMENT_ROWS = "results.json"
SETTINGS_FILES = ("quickstart.json", "experiment.json", "config.json", "trajectories.json")
PASSED_OVER = ("checkpoint-", ".")  # beginnings of folders in which nothing is looked for
CATALOG_SETTINGS = ("catalog", "goal_seed", "human_goals", "wording")


@dataclass(frozen=True)
class Training:
    """The log of a training run.

    Attributes:
        name: of its folder, seen from the run's; path: of it.
        metrics: what `training_metrics.json` holds; settings: what `config_resolved.json` holds, in groups.
    """

    name: str
    path: Path
    metrics: dict[str, Any]
    settings: dict[str, Any]

    @property
    def method(self) -> str:
        """judgement, imitation, dpo, ppo, self_improvement or search."""
        return str(self.metrics.get("method", "training"))

    @property
    def log(self) -> list[dict[str, Any]]:
        """The entries of the log."""
        return [entry for entry in self.metrics.get("log_history", []) if isinstance(entry, dict)]


@dataclass
class Run:
    """What was found.

    Attributes:
        path: where; name: what to call it.
        results: name -> result; trainings, comparisons: in the order of their paths; comparisons with their names.
        episodes: of a trajectory dataset that was named itself.
        rows: of an experiment, a row for each evaluation.
        settings: the command's; damaged: a line for each file that could not be read.
    """

    path: Path
    name: str
    results: dict[str, Result] = field(default_factory=dict)
    trainings: list[Training] = field(default_factory=list)
    comparisons: dict[str, Report] = field(default_factory=dict)
    episodes: list[Episode] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found that can be shown."""
        return not (self.results or self.trainings or self.comparisons or self.episodes)

    def catalog_settings(self) -> dict[str, Any]:
        """The catalogue that the run's command was given, as far as its settings say."""
        groups = [group for group in self.settings.values() if isinstance(group, Mapping)]
        return {
            name: group[name]
            for group in (*groups, self.settings)
            for name in CATALOG_SETTINGS
            if group.get(name) is not None
        }


def find_run(path: str | Path) -> Run:
    """What a file or folder holds.

    Raises:
        DatasetError: there is nothing at the path, it is a file of another kind, or nothing in it can be shown.
    """
    path = Path(path)
    if path.is_file():
        run = Run(path, path.stem)
        _read_file(run, path, None)
        if run.damaged:
            raise DatasetError(run.damaged[0])
    elif (path / DATASET_MARK).exists():
        run = Run(path, path.name, episodes=load_episodes(path), settings=_settings_of(path))
    elif path.is_dir():
        run = _read_folder(path)
    else:
        raise DatasetError(
            f"{path}: there is no such file or folder; expected a run's folder, a result of `recrl evaluate "
            "--output_json`, or a trajectory dataset"
        )
    if run.is_empty:
        broken = f" ({'; '.join(run.damaged[:3])})" if run.damaged else ""
        raise DatasetError(
            f"{path} holds nothing that can be shown{broken}; expected results of `recrl evaluate --output_json`, "
            "training logs, a comparison, or trajectories"
        )
    run.results = dict(sorted(run.results.items(), key=lambda item: _rank(item[1])))
    return run


def _rank(result: Result) -> tuple[int, float]:
    """Rules first, then what was trained, then ceilings; the best last."""
    if result.max_steps is None:
        return 2, result.success_rate
    return int(not is_scripted(result)), result.success_rate


def is_scripted(result: Result) -> bool:
    """Whether a result is of a scripted policy, a planner with a trained judgement among them."""
    return result.policy.partition(":")[0] in (*RULES, "demonstrator")


def _read_folder(folder: Path) -> Run:
    run = Run(folder, folder.resolve().name, settings=_settings_of(folder))
    for path in _json_files(folder):
        name = path.parent.relative_to(folder).as_posix()
        if path.name == TRAINING_LOG:
            _read_training(run, path, folder.name if name == "." else name)
        elif path.name == EXPERIMENT_ROWS and path.parent == folder:
            _read_rows(run, path)
        else:
            _read_file(run, path, path.stem if name in (".", "evaluation") else f"{name}/{path.stem}")
    return run


def _json_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(PASSED_OVER):
            if not (path / DATASET_MARK).exists():
                yield from _json_files(path)
        elif path.suffix == ".json" and not path.name.startswith("."):
            yield path


def _read_file(run: Run, path: Path, name: str | None) -> None:
    """Takes in a result or a comparison's report; anything else is passed over, but for what was named itself.

    Args:
        name: what to call a result; None for its policy's name.
    """
    try:
        fields = read_json(path)
    except (OSError, ValueError) as error:
        run.damaged.append(f"{path} cannot be read: {error}")
        return
    try:
        if isinstance(fields, dict) and {"episodes", "success_rate"} <= fields.keys():
            result = load_result(path)
            run.results[_free_name(_label(name, result), run.results)] = result
        elif isinstance(fields, dict) and {"all_runs", "agents"} <= fields.keys():
            run.comparisons[_free_name(run.name, run.comparisons)] = load_report(path)
        elif path == run.path:
            load_result(path)  # says what it lacks
    except DatasetError as error:
        run.damaged.append(str(error))


def _label(name: str | None, result: Result) -> str:
    """What a result is called: a ceiling by its name, anything else by its file's if that is given."""
    if result.max_steps is None:
        return ceiling_name(result)
    return result.policy if name is None else name.replace("_", " ")


def ceiling_name(result: Result) -> str:
    """A ceiling's name as tables have it, of its policy "ceiling of 10 hits"."""
    hits = re.fullmatch(r"ceiling of (\d+) hits", result.policy)
    return result.policy if hits is None else "page-1 ceiling" if hits[1] == "10" else f"{hits[1]}-hit ceiling"


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name} ({number})"
    return free


def _read_training(run: Run, path: Path, name: str) -> None:
    try:
        metrics = read_sealed_json(path)
        if not isinstance(metrics, dict) or not isinstance(metrics.get("log_history", []), list):
            raise ValueError("expected an object with a log")
        settings_file = path.with_name(TRAINING_SETTINGS)
        settings = read_sealed_json(settings_file) if settings_file.exists() else {}
    except (OSError, ValueError) as error:
        run.damaged.append(f"{path} cannot be read: {error}")
    else:
        run.trainings.append(Training(name, path.parent, metrics, settings if isinstance(settings, dict) else {}))


def _read_rows(run: Run, path: Path) -> None:
    try:
        rows = read_sealed_json(path)["rows"]
        run.rows = [row for row in rows if isinstance(row, dict)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        run.damaged.append(f"{path} cannot be read: {error}")


def _settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the command that made a folder; empty where they are not known."""
    for name in (*SETTINGS_FILES, TRAINING_SETTINGS):
        try:
            found = read_sealed_json(folder / name)
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found["config"] if isinstance(found.get("config"), dict) else found
    return {}

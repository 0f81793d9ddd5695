"""Small works of each kind whose command can be repeated, and what they leave: for the tests of faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reported import OF_THE_CLOCK

from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.seals import MANIFEST, check_folder, read_sealed_json
from recrl.webshop.building import build_catalog
from small_catalog import plain_nouns

Work = Callable[[Path], None]


def collect(folder: Path) -> None:
    generate_trajectories(
        TrajectoryConfig(
            policy="random", output_dir=str(folder / "out"), num_trajectories=4, min_reward=0.0, max_episodes=4
        )
    )


def play_off(folder: Path) -> None:
    compare(ComparisonConfig(policies=("rule", "random"), output_dir=str(folder / "out"), num_episodes=8, round_size=4))


def build(folder: Path) -> None:
    build_catalog(folder.parent / "raw", folder / "out", nouns=plain_nouns, tagger={"name": "plain"})


def train(folder: Path, **more: Any) -> None:
    from recrl.publishing.push import push_run
    from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
    from recrl.training.tuning import TuningArguments

    config = ImitationConfig(
        output_dir=str(folder / "out"), max_steps=4, save_steps=1, logging_steps=3, use_cpu=True, disable_tqdm=True,
        **more,
    )  # fmt: skip
    given = ImitationArguments(
        [str(folder.parent / "shown")], model_name_or_path=str(folder.parent / "encoder"), max_state_tokens=96
    )
    train_imitation(given, TuningArguments(), config)
    push_run(config)


def convert(folder: Path) -> None:
    from recrl.scoring.published import convert_published

    convert_published(folder.parent / "choice.pth", folder / "out", tokenizer=folder.parent / "encoder")


def quickstart(folder: Path) -> None:
    from recrl.quickstart import QuickstartConfig, run_quickstart

    run_quickstart(QuickstartConfig(output_dir=str(folder / "out"), tiny=True))


WORKS: dict[str, Work] = {"collect": collect, "compare": play_off, "build": build, "train": train}


def content(folder: Path) -> dict[str, Any]:
    """What a folder holds, but for times, versions and the machine's paths; every seal in it is checked."""
    for manifest in folder.rglob(MANIFEST):
        if "format_version" in manifest.read_text() and "kind" in manifest.read_text():
            check_folder(manifest.parent, AssertionError, "")  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name in (MANIFEST, "training_args.bin", "journal.jsonl", "report.html"):
            found[name] = None
        elif path.name == "README.md":
            found[name] = path.read_text().replace(str(folder), "FOLDER")
        elif path.suffix == ".json":
            value = _without(read_sealed_json(path), OF_THE_CLOCK)
            # Sorted, because transformers sorts the keys of the log that it keeps with a checkpoint.
            found[name] = json.dumps(value, sort_keys=True).replace(str(folder), "FOLDER")
        else:
            found[name] = path.read_bytes()
    return found


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """Objects without fields that hold a time or a place."""
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value

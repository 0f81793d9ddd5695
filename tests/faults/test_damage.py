"""Damage to everything that recrl writes and reads back: the right result, or one clear error; never another result.

The slow tier draws 100 damages by seed, the exhaustive one 500:

    pytest -m slow tests/faults/test_damage.py
    pytest -m exhaustive tests/faults/test_damage.py
"""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset, load_episodes
from recrl.errors import RecrlError
from recrl.evaluation.comparison import compare
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.measure import evaluate
from recrl.evaluation.results import load_result, save_result
from recrl.policies.loading import load_policy
from recrl.preferences.builders import build_preferences
from recrl.preferences.building import save_pairs
from recrl.preferences.data import load_preferences
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.scoring.published import read_state_dict
from recrl.seals import seal_folder
from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
from recrl.training.tuning import TuningArguments
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import load_catalog
from small_catalog import plain_nouns, write_catalog

KINDS = ("bit", "byte", "digit", "cut", "removed", "wrong type", "appended")


@dataclass(frozen=True)
class Thing:
    """What is damaged.

    Attributes:
        make: makes it in a new folder; use: reads it, or goes on from it, and gives what came out.
        left_out: names of files that are not its content.
        has_checksum: whether every change of content must be found; of files of others only crashes are excluded.
    """

    make: Callable[[Path], None]
    use: Callable[[Path], Any]
    left_out: tuple[str, ...] = ("README.md",)
    has_checksum: bool = True


@pytest.fixture(scope="module")
def things(tiny_scorer: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Thing]:
    shown = tmp_path_factory.mktemp("shown") / "dataset"
    episodes_to_dataset([colour_episode(number) for number in range(8)]).save_to_disk(str(shown))
    raw = write_catalog(tmp_path_factory.mktemp("raw"))

    def scorer(folder: Path) -> None:
        save_scorer(*load_scorer(tiny_scorer), folder / "scorer")

    def weights(folder: Path) -> float:
        model, tokenizer = load_scorer(folder / "scorer")
        return float(sum(tensor.double().sum() for tensor in model.state_dict().values())) + len(tokenizer)

    def dataset(folder: Path) -> None:
        shutil.copytree(shown, folder / "data")
        seal_folder(folder / "data", "trajectory dataset")

    def pairs(folder: Path) -> None:
        def log_probs(decisions: Any) -> list[np.ndarray]:
            return [np.full(len(one.valid_actions), -np.log(len(one.valid_actions))) for one in decisions]

        save_pairs(build_preferences(load_episodes(shown), log_probs, np.random.default_rng(0)), folder / "pairs")

    def catalogue(folder: Path) -> None:
        build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "plain"})

    def shop(folder: Path) -> tuple[Any, ...]:
        catalog = load_catalog(folder / "built")
        return [product.title for product in catalog.products], [goal.instruction for goal in catalog.goals]

    def result(folder: Path) -> None:
        save_result(folder / "result.json", evaluate(load_policy("rule"), load_catalog(), num_episodes=5))

    def comparison(folder: Path) -> Any:
        settings = ComparisonConfig(
            policies=("rule", "random"), output_dir=str(folder / "run"), num_episodes=20, round_size=10
        )
        report = compare(settings).to_json()
        return {name: value for name, value in report.items() if name != "config"}

    def collecting(folder: Path) -> Any:
        settings = TrajectoryConfig(
            policy="random", output_dir=str(folder / "data"), num_trajectories=6, min_reward=0.0, max_episodes=6
        )
        generate_trajectories(settings)
        return load_episodes(folder / "data")

    def interrupted_collection(folder: Path) -> None:
        collecting(folder)
        part = folder / "part"
        settings = TrajectoryConfig(
            policy="random", output_dir=str(part), num_trajectories=6, min_reward=0.0, max_episodes=6
        )
        stopped: list[Any] = []

        def stop(progress: Any) -> None:
            stopped.append(progress)
            if len(stopped) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            generate_trajectories(settings, progress=stop)
        shutil.rmtree(folder / "data")
        (folder / "part.collecting").rename(folder / "data.collecting")

    def training(folder: Path, **more: Any) -> Any:
        config = ImitationConfig(
            output_dir=str(folder / "run"), max_steps=4, save_steps=2, use_cpu=True, disable_tqdm=True, **more
        )
        given = ImitationArguments([str(shown)], model_name_or_path=str(tiny_encoder), max_state_tokens=96)
        train_imitation(given, TuningArguments(), config)
        model, _ = load_scorer(folder / "run")
        return float(sum(tensor.double().abs().sum() for tensor in model.state_dict().values()))

    def interrupted_training(folder: Path) -> None:
        interrupted = patch("recrl.training.imitation.save_result", side_effect=KeyboardInterrupt)
        with interrupted, pytest.raises(KeyboardInterrupt):
            training(folder)

    def published(folder: Path) -> None:
        torch.save({"attn.dot_scale": torch.ones(8), "linear_1.weight": torch.ones(4, 4)}, folder / "choice.pth")

    return {
        "scorer": Thing(scorer, weights),
        "trajectories": Thing(dataset, lambda folder: load_episodes(folder / "data")),
        "preferences": Thing(pairs, lambda folder: load_preferences(folder / "pairs").to_list()),
        "catalogue": Thing(catalogue, shop),
        "result": Thing(result, lambda folder: load_result(folder / "result.json").to_json()),
        "comparison": Thing(comparison, comparison),
        "collection's journal": Thing(interrupted_collection, collecting),
        "checkpoint": Thing(interrupted_training, training, left_out=("README.md", "training_args.bin")),
        "published file": Thing(published, lambda folder: sorted(read_state_dict(folder / "choice.pth")), (), False),
        "dataset of others": Thing(
            lambda folder: shutil.copytree(shown, folder / "data") and None,
            lambda folder: load_episodes(folder / "data"), (), False,
        ),
    }  # fmt: skip


def damage(path: Path, kind: str, rng: random.Random) -> bool:
    """Damages a file; False where a file cannot have this damage."""
    data = bytearray(path.read_bytes())
    if kind == "removed":
        path.unlink()
        return True
    if not data:
        return False
    place = rng.randrange(len(data))
    if kind == "bit":
        data[place] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        data[place] = (data[place] + rng.randrange(1, 256)) % 256
    elif kind == "cut":
        del data[place:]
    elif kind == "appended":
        data += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 64)))
    elif kind == "digit":
        digits = [place for place, value in enumerate(data) if chr(value).isdigit()]
        if path.suffix not in (".json", ".jsonl") or not digits:
            return False
        place = rng.choice(digits)
        data[place] = ord(str((int(chr(data[place])) + rng.randrange(1, 10)) % 10))
    elif kind == "wrong type":
        if path.suffix != ".json":
            return False
        value = json.loads(data)
        if isinstance(value, dict) and value:
            value[rng.choice(sorted(value))] = rng.choice([None, "text", [], {}, -1, 1e308, True])
        else:
            value = rng.choice([None, "text", [], {}, -1])
        data = bytearray(json.dumps(value).encode())
    path.write_bytes(data)
    return True


def outcome(thing: Thing, folder: Path, right: Any) -> str:
    """ "right", "clear", or what is wrong."""
    try:
        found = thing.use(folder)
    except RecrlError as error:
        return "clear" if "\n" not in str(error) and str(error) else f"unclear: {error!r}"
    except Exception as error:
        return f"traceback: {error!r:.300}"
    return "right" if found == right or not thing.has_checksum else "silently wrong"


def check(things: dict[str, Thing], name: str, count: int, seed: int, tmp_path: Path) -> None:
    thing, whole = things[name], tmp_path / "whole"
    whole.mkdir()
    thing.make(whole)
    (tmp_path / "right").mkdir()
    shutil.copytree(whole, tmp_path / "right", dirs_exist_ok=True)
    right = thing.use(tmp_path / "right")
    files = sorted(
        path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.name not in thing.left_out
    )
    rng, wrong, seen = random.Random(f"{name} {seed}"), [], dict.fromkeys(("right", "clear"), 0)
    for number in range(count):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        path, kind = folder / rng.choice(files), KINDS[number % len(KINDS)]
        if not damage(path, kind, rng):
            continue
        found = outcome(thing, folder, right)
        if found in seen:
            seen[found] += 1
        else:
            wrong.append(f"{kind} of {path.relative_to(folder)}: {found}")
    print(f"{name}: {seen['right']} right, {seen['clear']} clear, {len(wrong)} wrong")
    assert wrong == []


NAMES = (
    "scorer", "trajectories", "preferences", "catalogue", "result", "comparison", "collection's journal", "checkpoint",
    "published file", "dataset of others",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_never_gives_another_result(things: dict[str, Thing], name: str, tmp_path: Path) -> None:
    check(things, name, 10, 0, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_many_damages_never_give_another_result(things: dict[str, Thing], name: str, tmp_path: Path) -> None:
    check(things, name, 50, 1, tmp_path)

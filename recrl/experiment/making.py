"""Making one thing of an experiment in a folder of its own: a collection, a training run, a result.

Settings are those of the command or recipe that makes the thing alone, in one mapping; the same names as in its YAML
file. What is complete is passed over, and what was interrupted goes on.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from recrl.errors import ConfigError, RecrlError
from recrl.files import read_json, write_json
from recrl.settings import nearest
from recrl.values import convert

if TYPE_CHECKING:
    from recrl.evaluation.result_types import Result

Settings = Mapping[str, Any]
TINY_ENCODER = "tiny_encoder"
COLLECTIONS = "collections.json"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the stages of one training have in common.

    Attributes:
        catalog, split_by: as commands take them; the goals of all stages are of this split.
        seed: of goals, new heads, actions, pairs and the order of the data.
        encoder: from which new scorers are made; None for the default one.
        bf16: whether training is in bf16 mixed precision.
    """

    catalog: str | None
    split_by: str
    seed: int
    encoder: str | None
    bf16: bool

    @property
    def shop(self) -> dict[str, Any]:
        """The settings of everything that plays."""
        return {"catalog": self.catalog, "split_by": self.split_by}

    @property
    def trainer(self) -> dict[str, Any]:
        """The settings of everything that trains."""
        import torch

        return {
            "seed": self.seed,
            "bf16": self.bf16,
            "use_cpu": not torch.cuda.is_available(),
            "disable_tqdm": not sys.stderr.isatty(),
        }


def divided(what: str, settings: Settings, *classes: type) -> tuple[Any, ...]:
    """Settings as the dataclasses whose fields they are.

    Args:
        what: names the settings in messages.

    Raises:
        ConfigError: a name is of none of them (the message names the nearest), or a value is not what it must be.
    """
    found: dict[type, dict[str, Any]] = {one: {} for one in classes}
    hints = {name: (one, hint) for one in classes for name, hint in fields_of(one).items()}
    for name, value in settings.items():
        if name not in hints:
            raise unknown_setting(what, name, hints)
        one, hint = hints[name]
        try:
            found[one][name] = convert(hint, value)
        except ValueError as error:
            raise ConfigError(f"{what}: {name}={error}") from error
    try:
        return tuple(one(**values) for one, values in found.items())
    except RecrlError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{what}: {error}") from error


def fields_of(config: type) -> dict[str, Any]:
    """The settings that a dataclass takes, with their annotations."""
    hints = get_type_hints(config)
    return {one.name: hints[one.name] for one in dataclasses.fields(config) if one.init}


def unknown_setting(what: str, name: Any, known: Mapping[str, Any]) -> ConfigError:
    """The error for a setting that does not exist."""
    meant = nearest(str(name), known)
    return ConfigError(f"{what}: unknown setting {name!r}" + (f"; did you mean {meant!r}?" if meant else ""))


def collecting_classes() -> tuple[type, ...]:
    """Whose fields the settings of `collect` are."""
    from recrl.rollouts.config import TrajectoryConfig

    return (TrajectoryConfig,)


def collect(folder: Path, place: Place, settings: Settings) -> None:
    """Trajectories, as `recrl generate-trajectories` collects them; complete ones stay, wherever they were moved."""
    from recrl.episodes.training_goals import SUMMARY_FILE
    from recrl.rollouts.collecting import JOURNAL_ENDING, generate_trajectories

    if (folder / SUMMARY_FILE).exists() and not folder.with_name(f"{folder.name}{JOURNAL_ENDING}").exists():
        return

    given = {**settings, **place.shop, "seed": place.seed, "output_dir": str(folder)}
    [config] = divided(folder.name, given, *collecting_classes())
    generate_trajectories(config)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Of what `collect_mixed` collects equal shares.

    Attributes:
        wordings: of the goals; step_limits: of the episodes; each with each.
    """

    wordings: list[str]
    step_limits: list[int]


def mixing_classes() -> tuple[type, ...]:
    """Whose fields the settings of `collect_mixed` are."""
    return (*collecting_classes(), Mixture)


def collect_mixed(folder: Path, place: Place, settings: Settings) -> None:
    """Trajectories in several wordings and with several step limits: a collection of each, on goals of its own, and the
    list of them, `COLLECTIONS`, written last. ``num_trajectories`` is the number of all, shared as evenly as can be.
    """
    names = fields_of(Mixture)
    [mixture] = divided(folder.name, {name: settings[name] for name in names if name in settings}, Mixture)
    parts = [(wording, limit) for wording in mixture.wordings for limit in mixture.step_limits]
    each, more = divmod(int(settings["num_trajectories"]), len(parts))
    made_for = int.from_bytes(hashlib.sha256(folder.name.encode()).digest()[:4])
    made = []
    for part, (wording, limit) in enumerate(parts):
        number = each + (part < more)
        if number:
            seed = int(np.random.SeedSequence([place.seed, made_for, part]).generate_state(1)[0])
            given = {name: value for name, value in settings.items() if name not in names}
            given |= {"wording": wording, "max_steps": limit, "num_trajectories": number}
            made.append(f"{wording}_{limit}")
            collect(folder / made[-1], dataclasses.replace(place, seed=seed), given)
    write_json(folder / COLLECTIONS, made)


def collections_in(folder: str | Path) -> list[str]:
    """The collections of a folder that `collect_mixed` made; of another the folder itself."""
    listed = Path(folder) / COLLECTIONS
    return [str(Path(folder) / name) for name in read_json(listed)] if listed.exists() else [str(folder)]


def judgement_classes() -> tuple[type, ...]:
    """Whose fields the settings of `judge` are."""
    from recrl.training.judgement import JudgementArguments, JudgementConfig

    return JudgementArguments, JudgementConfig


def judge(folder: Path, place: Place, settings: Settings) -> None:
    """A scorer with a trained judgement, as `recrl train judgement` trains it."""
    from recrl.training.judgement import train_judgement

    given = {**settings, **place.shop, "model_name_or_path": place.encoder}
    _train(train_judgement, judgement_classes(), folder, place, given)


def imitation_classes() -> tuple[type, ...]:
    """Whose fields the settings of `imitate` are."""
    from recrl.training.imitation import ImitationArguments, ImitationConfig
    from recrl.training.tuning import TuningArguments

    return ImitationArguments, TuningArguments, ImitationConfig


def imitate(folder: Path, place: Place, settings: Settings) -> None:
    """A scorer that imitates, as `recrl train imitation` trains it: a new one, unless the settings say ``start_from``.

    ``taught``, and names that begin with ``demonstrations``, are folders of more demonstrations.
    """
    from recrl.training.imitation import train_imitation

    given = dict(settings)
    names = [name for name in given if name == "taught" or name.startswith("demonstrations")]
    folders = [given.pop(name) for name in names]
    given["demonstrations"] = [one for found in folders if found for one in collections_in(found)]
    new = {} if given.get("start_from") else {"model_name_or_path": place.encoder}
    _train(train_imitation, imitation_classes(), folder, place, given | new)


def preference_classes() -> tuple[type, ...]:
    """Whose fields the settings of `prefer` are."""
    from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
    from recrl.training.tuning import TuningArguments

    return DPOArguments, TuningArguments, ChoiceDPOConfig


def prefer(folder: Path, place: Place, settings: Settings) -> None:
    """A scorer improved by preference pairs, as `recrl train dpo` trains it."""
    from recrl.training.dpo import train_dpo

    _train(train_dpo, preference_classes(), folder, place, {**settings, "pairs_seed": place.seed})


def reinforcement_classes() -> tuple[type, ...]:
    """Whose fields the settings of `reinforce` are."""
    from recrl.training.environment import MixedEnvironmentArguments
    from recrl.training.ppo.config import PPOConfig
    from recrl.training.settings.ppo import PPOArguments
    from recrl.training.tuning import TuningArguments

    return PPOArguments, MixedEnvironmentArguments, TuningArguments, PPOConfig


def reinforce(folder: Path, place: Place, settings: Settings) -> None:
    """A scorer improved in the environment, as `recrl train ppo` trains it; demonstrations are for its imitation term,
    and are left out where that has no weight.
    """
    from recrl.training.ppo.loop import train_ppo

    given = {**settings, **place.shop}
    shown = given.pop("demonstrations", None)
    if given.get("imitation_coef") and shown is not None:
        given["demonstrations"] = collections_in(shown)
    _train(train_ppo, reinforcement_classes(), folder, place, given)


def self_improvement_classes() -> tuple[type, ...]:
    """Whose fields the settings of `self_improve` are."""
    from recrl.training.dpo import ChoiceDPOConfig
    from recrl.training.environment import EnvironmentArguments
    from recrl.training.self_improvement import SelfImprovementArguments
    from recrl.training.tuning import TuningArguments

    return SelfImprovementArguments, EnvironmentArguments, TuningArguments, ChoiceDPOConfig


def self_improve(folder: Path, place: Place, settings: Settings) -> None:
    """A scorer improved on its own episodes, as `recrl train self-improvement` trains it."""
    from recrl.training.self_improvement import train_self_improvement

    _train(train_self_improvement, self_improvement_classes(), folder, place, {**settings, **place.shop})


def _train(
    train: Callable[..., Path], classes: tuple[type, ...], folder: Path, place: Place, settings: Settings
) -> None:
    """Trains, unless the folder holds a complete run, and writes the model's card."""
    from recrl.publishing.push import push_run
    from recrl.training.runs import is_complete, tidy_complete_run

    configs = divided(folder.name, {**settings, **place.trainer, "output_dir": str(folder)}, *classes)
    if is_complete(folder):
        tidy_complete_run(folder)
    else:
        train(*configs)
    push_run(configs[-1])


def measured(path: Path, measure: Callable[[], "Result"]) -> "Result":
    """The result in a file; it is measured and written if it is not there."""
    from recrl.evaluation.results import load_result, save_result

    if not path.exists():
        save_result(path, measure())
    return load_result(path)


def tiny_encoder(folder: Path) -> str:
    """A random encoder inside a run's folder, for a run that tests the road and learns nothing."""
    from recrl.scoring.tiny import make_tiny_encoder

    path = folder / TINY_ENCODER
    if not (path / "config.json").exists():
        make_tiny_encoder(path)
    return str(path)

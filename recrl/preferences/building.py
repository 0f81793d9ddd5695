"""Making preference pairs of collected trajectories: what `recrl build-preferences` does, and DPO at its start."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import to_config, training_goals
from recrl.errors import ConfigError, DatasetError
from recrl.files import replace_folder
from recrl.language.models import is_language_model
from recrl.policies.language import LanguagePolicy
from recrl.policies.scorer import ScorerPolicy
from recrl.preferences.builders import PairSet, build_preferences
from recrl.preferences.config import PairingConfig
from recrl.preferences.counts import describe_preferences
from recrl.preferences.data import dataset_to_preferences, load_preferences, preferences_to_dataset
from recrl.seals import read_sealed_json, seal_folder, write_sealed_json

PREFERENCES_SUMMARY = "preferences_summary.json"  # in a preference dataset's folder
LEFT_OUT, TRAINED_ON = "left_out", "trained_on"


def pairs_of_trajectories(config: PairingConfig, *, device: str | None = None) -> PairSet:
    """Runs the builders.

    Args:
        device: of the reference policy; None is the GPU if there is one.

    Raises:
        DatasetError: the trajectories cannot be read, or are fewer than asked for.
        NoPairsError: no pair is left.
        CheckpointError: the reference policy cannot be loaded.
    """
    episodes = load_episodes(config.trajectories)
    if config.num_trajectories is not None:
        if not 0 < config.num_trajectories <= len(episodes):
            raise DatasetError(
                f"num_trajectories={config.num_trajectories}, but {config.trajectories} holds {len(episodes)}; ask for "
                "fewer or collect more with `recrl generate-trajectories`"
            )
        episodes = episodes[: config.num_trajectories]
    reference = _reference(config, device)
    made = build_preferences(
        episodes,
        reference.log_probs,
        np.random.default_rng(config.seed),
        pairs=config.pairs,
        min_reward=config.min_reward,
        weight_by_margin=config.weight_by_margin,
    )
    return replace(made, trained_on=training_goals(made.pairs, config.trajectories))


def _reference(config: PairingConfig, device: str | None) -> ScorerPolicy | LanguagePolicy:
    if is_language_model(config.policy):
        return LanguagePolicy.from_pretrained(config.policy, device=device, max_prompt_tokens=config.max_prompt_tokens)
    if config.max_prompt_tokens is not None:
        raise ConfigError(f"max_prompt_tokens is for language models; {config.policy} is none")
    return ScorerPolicy.from_pretrained(config.policy, device=device)


def write_pairs(config: PairingConfig, output_dir: str | Path) -> dict[str, Any]:
    """Makes pairs and writes them as a dataset with their summary beside it, all or nothing.

    Returns:
        the summary: `recrl.preferences.counts.describe_preferences`, and what was left out.

    Raises:
        DatasetError: the folder exists, or as `pairs_of_trajectories`.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise DatasetError(f"{output_dir} exists; choose another --output_dir or remove it")
    return save_pairs(pairs_of_trajectories(config), output_dir)


def save_pairs(made: PairSet, folder: Path) -> dict[str, Any]:
    """Writes pairs as a dataset with their summary beside it, all or nothing; returns the summary."""
    summary = describe_preferences(made.pairs) | {
        LEFT_OUT: dict(made.left_out),
        TRAINED_ON: to_config(made.trained_on or training_goals(made.pairs)),
    }
    with replace_folder(folder) as temporary:
        preferences_to_dataset(made.pairs).save_to_disk(str(temporary))
        write_sealed_json(temporary / PREFERENCES_SUMMARY, summary)
        seal_folder(temporary, "preference dataset", command="recrl build-preferences")
    return summary


def read_pairs(folder: str | Path) -> dict[str, Any]:
    """The summary of a preference dataset, counted again; what was left out, and the goals, as its maker recorded them.

    Raises:
        DatasetError: see `recrl.preferences.data.load_preferences`, or the recorded summary is corrupt.
    """
    pairs = dataset_to_preferences(load_preferences(folder))
    summary = describe_preferences(pairs) | {TRAINED_ON: to_config(training_goals(pairs))}
    path = Path(folder) / PREFERENCES_SUMMARY
    if path.exists():
        try:
            recorded = read_sealed_json(path)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path} is corrupt ({error}); make the pairs again") from error
        if isinstance(recorded, Mapping):
            summary |= {name: recorded[name] for name in (LEFT_OUT, TRAINED_ON) if name in recorded}
    return summary

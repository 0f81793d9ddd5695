"""Direct preference optimisation of a choice scorer through TRL's DPOTrainer.

Step-level as in arXiv:2408.16032, or on whole episodes: see `recrl.preferences.builders` for the pairs and
`recrl.training.trl_adapter` for the way a page of actions becomes TRL's vocabulary. TRL's fields keep their names:
every ``loss_type`` and ``f_divergence_type``, ``precompute_ref_log_probs``, ``sync_ref_model``, ``report_to`` and the
rest work.

Choices that the paper leaves open, and ours:
- beta 0.1 and the sigmoid loss, TRL's defaults. An imitation term against forgetting:
  ``loss_type: [sigmoid, sft]``, ``loss_weights: [1.0, 1.0]``.
- Batches of 16 pairs instead of one update per trajectory.
- Dropout is off: scorers are made without it, and ``disable_dropout`` turns off any that a foreign encoder has.
- TRL has no weight per pair: pairs of unequal weights are resampled by them once, before training.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from trl import DPOConfig

from recrl.episodes.training_goals import from_config, merged, to_config
from recrl.errors import ConfigError, RecrlError
from recrl.preferences.builders import PairSet
from recrl.preferences.building import LEFT_OUT, TRAINED_ON, pairs_of_trajectories, read_pairs, save_pairs
from recrl.preferences.config import (
    PairingConfig,
)
from recrl.preferences.data import (
    dataset_to_preferences,
    load_preferences,
    resample_by_weight,
)
from recrl.scoring.checkpoints import load_scorer
from recrl.training.fields import check_fields, check_machine
from recrl.training.runs import save_result, training_run
from recrl.training.settings.dpo import DPOArguments, DPOSettings
from recrl.training.trainers import for_trainer, run_trainer
from recrl.training.trl_adapter import F_DIVERGENCES, LOSS_TYPES, REFERENCE_COLUMNS, ChoiceDPOTrainer
from recrl.training.tuning import TuningArguments, lora_config, prepare_for_training

PREFERENCES_FOLDER = "preferences"
RESAMPLED_FOLDER = "preferences_resampled"  # what is trained on where the pairs' weights differ
FILES = {
    PREFERENCES_FOLDER: "the preference pairs, and counts about them",
    RESAMPLED_FOLDER: "the pairs as they are trained on, if their weights differ",
    "adapter": "the LoRA adapters, if there are any; they are merged into the weights",
}


@dataclass
class ChoiceDPOConfig(DPOSettings, DPOConfig):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; TRL's names, with our defaults."""

    def __post_init__(self) -> None:
        check_fields("dpo", self)
        super().__post_init__()
        check_machine("dpo", self)
        check_losses(self)


def check_losses(config: DPOConfig) -> None:
    """Raises ConfigError for a loss or divergence that TRL does not have, or a beta that is not positive."""
    for name, values, known in (
        ("loss_type", config.loss_type, LOSS_TYPES),
        ("f_divergence_type", [config.f_divergence_type], F_DIVERGENCES),
    ):
        unknown = [value for value in values if value not in known]
        if unknown:
            raise ConfigError(f"{name}={unknown[0]!r} is unknown; choose among {', '.join(known)}")
    if not config.beta > 0:
        raise ConfigError(f"beta={config.beta}, expected a positive number")


def load_pairs(arguments: DPOArguments, device: Any = "cpu", max_prompt_tokens: int | None = None) -> PairSet:
    """The pairs of the run: the ready dataset's, or made of trajectories with the reference policy.

    Args:
        max_prompt_tokens: of a language model.

    Raises:
        DatasetError: nothing to learn from; see `recrl.preferences.builders`.
    """
    if arguments.preferences is not None:
        pairs, summary = (
            dataset_to_preferences(load_preferences(arguments.preferences)),
            read_pairs(arguments.preferences),
        )
        return PairSet(pairs, Counter(summary.get(LEFT_OUT, {})), from_config(summary[TRAINED_ON]))
    pairing = PairingConfig(
        trajectories=arguments.trajectories or "",
        policy=arguments.ref_model_name_or_path or arguments.model_name_or_path,
        pairs=tuple(arguments.pairs),
        num_trajectories=arguments.num_trajectories,
        min_reward=arguments.min_reward,
        weight_by_margin=arguments.weight_by_margin,
        seed=arguments.pairs_seed,
        max_prompt_tokens=max_prompt_tokens,
    )
    return pairs_of_trajectories(pairing, device=str(device))


def train_dpo(
    arguments: DPOArguments, tuning: TuningArguments, config: ChoiceDPOConfig, callbacks: Sequence[Any] = ()
) -> Path:
    """Trains a scorer on preference pairs and saves it with its tokenizer in ``config.output_dir``.

    The folder also gets the pairs with counts about them (``preferences``). An interrupted run goes on from its last
    checkpoint and ends with the weights of an uninterrupted one.

    Raises:
        DatasetError, CheckpointError, ConfigError: see the modules that read them.
    """
    model, tokenizer = load_scorer(arguments.model_name_or_path)
    settings = {"arguments": arguments, "tuning": tuning}
    with training_run("dpo", config, settings, files=FILES, scratch=(PREFERENCES_FOLDER, RESAMPLED_FOLDER)) as run:
        if run.is_complete:
            return run.folder.path
        if run.checkpoint is not None and config.sync_ref_model:
            raise ConfigError(
                f"{run.folder.path} holds an interrupted run with sync_ref_model, whose moving reference TRL's "
                "checkpoints do not hold; remove the folder and start again"
            )
        with config.main_process_first(local=False, desc="making preference pairs"):
            dataset = pairs_of_run(run.folder.path, arguments, config)
            dataset = _with_reference(dataset, arguments, config)
        catalogs = set(dataset["catalog_sha256"])
        if model.config.catalog_sha256 is None and len(catalogs) == 1:
            model.config.catalog_sha256 = catalogs.copy().pop()
        own = from_config(read_pairs(run.folder.path / PREFERENCES_FOLDER)[TRAINED_ON])
        model.config.trained_on = to_config(merged(from_config(model.config.trained_on), own))
        # The value head is learned by PPO only; a parameter without a gradient would stop DDP.
        model.value_head.requires_grad_(False)
        # Without LoRA and without precomputing, the reference is a model of its own; else TRL finds it in the policy.
        ref_source = arguments.ref_model_name_or_path
        if ref_source is None and not (tuning.use_peft or config.precompute_ref_log_probs):
            ref_source = arguments.model_name_or_path
        trainer_config = for_trainer(config)
        try:
            trainer = ChoiceDPOTrainer(
                model if tuning.use_peft else prepare_for_training(model, tuning),
                tokenizer,
                ref_model=None if ref_source is None else load_scorer(ref_source)[0],
                args=trainer_config,
                train_dataset=dataset,
                callbacks=list(callbacks),
                peft_config=lora_config(model, tuning) if tuning.use_peft else None,
            )
        except (ValueError, NotImplementedError) as error:
            if isinstance(error, RecrlError):
                raise
            raise ConfigError(f"TRL refuses this configuration: {error}") from error
        trained = run_trainer(trainer, "dpo", run, config)
        logs = [entry for entry in trained["log_history"] if "loss" in entry]
        metrics = {
            "method": "dpo",
            "num_pairs": len(dataset),
            "last_accuracy": logs[-1]["rewards/accuracies"] if logs else None,
            "last_margin": logs[-1]["rewards/margins"] if logs else None,
            "protocol": "+".join(sorted(set(dataset["protocol"]))),
            "catalog_sha256": "+".join(sorted(catalogs)),
            "goals_sha256": "+".join(sorted(set(dataset["goals_sha256"]))),
            **trained,
        }
        save_result(trainer, tokenizer, metrics, run)
    return Path(config.output_dir or "")


def pairs_of_run(
    output_dir: Path, arguments: DPOArguments, config: DPOConfig, *, max_prompt_tokens: int | None = None
) -> Dataset:
    """The pairs from the run's folder, made first if the run is new.

    The pairs are read from the disk by every process: TRL's precomputing needs one cache for all.
    """
    folder = output_dir / PREFERENCES_FOLDER
    if not folder.exists():
        save_pairs(load_pairs(arguments, config.device, max_prompt_tokens), folder)
    pairs = dataset_to_preferences(load_preferences(folder))
    resampled = resample_by_weight(pairs, np.random.default_rng([arguments.pairs_seed, 1]))
    if resampled != pairs:
        made, folder = from_config(read_pairs(folder)[TRAINED_ON]), output_dir / RESAMPLED_FOLDER
        if not folder.exists():
            save_pairs(PairSet(resampled, trained_on=made), folder)
    return load_preferences(folder)


def _with_reference(dataset: Dataset, arguments: DPOArguments, config: ChoiceDPOConfig) -> Dataset:
    """With the reference's log-probabilities, where they are wanted and known."""
    if arguments.trajectories is not None and config.precompute_ref_log_probs and config.ld_alpha is None:
        # The reference that made the pairs has computed what TRL would precompute.
        sums = zip(*(pair.log_probs for pair in dataset_to_preferences(dataset)), strict=True)
        for name, values in zip(REFERENCE_COLUMNS, sums, strict=True):
            dataset = dataset.add_column(name, list(values))
    return dataset

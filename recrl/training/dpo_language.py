"""Direct preference optimisation of a language model through TRL's DPOTrainer.

The pairs are those of `recrl.preferences.builders`: actions of one page, or whole episodes. On a page the normaliser
over its valid actions cancels in DPO's difference, so TRL's sums over tokens are what the policy of
`recrl.policies.language` is trained by; over an episode the normalisers of different pages do not cancel, and the loss
is that of the texts themselves. The reference is the start: the same weights without their new adapter, or the adapter
that training began with.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import set_seed
from trl import DPOConfig

from recrl.episodes.training_goals import from_config, merged
from recrl.errors import ConfigError, DatasetError, PolicyError
from recrl.language.models import Record, load_language_model, read_record
from recrl.policies.language import LanguagePolicy
from recrl.preferences.building import TRAINED_ON, read_pairs
from recrl.preferences.data import row_to_move
from recrl.training.dpo import FILES as PAIR_FILES
from recrl.training.dpo import (
    PREFERENCES_FOLDER,
    RESAMPLED_FOLDER,
    check_losses,
    pairs_of_run,
)
from recrl.training.fields import check_fields, check_machine
from recrl.training.language import FILES, clear_refusals, load_to_train, save_language_result
from recrl.training.runs import training_run
from recrl.training.settings.dpo_language import LanguageDPOArguments, LanguageDPOSettings
from recrl.training.settings.language import AdapterArguments
from recrl.training.trainers import for_trainer, run_trainer
from recrl.training.trl_adapter import SIDE_COLUMNS, LanguageDPOTrainer

logger = logging.getLogger(__name__)


@dataclass
class LanguageDPOConfig(LanguageDPOSettings, DPOConfig):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; TRL's names, with our defaults."""

    def __post_init__(self) -> None:
        check_fields("dpo_language", self)
        super().__post_init__()
        check_machine("dpo_language", self)
        check_losses(self)


def train_dpo_language(
    arguments: LanguageDPOArguments,
    adapters: AdapterArguments,
    config: LanguageDPOConfig,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Trains a language model on preference pairs and saves it, or its adapter, in ``config.output_dir``.

    The folder also gets the pairs with counts about them (``preferences``). An interrupted run goes on from its last
    checkpoint.

    Raises:
        DatasetError, CheckpointError, ConfigError: see the modules that read them.
    """
    earlier = read_record(arguments.model_name_or_path)
    if earlier.answers != "score":
        raise ConfigError(
            f"{arguments.model_name_or_path} was taught to shop by calls of tools, and pairs are of actions as text; "
            "start from a model that was trained without --tools"
        )
    settings = {"arguments": arguments, "adapters": adapters}
    files, scratch = FILES | PAIR_FILES, (PREFERENCES_FOLDER, RESAMPLED_FOLDER)
    with training_run("dpo_language", config, settings, files=files, scratch=scratch) as run:
        if run.is_complete:
            return run.folder.path
        if run.checkpoint is not None and config.sync_ref_model:
            raise ConfigError(
                f"{run.folder.path} holds an interrupted run with sync_ref_model, whose moving reference TRL's "
                "checkpoints do not hold; remove the folder and start again"
            )
        prompt = adapters.prompt_after(earlier.prompt)
        with config.main_process_first(local=False, desc="making preference pairs"):
            pairs = pairs_of_run(run.folder.path, arguments, config, max_prompt_tokens=prompt.max_prompt_tokens)
        set_seed(config.seed)
        model, tokenizer, peft_config = load_to_train(arguments.model_name_or_path, adapters, config.device)
        teller = LanguagePolicy(model, tokenizer, name=arguments.model_name_or_path, prompt=prompt)
        dataset, left_out = tokenised(pairs, teller, config.max_length)
        logger.info("training on %d pairs", len(dataset))
        _check_attention(model, dataset)
        catalogs = sorted(set(pairs["catalog_sha256"]))
        record = Record(
            prompt,
            earlier.catalog_sha256 or (catalogs[0] if len(catalogs) == 1 else None),
            merged(earlier.trained_on, from_config(read_pairs(run.folder.path / PREFERENCES_FOLDER)[TRAINED_ON])),
            earlier.base_model or arguments.model_name_or_path,
        )
        trainer_config = for_trainer(config)
        with clear_refusals():
            trainer = LanguageDPOTrainer(
                model,
                tokenizer,
                ref_model=_reference(arguments, adapters, config, is_adapted=adapters.use_peft),
                args=trainer_config,
                train_dataset=dataset,
                callbacks=list(callbacks),
                peft_config=peft_config,
            )
        trained = run_trainer(trainer, "dpo-language", run, config)
        logs = [entry for entry in trained["log_history"] if "loss" in entry]
        metrics = {
            "method": "dpo-language",
            "num_pairs": len(dataset),
            "left_out": dict(left_out),
            "last_accuracy": logs[-1]["rewards/accuracies"] if logs else None,
            "last_margin": logs[-1]["rewards/margins"] if logs else None,
            "protocol": "+".join(sorted(set(pairs["protocol"]))),
            "catalog_sha256": "+".join(catalogs),
            "goals_sha256": "+".join(sorted(set(pairs["goals_sha256"]))),
            **trained,
        }
        save_language_result(trainer, tokenizer, record, metrics, run, merge=adapters.merge_adapter)
    return Path(config.output_dir or "")


def _reference(
    arguments: LanguageDPOArguments, adapters: AdapterArguments, config: LanguageDPOConfig, *, is_adapted: bool
) -> Any:
    """A model of its own as reference; None where TRL finds the start in the policy, or computes it beforehand."""
    import torch

    source = arguments.ref_model_name_or_path
    if source is None and not (is_adapted or config.precompute_ref_log_probs):
        source = arguments.model_name_or_path
    if source is None:
        return None
    dtype = "auto" if adapters.dtype is None else getattr(torch, adapters.dtype)
    return load_language_model(source, device=config.device, dtype=dtype)[0]


def _check_attention(model: Any, rows: Dataset) -> None:
    """Raises ConfigError for sides of several moves under an attention that cannot keep them apart."""
    attention = getattr(model.config, "_attn_implementation", "") or ""
    if not attention.startswith("flash"):
        return
    if any(positions.count(0) > 1 for side in ("chosen", "rejected") for positions in rows[f"{side}_positions"]):
        raise ConfigError(
            f"pairs of episodes hold several prompts in one sequence, which {attention} does not keep apart; use sdpa "
            "attention, or pairs of actions (steps, contrasts)"
        )


def tokenised(pairs: Dataset, teller: LanguagePolicy, max_length: int | None) -> tuple[Dataset, Counter[str]]:
    """The rows that `recrl.training.trl_adapter.SideCollator` reads, and what was left out of them.

    Args:
        pairs: rows of `recrl.preferences.data`; teller: tells their decisions.

    Raises:
        DatasetError: no pair is left.
    """
    rows: list[dict[str, list[int]]] = []
    left_out: Counter[str] = Counter()
    for pair in pairs:
        try:
            row = {
                name: values for side in ("chosen", "rejected") for name, values in _side(pair, side, teller).items()
            }
        except PolicyError:
            left_out["pairs with a prompt longer than max_prompt_tokens"] += 1
            continue
        if max_length is not None and max(len(row["chosen_ids"]), len(row["rejected_ids"])) > max_length:
            left_out["pairs with a side longer than max_length"] += 1
        else:
            rows.append(row)
    for reason, count in left_out.items():
        logger.warning("left out of training: %d %s", count, reason)
    if not rows:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DatasetError(f"no pair is left of {len(pairs)}: {reasons}; raise max_prompt_tokens or max_length")
    return Dataset.from_dict({name: [row[name] for row in rows] for name in SIDE_COLUMNS}), left_out


def _side(pair: Mapping[str, Any], side: str, teller: LanguagePolicy) -> dict[str, list[int]]:
    """The tokens of a side: for each move its prompt and its answer."""
    ids: list[int] = []
    positions: list[int] = []
    mask: list[int] = []
    for move in map(row_to_move, pair[f"{side}_moves"]):
        prompt = teller.chat.prompt_ids(teller.prompt_of(move.decision).messages)
        answer = teller.chat.answer_ids(move.action)
        ids += [*prompt, *answer]
        positions += range(len(prompt) + len(answer))
        mask += [0] * len(prompt) + [1] * len(answer)
    return {f"{side}_ids": ids, f"{side}_positions": positions, f"{side}_mask": mask}

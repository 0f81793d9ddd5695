"""DPO of the tiny scorer: its settings, and its loss by a plain loop over moves."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from recrl.episodes.decisions import row_to_decision
from recrl.preferences.data import SIDES
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
from recrl.training.trl_adapter import ChoiceDPOTrainer


def arguments(scorer: Path, **fields: Any) -> DPOArguments:
    """A scorer, and where its pairs come from."""
    return DPOArguments(model_name_or_path=str(scorer), **fields)


def settings(output_dir: Path, **changed: Any) -> ChoiceDPOConfig:
    """Five fast passes on the CPU, but for what is changed."""
    fields: dict[str, Any] = {
        "output_dir": str(output_dir),
        "num_train_epochs": 5,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
        "save_steps": 4,
        "logging_steps": 6,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return ChoiceDPOConfig(**(fields | changed))


def plain(model: Any) -> Any:
    """The scorer's own forward, which DPO's head leaves as it was."""
    return lambda **tensors: type(model).forward(model, **tensors)


def trainer_away_from_its_start(dataset: Dataset, scorer: Path, folder: Path, *, beta: float) -> ChoiceDPOTrainer:
    """A trainer whose policy is the scorer with noise in its weights, and whose reference is the scorer."""
    model, tokenizer = load_scorer(scorer)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=noise)
    return ChoiceDPOTrainer(
        model,
        tokenizer,
        ref_model=load_scorer(scorer)[0],
        args=settings(folder, beta=beta),
        train_dataset=dataset,
    )


def plain_loss(trainer: ChoiceDPOTrainer, rows: Sequence[dict[str, Any]], *, beta: float) -> float:
    """-log sigmoid(beta * (log ratio of chosen - log ratio of rejected)), arXiv:2305.18290, Eq. 7: the mean over pairs,
    move by move, where a side's log ratio is the sum over its moves.
    """
    collator = ChoiceCollator(trainer.processing_class, trainer.model.config)
    losses = []
    for row in rows:
        ratio = dict.fromkeys(SIDES, 0.0)
        for side in SIDES:
            for move in row[f"{side}_moves"]:
                page = collator([row_to_decision(move)]).tensors()
                with torch.no_grad():
                    policy, start = (plain(one)(**page).log_probs[0] for one in (trainer.model, trainer.ref_model))
                ratio[side] += float(policy[move["action_index"]] - start[move["action_index"]])
        losses.append(-math.log(1 / (1 + math.exp(-beta * (ratio["chosen"] - ratio["rejected"])))))
    return sum(losses) / len(losses)

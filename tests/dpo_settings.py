"""DPO of the tiny scorer: its settings, and its forward pass without the trainer's changes."""

from pathlib import Path
from typing import Any

from recrl.training.dpo import ChoiceDPOConfig, DPOArguments


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

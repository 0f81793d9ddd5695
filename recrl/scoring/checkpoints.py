"""Scorers on the disk and on the Hub."""

import copy
from pathlib import Path
from typing import Any

import torch

from recrl.errors import CheckpointError, HubError
from recrl.files import clear_disk_errors
from recrl.hub import find_source
from recrl.pretrained import load_config, load_tokenizer, refused, without_bars
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.inputs import PAGE_MARKERS
from recrl.scoring.model import BertForChoiceScoring
from recrl.seals import check_folder, seal_folder

AGAIN = "copy it again from where it was made, or remove it and train it again"


def load_scorer(source: str | Path) -> tuple[BertForChoiceScoring, Any]:
    """Loads a saved scorer and its tokenizer, from a folder or by Hub id.

    Raises:
        CheckpointError: it is missing, incomplete, corrupt or of another kind, with what to do.
    """
    what = f"expected a folder or Hub id that holds a BertForChoiceScoring checkpoint, got {str(source)!r}"
    try:
        found = find_source(source)
    except HubError as error:
        raise CheckpointError(f"{what}: {error}") from error
    if Path(found).is_dir():
        check_folder(Path(found), CheckpointError, AGAIN)
    with refused(CheckpointError, what, "If a run was interrupted, resume it; else train or download it again."):
        config = load_config(found)
        if not isinstance(config, ChoiceScoringConfig):
            raise CheckpointError(f"{what}: it holds a {config.model_type!r} model; put heads on it with from_encoder")
        with without_bars():
            loaded: Any = BertForChoiceScoring.from_pretrained(
                found, config=config, output_loading_info=True, dtype=torch.float32, trust_remote_code=False
            )
        model, report = loaded
        tokenizer = load_tokenizer(found, config.vocab_size)
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        raise CheckpointError(f"{what}: {len(wrong)} tensors are missing or do not fit, first {wrong[0]!r}")
    absent = [marker for marker in PAGE_MARKERS if marker not in tokenizer.get_vocab()]
    if absent:
        raise CheckpointError(f"{what}: its tokenizer lacks the page markers {absent}")
    return model.eval(), tokenizer


def save_scorer(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Saves a scorer with its tokenizer as `load_scorer` reads it, and seals the folder (`recrl.seals`).

    LoRA adapters are merged into a copy of it.

    Raises:
        StorageError: the disk is full or not writable.
    """
    plain = copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model
    with clear_disk_errors(folder):
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        seal_folder(Path(folder), "scorer")

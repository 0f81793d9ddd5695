"""What PPO writes: the best scorer on dev goals so far, and checkpoints that a run goes on from to the same numbers."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from recrl.files import replace_folder, write_json
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.checkpoints import save_scorer
from recrl.training.ppo.buffer import Collector

logger = logging.getLogger(__name__)

BEST_FOLDER = "best"
STATE_FILE = "trainer_state.json"  # the last file of a checkpoint, as with transformers' trainer
OnDev = Callable[[ScorerPolicy], Mapping[str, float]]


def keep_best(
    policy: ScorerPolicy,
    on_dev: OnDev,
    best: dict[str, float],
    update: int,
    accelerator: Accelerator,
    tokenizer: Any,
    output_dir: Path,
) -> dict[str, float]:
    """Evaluates on dev goals in the main process; where the score is the highest so far, saves the model as the
    best."""
    metrics: dict[str, float] = {}
    if accelerator.is_main_process:
        metrics = dict(on_dev(policy))
        logger.info("update %d on dev goals: %s", update, metrics)
        if metrics["dev/score"] > best["dev/score"]:
            best.update({"update": update, **metrics})
            with replace_folder(output_dir / BEST_FOLDER) as temporary:
                save_scorer(policy.model, tokenizer, temporary)
    accelerator.wait_for_everyone()
    return metrics


def save_checkpoint(
    output_dir: Path,
    update: int,
    accelerator: Accelerator,
    scheduler: Any,
    collector: Collector,
    demonstration_rng: np.random.Generator,
    log: list[dict[str, float]],
    best: dict[str, float],
) -> None:
    """Writes ``checkpoint-UPDATE`` whole, then removes the one before."""
    folder, half = output_dir / f"checkpoint-{update}", output_dir / f".checkpoint-{update}"
    if accelerator.is_main_process:
        shutil.rmtree(half, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(half))
    write_json(half / f"collector-{accelerator.process_index}.json", collector.state())
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        state = {"scheduler": scheduler.state_dict(), "log": log, "best": best}
        write_json(half / STATE_FILE, state | {"demonstration_generator": demonstration_rng.bit_generator.state})
        half.replace(folder)
        for earlier in output_dir.glob("checkpoint-*"):
            if earlier != folder:
                shutil.rmtree(earlier)
    accelerator.wait_for_everyone()


def resume_checkpoint(
    folder: Path, accelerator: Accelerator, scheduler: Any, collector: Collector, demonstration_rng: np.random.Generator
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Restores what `save_checkpoint` wrote; returns the log and the best so far."""
    accelerator.load_state(str(folder))
    state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    collector.restore(json.loads((folder / f"collector-{accelerator.process_index}.json").read_text(encoding="utf-8")))
    scheduler.load_state_dict(state["scheduler"])
    demonstration_rng.bit_generator.state = state["demonstration_generator"]
    return state["log"], state["best"]

"""What PPO writes: the best scorer on dev goals so far, and checkpoints that a run goes on from to the same numbers."""

import shutil
from pathlib import Path

from recrl.files import read_json, replace_folder, write_json
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.seals import seal_folder
from recrl.training.ppo.state import PPOState
from recrl.training.runs import BEST_FOLDER

STATE_FILE = "trainer_state.json"  # the last file of a checkpoint, as with transformers' trainer


def keep_best(state: PPOState) -> dict[str, float]:
    """Plays dev goals in the main process; where the score is the highest so far, saves the model as the best.

    Returns:
        the measures on dev goals, none in other processes or where no dev goals are played.
    """
    metrics: dict[str, float] = {}
    if state.on_dev is not None and state.accelerator.is_main_process:
        metrics = dict(state.on_dev(state.policy))
        if metrics["dev/score"] > state.best_score:
            state.best_update, state.best_score = state.update, metrics["dev/score"]
            with replace_folder(state.output_dir / BEST_FOLDER) as temporary:
                save_scorer(state.policy.model, state.tokenizer, temporary)
    state.accelerator.wait_for_everyone()
    return metrics


def save_result(state: PPOState) -> None:
    """Saves the best scorer on dev goals, or where none were played the last, as what the run has come to.

    The best's own folder stays until the run is marked as complete: a run that is cut off before needs it again.
    """
    if state.accelerator.is_main_process:
        if state.on_dev is not None:
            save_scorer(*load_scorer(state.output_dir / BEST_FOLDER), state.output_dir)
        else:
            save_scorer(state.policy.model, state.tokenizer, state.output_dir)
            state.best_update = state.update
    state.accelerator.wait_for_everyone()


def save_checkpoint(state: PPOState) -> None:
    """Writes ``checkpoint-UPDATE`` whole, then removes the one before."""
    accelerator, name = state.accelerator, f"checkpoint-{state.update}"
    folder, half = state.output_dir / name, state.output_dir / f".{name}"
    if accelerator.is_main_process:
        shutil.rmtree(half, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(half))
    write_json(half / f"collector-{accelerator.process_index}.json", state.collector.state())
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        saved = {
            "update": state.update,
            "scheduler": state.scheduler.state_dict(),
            "log": state.log,
            "best_update": state.best_update,
            "best_score": state.best_score,
            "start_on_dev": state.start_on_dev,
            "demonstration_generator": state.demonstration_rng.bit_generator.state,
        }
        write_json(half / STATE_FILE, saved)
        seal_folder(half, "checkpoint")
        half.replace(folder)
        for earlier in state.output_dir.glob("checkpoint-*"):
            if earlier != folder:
                shutil.rmtree(earlier)
    accelerator.wait_for_everyone()


def resume_checkpoint(state: PPOState, folder: Path) -> None:
    """Puts a new run where `save_checkpoint` saw the one that was interrupted."""
    state.accelerator.load_state(str(folder))
    saved = read_json(folder / STATE_FILE)
    collector = folder / f"collector-{state.accelerator.process_index}.json"
    state.collector.restore(read_json(collector))
    state.scheduler.load_state_dict(saved["scheduler"])
    state.update, state.log = saved["update"], saved["log"]
    state.best_update, state.best_score = saved["best_update"], saved["best_score"]
    state.start_on_dev = saved["start_on_dev"]
    state.demonstration_rng.bit_generator.state = saved["demonstration_generator"]

"""What every recipe does with a trainer of transformers or TRL: it trains on from a checkpoint, and reports the whole.

Their checkpoints hold weights, optimiser, random states and the log so far, but not what was summed up since the last
line of the log. So a run that goes on from one would report the loss of the steps since, and begin its next line with a
part of its steps. Here each process keeps these sums beside its part of the checkpoint (`Tally`), and a checkpoint
counts as whole when it is sealed; only then are older ones removed (`SealCheckpoints`).
"""

import contextlib
import copy
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from recrl.errors import WorkerError
from recrl.files import read_json, write_text
from recrl.seals import seal_folder
from recrl.training.progress import shown_progress
from recrl.training.runs import TrainingRun, checkpoints_in, step_of

TALLY_FILE = "tally-{}.json"  # of the process with that number
# What trainers sum up between two lines of the log: TRL's, and `recrl.training.imitation`'s.
SUMS = ("_metrics", "_pending_metrics", "_total_train_tokens", "_step", "_right")


def for_trainer(config: Any) -> Any:
    """What a transformers trainer is given of the settings: it pushes nothing itself (`recrl.publishing.push` pushes
    the finished folder), gets no Hub token, which it would write into ``training_args.bin``, and removes no checkpoint
    (`SealCheckpoints` does).
    """
    given = copy.copy(config)
    given.push_to_hub, given.hub_token, given.save_total_limit = False, None, None
    return given


def run_trainer(trainer: Any, method: str, run: TrainingRun, config: Any) -> dict[str, Any]:
    """Trains to the end, from the run's checkpoint if there is one, and says what every method's metrics say.

    Every process must call it.

    Args:
        trainer: a `transformers.Trainer`, made with `for_trainer`; method: of `recrl.training.progress.FIGURES`.
        config: the trainer's settings as they were given.

    Returns:
        the number of processes and steps, the mean loss of all steps, that of the last line of the log, and the log.

    Raises:
        WorkerError: a process that loads data was killed.
    """
    trainer.callback_handler.callbacks.insert(0, Tally(trainer, run.checkpoint))  # before trackers, whose logs it mends
    trainer.add_callback(SealCheckpoints(config.save_total_limit))
    with shown_progress(trainer, method), _killed_workers_said():
        trainer.train(resume_from_checkpoint=str(run.checkpoint) if run.checkpoint else None)
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    return {
        "num_processes": config.world_size,
        "global_step": trainer.state.global_step,
        "train_loss": next(entry["train_loss"] for entry in reversed(history) if "train_loss" in entry),
        "last_loss": losses[-1] if losses else None,
        "log_history": history,
    }


@contextlib.contextmanager
def _killed_workers_said() -> Iterator[None]:
    """Turns what torch says of a killed process that loads data into an error of ours."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            "a process that loads data was killed, perhaps because memory ran out; run the same command again to go on "
            "from the last checkpoint, with a smaller dataloader_num_workers if it is killed again"
        ) from error


class Tally(TrainerCallback):
    """Keeps with each checkpoint what the trainer has summed up so far, and gives it back to one that goes on.

    Args:
        checkpoint: from which the trainer goes on; None for a fresh start.
    """

    def __init__(self, trainer: Any, checkpoint: Path | None) -> None:
        self.trainer, self.checkpoint = trainer, checkpoint
        self.seconds, self.started = 0.0, time.monotonic()  # trained before, and since when

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.monotonic()
        if self.checkpoint is None:
            return
        kept = read_json(self.checkpoint / TALLY_FILE.format(args.process_index))
        self.seconds = kept["seconds"]
        trainer = self.trainer
        trainer._tr_loss = torch.tensor(kept["loss"], device=trainer._tr_loss.device)
        trainer._total_loss_scalar, trainer._globalstep_last_logged = kept["logged_loss"], kept["last_logged_step"]
        for name, value in kept["sums"].items():
            if isinstance(value, dict):
                _fill(getattr(trainer, name), value)
            else:
                setattr(trainer, name, [torch.tensor(one) for one in value] if isinstance(value, list) else value)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called in every process when it has written its part."""
        trainer = self.trainer
        kept = {
            "loss": trainer._tr_loss.item(),
            "logged_loss": trainer._total_loss_scalar,
            "last_logged_step": trainer._globalstep_last_logged,
            "seconds": self._seconds(),
            "sums": {name: _plain(getattr(trainer, name)) for name in SUMS if hasattr(trainer, name)},
        }
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_text(folder / TALLY_FILE.format(args.process_index), json.dumps(kept))  # a sum may be NaN

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Lets the last entry of the log, which trackers get too, speak of the whole run."""
        if self.checkpoint is None or "train_loss" not in (logs or {}):
            return
        batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        steps, seconds = state.global_step, self._seconds()
        whole = {
            "train_loss": self.trainer._total_loss_scalar / steps,
            "train_runtime": round(seconds, 4),
            "train_steps_per_second": round(steps / seconds, 3),
            "train_samples_per_second": round(steps * batch / seconds, 3),
        }
        logs.update(whole)
        state.log_history[-1].update(whole)

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self.started


def _plain(value: Any) -> Any:
    """Sums as JSON values."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def _fill(sums: dict[str, Any], kept: dict[str, Any]) -> None:
    """Puts kept values into a trainer's own dictionaries, which have defaults of their own."""
    for name, value in kept.items():
        if isinstance(value, dict):
            _fill(sums[name], value)
        else:
            sums[name] = value


class SealCheckpoints(TrainerCallback):
    """Seals every checkpoint that a transformers trainer writes, so that an altered one is not gone on from, and then
    removes the older ones.

    Args:
        limit: checkpoints that are kept; None for all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last step of a run that ends within an epoch has no checkpoint: who went on from it would train one
        step more (transformers asks whether to stop after a step). Its result is saved just now anyway.
        """
        if state.global_step >= state.max_steps and state.epoch != int(state.epoch):
            control.should_save = False

    on_epoch_end = on_step_end

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called in every process when it has written its part."""
        if args.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.barrier()
        if not args.should_save:
            return
        seal_folder(Path(args.output_dir) / f"checkpoint-{state.global_step}", "checkpoint")
        if self.limit is not None:
            in_order = sorted(checkpoints_in(args.output_dir), key=step_of)
            for earlier in in_order[: -max(self.limit, 1)]:
                if state.best_model_checkpoint is None or earlier != Path(state.best_model_checkpoint):
                    shutil.rmtree(earlier)

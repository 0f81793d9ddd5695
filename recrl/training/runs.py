"""A training run's folder: what `recrl.runs` says of every run, with checkpoints.

It holds ``checkpoint-N`` folders while it trains; at the end the model, its tokenizer and, written last,
``training_metrics.json``. Of several processes only the main one claims the folder and writes to it.
"""

import contextlib
import dataclasses
import inspect
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from recrl.errors import CheckpointError
from recrl.files import LEFTOVER, clear_disk_errors, finite_or_none
from recrl.runs import RunFolder, RunState, held, read_object
from recrl.same_settings import OUTPUT_DIR
from recrl.seals import MANIFEST, check_folder
from recrl.version import versions

logger = logging.getLogger(__name__)

METRICS_FILE = "training_metrics.json"
BEST_FOLDER = "best"  # the best agent on dev goals so far, of methods that choose by them
CONFIG_FILE = "config_resolved.json"
FILES = {
    CONFIG_FILE: "all settings",
    "checkpoint-N": "where an interrupted run goes on, after step N; removed at the end",
    "model.safetensors": "the trained weights; beside them the model's `config.json` and its tokenizer",
    METRICS_FILE: "the log and what came out; written last",
}
RUNTIME_FIELDS = (
    "local_rank",
    "logging_dir",
    "run_name",
    "deepspeed_plugin",
    "hub_token",
    "disable_tqdm",
)


KIND = "training run"
# What a run needs only while it trains: checkpoints, whole and half; the best so far; what a kill left half-written.
_WHILE_TRAINING = re.compile(rf"\.?checkpoint-\d+|{re.escape(BEST_FOLDER)}|{LEFTOVER.format('.+')}")


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """A run that was claimed.

    Attributes:
        folder: where it is.
        checkpoint: from which it goes on; None for a fresh start.
        is_complete: whether it has its result; then there is nothing to train.
    """

    folder: RunFolder
    checkpoint: Path | None
    is_complete: bool = False

    def complete(self, metrics: dict[str, Any]) -> None:
        """Writes the metrics of a run whose model is saved, which mark it as complete, then removes what it needed
        while it trained.
        """
        found = metrics | {"versions": versions()}
        self.folder.complete(finite_or_none(found))  # fp16 logs gradient norms that are none
        _tidy(self.folder.path)


def _tidy(folder: Path) -> None:
    """Removes what a complete run needed while it trained."""
    for path in list(folder.iterdir()):
        if _WHILE_TRAINING.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def tidy_complete_run(folder: str | Path) -> None:
    """Makes good that a run was killed after its result was written, before it had removed what it needed until then.

    Raises:
        ConfigError: another process works in the folder.
    """
    with held(Path(folder), KIND):
        _tidy(Path(folder))


@contextlib.contextmanager
def training_run(
    recipe: str,
    config: Any,
    settings: Mapping[str, Any],
    *,
    files: Mapping[str, str] | None = None,
    scratch: Sequence[str] = (),
) -> Iterator[TrainingRun]:
    """Claims ``config.output_dir`` for a run, or goes on with the run that was interrupted there.

    Every process must enter it. Of a complete run it makes good what a kill after its result left undone.

    Args:
        recipe: its word after `recrl train`.
        config: the trainer's, a `transformers.TrainingArguments`.
        settings: the other dataclasses that determine the result, by name.
        files, scratch: of this recipe, see `recrl.runs.RunFolder`; files beside `FILES`.

    Raises:
        ConfigError: the folder holds something else, or a run with other settings; or another process works in it.
        CheckpointError: the checkpoint from which the run would go on was altered.
    """
    _bound_waiting(config)
    groups = {name: _plain(group) for name, group in (dict(settings) | {"trainer": config}).items()}
    folder = RunFolder(
        path=Path(config.output_dir or ""),
        kind=KIND,
        command=f"recrl train {recipe}",
        settings=groups,
        settings_file=CONFIG_FILE,
        result_file=METRICS_FILE,
        files=FILES | dict(files or {}),
        shown=groups | {"trainer": {name: groups["trainer"].get(name) for name in _own_fields(config)}},
        scratch=scratch,
        free=(OUTPUT_DIR,),
    )
    with contextlib.ExitStack() as claimed:
        claimed.enter_context(clear_disk_errors(folder.path))
        with config.main_process_first(local=False, desc="claiming the run's folder"):
            if config.should_save:
                state = claimed.enter_context(folder.claim())
                if state is RunState.COMPLETE:
                    logger.info("%s holds this run, complete: nothing is trained again", folder.path)
                    _tidy(folder.path)
                remove_cut_off_checkpoints(folder.path)
            else:
                state = folder.state()
            checkpoint = last_checkpoint(folder.path)
            if config.should_save and checkpoint is not None:
                again = (
                    f"remove {checkpoint}; the same command then goes on from the checkpoint before, or from the start"
                )
                check_folder(checkpoint, CheckpointError, again)
        yield TrainingRun(folder, checkpoint, state is RunState.COMPLETE)


def _bound_waiting(config: Any) -> None:
    """Lets processes wait for one another as long as ``ddp_timeout`` says, which transformers forgets on CPUs."""
    if config.world_size > 1 and torch.distributed.is_initialized():
        torch.distributed.distributed_c10d._set_pg_timeout(config.ddp_timeout_delta)


def made_by_main_process(config: Any, path: Path, make: Callable[[], None]) -> None:
    """Lets the main process alone make a file that is not there yet, while the others wait for ``ddp_timeout`` seconds.

    Every process must call it.

    Args:
        config: the trainer's, a `transformers.TrainingArguments`.
        make: writes ``path``, last of all that it writes.

    Raises:
        CheckpointError: in the other processes, if the main process could not make it; that one raises its own error.
    """
    with config.main_process_first(local=False, desc=f"making {path}"):
        if config.should_save and not path.exists():
            make()
    if not path.exists():
        raise CheckpointError(f"the main process did not make {path}; see its error, and run the recipe again")


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest ``checkpoint-N`` that was written to its end."""
    found = [folder for folder in checkpoints_in(output_dir) if _is_whole(folder)]
    return max(found, key=step_of) if found else None


def remove_cut_off_checkpoints(output_dir: str | Path) -> None:
    """Removes every ``checkpoint-N`` that a kill cut off."""
    for folder in checkpoints_in(output_dir):
        if not _is_whole(folder):
            logger.warning("%s was cut off while it was written; it is removed", folder)
            shutil.rmtree(folder)


def checkpoints_in(output_dir: str | Path) -> list[Path]:
    """The folders ``checkpoint-N`` of a run, in no order."""
    return [
        folder for folder in Path(output_dir).glob("checkpoint-*") if folder.name.removeprefix("checkpoint-").isdigit()
    ]


def step_of(checkpoint: Path) -> int:
    """The N of a ``checkpoint-N``."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _is_whole(checkpoint: Path) -> bool:
    """Its seal is written last."""
    return (checkpoint / MANIFEST).exists()


def _plain(config: Any) -> dict[str, Any]:
    """A dataclass's fields as JSON values, without those that differ from process to process or hold a secret."""
    fields = config.to_dict() if hasattr(config, "to_dict") else dataclasses.asdict(config)
    return {
        name: json.loads(json.dumps(value, default=str)) for name, value in fields.items() if name not in RUNTIME_FIELDS
    }


def _own_fields(config: Any) -> list[str]:
    """The trainer's settings that are worth a line in the README: the seed, and those that the package declares."""
    ours = [parent for parent in type(config).__mro__ if parent.__module__.startswith("recrl.")]
    names = dict.fromkeys(["seed", *(name for parent in ours for name in inspect.get_annotations(parent))])
    return [name for name in names if name not in RUNTIME_FIELDS]


def save_result(trainer: Any, tokenizer: Any, metrics: dict[str, Any], run: TrainingRun) -> None:
    """Saves what a transformers trainer trained as a plain scorer with its tokenizer, then completes the run.

    Every process must call it. LoRA adapters are kept in ``adapter/`` and merged into the saved model.
    """
    output_dir = Path(trainer.args.output_dir)
    check_weights(trainer.accelerator.unwrap_model(trainer.model))
    with clear_disk_errors(output_dir):
        if hasattr(trainer.accelerator.unwrap_model(trainer.model), "merge_and_unload"):
            trainer.save_model(str(output_dir / "adapter"))
            if trainer.args.should_save:
                trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(output_dir)
        else:
            trainer.save_model(str(output_dir))
        if trainer.args.should_save:
            tokenizer.save_pretrained(output_dir)
    if trainer.args.should_save:
        run.complete(metrics)
    trainer.accelerator.wait_for_everyone()


def check_weights(model: torch.nn.Module) -> None:
    """Refuses to save a model that training has destroyed.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"training has diverged: {name} holds NaN or infinity, and nothing was saved. Start again in another "
                "folder with a lower learning_rate, or without fp16"
            )


def report_best(best: int, what: str) -> dict[str, Any]:
    """What the metrics say of a run that keeps the best on dev goals, the start included; a kept start is also logged.

    Args:
        best: the number of the best update or round, 0 for the start; what: "update" or "round".
    """
    if best == 0:
        logger.warning("no %s beat the start on dev goals: the start is given back, its weights as they were", what)
    return {f"best_{what}": best, "start_given_back": best == 0}


def is_complete(output_dir: str | Path) -> bool:
    """Whether the folder holds a run that was trained to its end."""
    return (Path(output_dir) / METRICS_FILE).exists()


def training_metrics(output_dir: str | Path) -> dict[str, Any]:
    """The metrics of a complete run.

    Raises:
        CheckpointError: the run is not complete, or its folder was altered.
        DatasetError: the metrics are damaged.
    """
    if not is_complete(output_dir):
        raise CheckpointError(f"{output_dir} holds no complete run ({METRICS_FILE} is missing); run the recipe again")
    check_folder(Path(output_dir), CheckpointError, f"remove {output_dir} and run the recipe again")
    return read_object(Path(output_dir) / METRICS_FILE, Path(output_dir))

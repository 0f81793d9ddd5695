"""A training run's folder: claimed, resumed, completed.

A run's folder holds ``checkpoint-N`` folders while it trains; at the end the model, its tokenizer,
``config_resolved.json`` and, written last, ``training_metrics.json``: where that file is, the run is complete.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError, ConfigError
from recrl.files import clear_disk_errors, write_json

METRICS_FILE = "training_metrics.json"
CONFIG_FILE = "config_resolved.json"


def last_complete_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest ``checkpoint-N`` that was written to its end; incomplete ones are removed.

    The trainer writes ``trainer_state.json`` last, so a folder without a readable one was cut off.
    """
    found: list[tuple[int, Path]] = []
    for folder in Path(output_dir).glob("checkpoint-*"):
        number = folder.name.removeprefix("checkpoint-")
        if not number.isdigit():
            continue
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            shutil.rmtree(folder)
        else:
            found.append((int(number), folder))
    return max(found)[1] if found else None


def checkpoint_to_resume(output_dir: str | Path, configs: dict[str, Any], *, main_process: bool) -> Path | None:
    """The checkpoint from which this run goes on, None for a fresh one; records the run's configuration.

    Raises:
        ConfigError: the folder holds a run with another configuration, or a complete one.
    """
    output_dir = Path(output_dir)
    resolved = {name: _plain(config) for name, config in configs.items()}
    path = output_dir / CONFIG_FILE
    if (output_dir / METRICS_FILE).exists():
        raise ConfigError(f"{output_dir} holds a complete run; choose another --output_dir or remove it")
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        for name, fields in resolved.items():
            for key, value in fields.items():
                if earlier.get(name, {}).get(key) != value:
                    raise ConfigError(
                        f"{output_dir} holds an interrupted run with {key}={earlier.get(name, {}).get(key)!r}, not "
                        f"{value!r}; resume with the same settings, choose another --output_dir or remove it"
                    )
        return last_complete_checkpoint(output_dir)
    if main_process:
        with clear_disk_errors(output_dir):
            output_dir.mkdir(parents=True, exist_ok=True)
        write_json(path, resolved)
    return None


RUNTIME_FIELDS = (
    "local_rank",
    "logging_dir",
    "output_dir",
    "run_name",
    "deepspeed_plugin",
    "hub_token",
    "disable_tqdm",
)


def _plain(config: Any) -> dict[str, Any]:
    """A dataclass's fields as JSON values, without those that differ from process to process or hold a secret."""
    fields = config.to_dict() if hasattr(config, "to_dict") else dataclasses.asdict(config)
    return {
        name: json.loads(json.dumps(value, default=str)) for name, value in fields.items() if name not in RUNTIME_FIELDS
    }


def save_result(trainer: Any, tokenizer: Any, metrics: dict[str, Any]) -> None:
    """Saves what a transformers trainer trained as a plain scorer with its tokenizer, then the metrics, which mark the
    run as complete.

    Every process must call it. LoRA adapters are kept in ``adapter/`` and merged into the saved model.
    """
    output_dir = Path(trainer.args.output_dir)
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
        complete_run(output_dir, metrics)
    trainer.accelerator.wait_for_everyone()


def complete_run(output_dir: Path, metrics: dict[str, Any]) -> None:
    """Writes the metrics of a run whose result is saved, which mark it as complete, then removes its checkpoints."""
    write_json(output_dir / METRICS_FILE, metrics)
    for folder in output_dir.glob("checkpoint-*"):
        shutil.rmtree(folder)


def is_complete(output_dir: str | Path) -> bool:
    """Whether the folder holds a run that was trained to its end."""
    return (Path(output_dir) / METRICS_FILE).exists()


def training_metrics(output_dir: str | Path) -> dict[str, Any]:
    """The metrics of a complete run.

    Raises:
        CheckpointError: the run is not complete.
    """
    if not is_complete(output_dir):
        raise CheckpointError(f"{output_dir} holds no complete run ({METRICS_FILE} is missing); run the recipe again")
    return json.loads((Path(output_dir) / METRICS_FILE).read_text(encoding="utf-8"))

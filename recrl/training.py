"""What every training recipe shares: strict configuration, freezing and LoRA, resuming, and saving the result.

A run's folder holds ``checkpoint-N`` folders while it trains; at the end the model, its tokenizer,
``config_resolved.json`` and, written last, ``training_metrics.json``: where that file is, the run is complete.
"""

import dataclasses
import difflib
import json
import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError, ConfigError
from recrl.files import clear_disk_errors, write_json

METRICS_FILE = "training_metrics.json"
CONFIG_FILE = "config_resolved.json"


@dataclass
class TuningArguments:
    """What of the model is trained."""

    freeze_embeddings: bool = field(
        default=True,
        metadata={
            "help": "Leave the encoder's embeddings as they are; their dense gradient doubles a CPU's step time."
        },
    )
    num_frozen_layers: int = field(default=0, metadata={"help": "Lowest encoder layers that are left as they are."})
    use_peft: bool = field(
        default=False, metadata={"help": "Train LoRA adapters on the encoder, and the heads in full."}
    )
    lora_r: int = field(default=16, metadata={"help": "LoRA rank."})
    lora_alpha: int = field(default=32, metadata={"help": "LoRA alpha."})
    lora_dropout: float = field(default=0.0, metadata={"help": "LoRA dropout probability."})
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["query", "key", "value", "dense"],
        metadata={"help": "Names of the encoder's linear layers that get adapters."},
    )

    def __post_init__(self) -> None:
        if self.num_frozen_layers < 0:
            raise ConfigError(f"num_frozen_layers={self.num_frozen_layers}, expected 0 or more")
        if self.lora_r < 1:
            raise ConfigError(f"lora_r={self.lora_r}, expected 1 or more")


HEAD_MODULES = (
    "input_linear",
    "memory_linear",
    "linear_1",
    "linear_2",
    "feature_hidden",
    "feature_score",
    "value_head",
)


def lora_config(model: Any, tuning: TuningArguments) -> Any:
    """A `peft.LoraConfig` with adapters on the encoder; the heads that are trained at all are trained in full.

    The bare parameter ``dot_scale`` stays as it is.
    """
    from peft import LoraConfig

    names = "|".join(map(re.escape, tuning.lora_target_modules))
    heads = {name: getattr(model, name) for name in HEAD_MODULES if getattr(model, name) is not None}
    return LoraConfig(
        r=tuning.lora_r,
        lora_alpha=tuning.lora_alpha,
        lora_dropout=tuning.lora_dropout,
        target_modules=rf"bert\..*\.({names})",
        modules_to_save=[
            name for name, head in heads.items() if any(parameter.requires_grad for parameter in head.parameters())
        ],
    )


def prepare_for_training(model: Any, tuning: TuningArguments) -> Any:
    """Freezes what ``tuning`` says, or puts LoRA adapters on the encoder; returns the model to train."""
    from recrl.scoring import freeze_encoder

    if tuning.use_peft:
        from peft import get_peft_model

        return get_peft_model(model, lora_config(model, tuning))
    freeze_encoder(
        model,
        embeddings=tuning.freeze_embeddings,
        num_layers=tuning.num_frozen_layers,
        # FSDP gathers a layer's parameters on all processes at once; they must call the encoder equally often.
        keep_encodings=os.environ.get("ACCELERATE_USE_FSDP", "false") != "true",
    )
    return model


def parameter_groups(model: Any, args: Any, decayed: Collection[str]) -> list[dict[str, Any]]:
    """What is trained of a model in groups: encoder at ``learning_rate`` and heads at ``head_learning_rate``, each with
    and without weight decay.

    Args:
        args: with these two and ``weight_decay``; decayed: names of the parameters that decay.
    """
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(("bert." in name, name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": args.learning_rate if in_encoder else args.head_learning_rate,
            "weight_decay": args.weight_decay if decays else 0.0,
        }
        for (in_encoder, decays), parameters in sorted(groups.items())
    ]


def make_optimizer(trainer: Any, model: Any) -> Any:
    """The optimiser of a transformers trainer, on `parameter_groups`."""
    settings = parameter_groups(model, trainer.args, set(trainer.get_decay_parameter_names(model)))
    optimizer_class, optimizer_settings = trainer.get_optimizer_cls_and_kwargs(trainer.args)
    return optimizer_class(settings, **optimizer_settings)


def parse_recipe(parser: Any, args: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Parses ``--config file.yaml`` and flags with a `trl.TrlParser`, strictly.

    Raises:
        ConfigError: a key or flag is unknown (the message names the nearest one), or the file is missing or no mapping.
    """
    import yaml

    try:
        *configs, unknown = parser.parse_args_and_config(
            args, return_remaining_strings=True, fail_with_unknown_args=False
        )
    except FileNotFoundError as error:
        raise ConfigError(f"--config {error.filename}: no such file; expected a YAML file") from error
    except (yaml.YAMLError, ValueError, IndexError) as error:
        raise ConfigError(f"the configuration cannot be read: {str(error).strip()}") from error
    known = [action.dest for action in parser._actions]
    for key in (text.removeprefix("--").partition("=")[0] for text in unknown if text.startswith("--")):
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(f"unknown key {key!r}{hint} (--help lists all keys)")
    if unknown:
        raise ConfigError(f"unexpected argument {unknown[0]!r}; settings are given as --key value")
    return tuple(configs)


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

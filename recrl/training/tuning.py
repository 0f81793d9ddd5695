"""What every training recipe shares: strict configuration, freezing and LoRA, resuming, and saving the result.

A run's folder holds ``checkpoint-N`` folders while it trains; at the end the model, its tokenizer,
``config_resolved.json`` and, written last, ``training_metrics.json``: where that file is, the run is complete.
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from recrl.errors import ConfigError

ALL_LINEAR = "all-linear"


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
    lora_r: int = field(default=16, metadata={"help": "Rank of the LoRA adapters."})
    lora_alpha: int = field(default=32, metadata={"help": "Scale of the LoRA adapters, divided by their rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout probability of the LoRA adapters."})
    lora_target_modules: list[str] = field(
        default_factory=lambda: [ALL_LINEAR],
        metadata={"help": f"Names of the encoder's linear layers that get adapters; {ALL_LINEAR} is every one."},
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
    "feature_layers",
    "match_head",
    "value_head",
)


def lora_config(model: Any, tuning: TuningArguments) -> Any:
    """A `peft.LoraConfig` with adapters on the encoder; the heads that are trained at all are trained in full.

    The bare parameter ``dot_scale`` stays as it is.

    Raises:
        ConfigError: the encoder has no linear layer of a name that ``lora_target_modules`` holds.
    """
    from peft import LoraConfig

    from recrl.scoring.encoders import linear_layer_names

    known = linear_layer_names(model.bert)
    wanted = known if tuning.lora_target_modules == [ALL_LINEAR] else tuning.lora_target_modules
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(
            f"lora_target_modules: the encoder has no linear layer {unknown[0]!r}; it has {', '.join(known)}, and "
            f"{ALL_LINEAR} stands for all of them"
        )
    names = "|".join(map(re.escape, wanted))
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
    from recrl.scoring.freezing import freeze_encoder

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


def decayed_parameters(model: Any) -> set[str]:
    """Names of the parameters that weight decay is for, as transformers' trainer has them: no biases and no norms."""
    from transformers import Trainer

    return set(Trainer.get_decay_parameter_names(None, model))  # type: ignore[arg-type]  # reads the model alone


def make_optimizer(trainer: Any, model: Any) -> Any:
    """The optimiser of a transformers trainer, on `parameter_groups`."""
    settings = parameter_groups(model, trainer.args, decayed_parameters(model))
    optimizer_class, optimizer_settings = trainer.get_optimizer_cls_and_kwargs(trainer.args)
    return optimizer_class(settings, **optimizer_settings)

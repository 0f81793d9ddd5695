"""What training language models has in common: what is trained of them, how decisions are told, and saving the result.

TRL's trainers do the work (SFTTrainer, DPOTrainer, GRPOTrainer); a run's folder holds at the end an adapter or a merged
model with its tokenizer, and `recrl.language.models.Record` beside them, so that `recrl.load_policy` opens it.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError, RecrlError
from recrl.files import clear_disk_errors
from recrl.language.models import ADAPTER_FILE, RECORD_FILE, Record, context_length, load_language_model
from recrl.language.prompts import PromptSettings
from recrl.language.writing import MAX_NEW_TOKENS
from recrl.training.runs import TrainingRun, check_weights
from recrl.training.settings.language import AdapterArguments

FILES = {
    "adapter_model.safetensors": "the trained LoRA adapter with `adapter_config.json`, which names its base model",
    RECORD_FILE: "how decisions are told to the model, and the goals that it was trained on",
}


def load_to_train(source: str, adapters: AdapterArguments, device: Any = "cpu") -> tuple[Any, Any, Any]:
    """The model, its tokenizer, and the `peft.LoraConfig` of a new adapter.

    Of a source that is an adapter, that adapter is trained on; then there is no configuration, and what a new one would
    be like has no meaning.

    Raises:
        CheckpointError: see `recrl.language.models.load_language_model`.
        ConfigError: the model has fewer layers, or the adapter is not to be trained.
    """
    import torch

    model, tokenizer = load_language_model(
        source, device=device, dtype="auto" if adapters.dtype is None else getattr(torch, adapters.dtype)
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if hasattr(model, "peft_config"):
        if not adapters.use_peft:
            raise ConfigError(f"{source} is an adapter; leave use_peft on, or merge it first (merge_adapter)")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        return model, tokenizer, None
    return model, tokenizer, lora_config(model, adapters) if adapters.use_peft else None


def conversation_settings(most: int | None, model: Any, settings: PromptSettings) -> PromptSettings:
    """How a model that was trained on whole conversations is told: with as many tokens of them as it has seen.

    Args:
        most: tokens of the longest conversation in training; None: no bound but the model's context, which must also
            hold the answer.
        settings: what is not about length.
    """
    context = context_length(model)
    bounds = [most, None if context is None else context - MAX_NEW_TOKENS]
    known = [bound for bound in bounds if bound is not None]
    return PromptSettings(min(known), settings.notes) if known else settings


def lora_config(model: Any, adapters: AdapterArguments) -> Any:
    """The configuration of a new adapter.

    Raises:
        ConfigError: the model has no layer of a name, or fewer layers than asked for.
    """
    from peft import LoraConfig

    wanted, head = adapters.lora_target_modules, model.get_output_embeddings()
    linear = ((name, module) for name, module in model.named_modules() if "Linear" in type(module).__name__)
    named = sorted({name.rpartition(".")[2] for name, module in linear if module is not head})
    unknown = [name for name in wanted if name != "all-linear" and name not in named]
    if unknown:
        raise ConfigError(
            f"lora_target_modules: the model has no linear layer {unknown[0]!r}; it has {', '.join(named)}, and "
            "all-linear stands for all of them"
        )
    layers = model.config.get_text_config().num_hidden_layers
    top = adapters.lora_top_layers
    if top is not None and top > layers:
        raise ConfigError(f"lora_top_layers={top}, but the model has {layers} layers")
    return LoraConfig(
        r=adapters.lora_r,
        lora_alpha=adapters.lora_alpha,
        lora_dropout=adapters.lora_dropout,
        target_modules=named if wanted == ["all-linear"] else list(wanted),
        layers_to_transform=None if top is None else list(range(layers - top, layers)),
        task_type="CAUSAL_LM",
    )


@contextlib.contextmanager
def clear_refusals() -> Iterator[None]:
    """Turns what TRL refuses into a ConfigError."""
    try:
        yield
    except (ValueError, NotImplementedError, ImportError) as error:
        if isinstance(error, RecrlError):
            raise
        reason = " ".join(str(error).split())
        other = "; --chat_template names another, such as qwen2_5" if "chat template" in reason else ""
        raise ConfigError(f"TRL refuses this configuration: {reason}{other}") from error


def save_language_result(
    trainer: Any, tokenizer: Any, record: Record, metrics: dict[str, Any], run: TrainingRun, *, merge: bool
) -> None:
    """Saves the adapter, or the whole model, with tokenizer and record, then completes the run.

    Every process must call it.
    """
    output_dir = Path(trainer.args.output_dir)
    model = trainer.accelerator.unwrap_model(trainer.model)
    check_weights(model)
    with clear_disk_errors(output_dir):
        if merge:
            if trainer.args.should_save:
                model.merge_and_unload().save_pretrained(output_dir)
        else:
            trainer.save_model(str(output_dir))
            if trainer.args.should_save and (output_dir / "ref").exists():
                shutil.rmtree(output_dir / "ref")  # TRL's copy of the start, as DPO's reference
        if trainer.args.should_save:
            for leftover in ("training_args.bin", "README.md") if (output_dir / ADAPTER_FILE).exists() else ():
                (output_dir / leftover).unlink(missing_ok=True)  # PEFT's empty card; the run writes its own
            tokenizer.save_pretrained(output_dir)
            record.save(output_dir)
    if trainer.args.should_save:
        run.complete(metrics)
    trainer.accelerator.wait_for_everyone()

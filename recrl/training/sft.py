"""Supervised fine-tuning of a language model on demonstrations through TRL's SFTTrainer.

Each decision with two valid actions or more is a row: the prompt that `recrl.language.prompts` writes, and the action
that was taken as the answer. The loss is that of the answer's tokens alone. With ``unit: episode`` a row is a whole
episode as a conversation, with ``tools`` in calls of tools, which is what GRPO starts from; TRL then needs a chat
template that marks the assistant's turns, which it has for common models (``assistant_only_loss``).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import merged, training_goals
from recrl.errors import DatasetError
from recrl.language.chat import Chat
from recrl.language.models import Record, read_record
from recrl.language.prompts import PromptSettings
from recrl.language.tools import tool_schemas
from recrl.preferences.exporting import check_form
from recrl.preferences.messages import Rows, Writer, check_rows
from recrl.training.fields import check_fields, check_machine
from recrl.training.language import FILES, AdapterArguments, clear_refusals, load_to_train, save_language_result
from recrl.training.runs import training_run


@dataclass
class SFTArguments:
    """What is imitated, and by which language model."""

    model_name_or_path: str = field(
        metadata={"help": "Causal language model with a chat template, or an adapter, by folder or Hub id."}
    )
    demonstrations: list[str] = field(
        metadata={"help": "Trajectory datasets, one or more: folders of `recrl generate-trajectories`, or Hub ids."}
    )
    num_demonstrations: int | None = field(default=None, metadata={"help": "Use the first N only; default: all."})
    unit: str = field(default="decision", metadata={"help": "A row for each decision, or one for each episode."})
    tools: bool = field(default=False, metadata={"help": "Write episodes as calls of tools, as recipes/grpo.py plays."})

    def __post_init__(self) -> None:
        if isinstance(self.demonstrations, str):  # one, given from Python
            self.demonstrations = [self.demonstrations]
        check_form("prompt_completion", self.unit, self.tools)


@dataclass
class LanguageSFTConfig(SFTConfig):
    """The trainer's settings; TRL's names, with our defaults."""

    output_dir: str | None = field(default="runs/sft", metadata={"help": "Where the run's folder is made."})
    learning_rate: float = field(default=2e-4, metadata={"help": "Learning rate; 2e-5 suits training all weights."})
    num_train_epochs: float = field(default=2.0, metadata={"help": "Passes over the rows."})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "Rows a step and process."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up: steps, or below 1 a share of all steps."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning-rate schedule."})
    max_length: int | None = field(default=4096, metadata={"help": "Longest row, in tokens; longer ones are left out."})
    save_steps: float = field(default=100, metadata={"help": "Steps between checkpoints."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Checkpoints kept."})
    report_to: str = field(default="none", metadata={"help": "trackio, tensorboard, wandb ... or none."})
    bf16: bool = field(default=False, metadata={"help": "bf16 mixed precision (TRL's default is on; a T4 has none)."})
    gradient_checkpointing: bool | None = field(  # type: ignore[assignment]  # None: off without a warning
        default=None, metadata={"help": "Less memory for a slower step (TRL's default is on, ours off)."}
    )

    def __post_init__(self) -> None:
        check_fields("sft", self)
        super().__post_init__()
        check_machine("sft", self)


def train_sft(
    arguments: SFTArguments, adapters: AdapterArguments, config: LanguageSFTConfig, callbacks: Sequence[Any] = ()
) -> Path:
    """Trains a language model on demonstrations and saves it, or its adapter, in ``config.output_dir``.

    An interrupted run goes on from its last checkpoint.

    Raises:
        DatasetError, CheckpointError, ConfigError: see the modules that read them.
    """
    from datasets import Dataset

    by_source = {source: load_episodes(source) for source in arguments.demonstrations}
    episodes = [episode for found in by_source.values() for episode in found]
    if arguments.num_demonstrations is not None:
        if arguments.num_demonstrations > len(episodes):
            raise DatasetError(
                f"num_demonstrations={arguments.num_demonstrations}, but {', '.join(by_source)} holds {len(episodes)}; "
                "ask for fewer or collect more with `recrl generate-trajectories`"
            )
        episodes = episodes[: arguments.num_demonstrations]
    earlier = read_record(arguments.model_name_or_path)
    settings = {"arguments": arguments, "adapters": adapters}
    with training_run("sft", config, settings, files=FILES) as run:
        set_seed(config.seed)
        model, tokenizer, peft_config = load_to_train(arguments.model_name_or_path, adapters, config.device)
        prompt = adapters.prompt_after(earlier)
        made = _rows(arguments, prompt, config, episodes, tokenizer)
        record = Record(
            prompt,
            episodes[0].catalog_sha256,
            merged(earlier.trained_on, *(training_goals(found, source) for source, found in by_source.items())),
            earlier.base_model or arguments.model_name_or_path,
        )
        trainer_config = copy.copy(config)
        trainer_config.push_to_hub = (
            False  # recrl.publishing.push pushes the finished folder; a hub that is down stops no training
        )
        trainer_config.assistant_only_loss = arguments.unit == "episode"
        with clear_refusals():
            trainer = SFTTrainer(
                model,
                args=trainer_config,
                train_dataset=Dataset.from_list(made.rows),
                processing_class=tokenizer,
                peft_config=peft_config,
                callbacks=list(callbacks),
            )
        result = trainer.train(resume_from_checkpoint=str(run.checkpoint) if run.checkpoint else None)
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        metrics = {
            "method": "sft",
            "num_demonstrations": len(episodes),
            "num_rows": len(made.rows),
            "num_tokens": sum(made.tokens),
            "longest_tokens": max(made.tokens),
            "cut": dict(made.cut),
            "left_out": dict(made.left_out),
            "num_processes": config.world_size,
            "global_step": trainer.state.global_step,
            "train_loss": result.training_loss,
            "last_loss": logs[-1]["loss"] if logs else None,
            "last_token_accuracy": logs[-1].get("mean_token_accuracy") if logs else None,
            "protocol": episodes[0].protocol,
            "catalog_sha256": episodes[0].catalog_sha256,
            "goals_sha256": episodes[0].goals_sha256,
            "log_history": trainer.state.log_history,
        }
        save_language_result(trainer, tokenizer, record, metrics, run, merge=adapters.merge_adapter)
    return Path(config.output_dir or "")


def _rows(
    arguments: SFTArguments, prompt: PromptSettings, config: LanguageSFTConfig, episodes: Any, tokenizer: Any
) -> Rows:
    """The rows of the run, without those that are too long.

    Raises:
        DatasetError: none is left.
    """
    schemas = tool_schemas() if arguments.tools else None
    chat = Chat(tokenizer, name=repr(arguments.model_name_or_path), tools=schemas)
    longest = config.max_length if config.max_length is not None else 1 << 30
    writer = Writer(chat, prompt, longest, arguments.tools)
    form = "messages" if arguments.unit == "episode" else "prompt_completion"
    made = writer.of_episodes(episodes, form=form, unit=arguments.unit)
    check_rows(made)
    return made

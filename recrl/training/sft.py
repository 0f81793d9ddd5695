"""Supervised fine-tuning of a language model on demonstrations through TRL's SFTTrainer.

Each decision with two valid actions or more is a row: the prompt that `recrl.language.prompts` writes, and the action
that was taken as the answer. The loss is that of the answer's tokens alone. With ``unit: episode`` a row is a whole
episode as a conversation, with ``tools`` in calls of tools, which is what GRPO starts from; TRL then needs a chat
template that marks the assistant's turns, which it has for common models (``assistant_only_loss``).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import merged, training_goals
from recrl.errors import DatasetError
from recrl.language.chat import Chat, with_template
from recrl.language.models import Record, read_record
from recrl.language.prompts import PromptSettings
from recrl.language.tools import tool_schemas
from recrl.preferences.messages import Rows, Writer, check_rows, dataset_of
from recrl.training.fields import check_fields, check_machine
from recrl.training.language import (
    FILES,
    clear_refusals,
    conversation_settings,
    load_to_train,
    save_language_result,
)
from recrl.training.runs import training_run
from recrl.training.settings.language import AdapterArguments
from recrl.training.settings.sft import SFTArguments, SFTSettings
from recrl.training.trainers import for_trainer, run_trainer

logger = logging.getLogger(__name__)


@dataclass
class LanguageSFTConfig(SFTSettings, SFTConfig):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; TRL's names, with our defaults."""

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
        if run.is_complete:
            return run.folder.path
        set_seed(config.seed)
        model, tokenizer, peft_config = load_to_train(arguments.model_name_or_path, adapters, config.device)
        with_template(tokenizer, arguments.chat_template)
        prompt = adapters.prompt_after(earlier.prompt)
        made = _rows(arguments, prompt, config, episodes, tokenizer)
        record = Record(
            conversation_settings(config.max_length, model, prompt) if arguments.tools else prompt,
            episodes[0].catalog_sha256,
            merged(earlier.trained_on, *(training_goals(found, source) for source, found in by_source.items())),
            earlier.base_model or arguments.model_name_or_path,
            answers="tools" if arguments.tools else "score",
            most_words=arguments.most_words if arguments.tools else None,
        )
        trainer_config = for_trainer(config)
        trainer_config.assistant_only_loss = arguments.unit == "episode"
        with clear_refusals():
            trainer = SFTTrainer(
                model,
                args=trainer_config,
                train_dataset=dataset_of(made),
                processing_class=tokenizer,
                peft_config=peft_config,
                callbacks=list(callbacks),
            )
        trained = run_trainer(trainer, "sft", run, config)
        logs = [entry for entry in trained["log_history"] if "loss" in entry]
        metrics = {
            "method": "sft",
            "num_demonstrations": len(episodes),
            "num_rows": len(made.rows),
            "num_tokens": sum(made.tokens),
            "longest_tokens": max(made.tokens),
            "cut": dict(made.cut),
            "left_out": dict(made.left_out),
            "last_token_accuracy": logs[-1].get("mean_token_accuracy") if logs else None,
            "protocol": episodes[0].protocol,
            "catalog_sha256": episodes[0].catalog_sha256,
            "goals_sha256": episodes[0].goals_sha256,
            **trained,
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
    writer = Writer(chat, prompt, longest, arguments.tools, arguments.most_words, "max_length")
    form = "messages" if arguments.unit == "episode" else "prompt_completion"
    made = writer.of_episodes(episodes, form=form, unit=arguments.unit)
    check_rows(made)
    for reason, count in made.left_out.items():
        logger.warning("left out of training: %d %s", count, reason)
    return made

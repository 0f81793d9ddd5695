"""Group relative policy optimisation (arXiv:2402.03300) of a language model in the shop, through TRL's GRPOTrainer.

The model plays by calls of named tools, several episodes of each goal; an episode's advantage is its reward against its
group's. TRL rolls out (`environment_factory`), masks the pages, and computes the loss; here are the environment, the
budget of tokens, which is measured and refused when no whole episode has room, and the run's folder.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed
from trl import GRPOConfig, GRPOTrainer

from recrl.episodes.training_goals import TrainingGoals, merged
from recrl.language.chat import Chat, with_template
from recrl.language.models import Record, context_length, read_record
from recrl.language.tools import tool_schemas
from recrl.training.fields import check_fields, check_machine
from recrl.training.language import (
    FILES,
    clear_refusals,
    conversation_settings,
    load_to_train,
    save_language_result,
)
from recrl.training.runs import training_run
from recrl.training.settings.grpo import GRPOArguments, GRPOSettings, GRPOShop
from recrl.training.settings.language import AdapterArguments
from recrl.training.trainers import for_trainer, run_trainer
from recrl.training.webshop_spec import WebShopSpec


@dataclass
class LanguageGRPOConfig(GRPOSettings, GRPOConfig):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; TRL's names, with our defaults."""

    def __post_init__(self) -> None:
        check_fields("grpo", self)
        with clear_refusals():
            super().__post_init__()
        check_machine("grpo", self)


def train_grpo(
    arguments: GRPOArguments,
    shop: GRPOShop,
    adapters: AdapterArguments,
    config: LanguageGRPOConfig,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Lets a language model play training goals and learn from its rewards; saves it in ``config.output_dir``.

    Raises:
        CatalogError, CheckpointError, ConfigError: see the modules that read them.
    """
    earlier = read_record(arguments.model_name_or_path)
    spec = WebShopSpec(
        catalog=shop.catalog,
        goal_seed=shop.goal_seed,
        human_goals=shop.human_goals,
        wording=shop.wording,
        split_by=shop.split_by,
        goal_draw=shop.goal_draw,
        num_goals=arguments.num_goals,
        seed=config.seed,
        max_episode_steps=shop.max_episode_steps,
        most_words=arguments.most_words,
    )
    model, tokenizer, peft_config = load_to_train(arguments.model_name_or_path, adapters, config.device)
    with_template(tokenizer, arguments.chat_template)
    chat = Chat(tokenizer, name=repr(arguments.model_name_or_path), tools=tool_schemas())
    length = config.max_completion_length or 0
    budget = spec.check_budget(chat, length, context_length(model), arguments.max_turn_tokens)
    settings = {"arguments": arguments, "shop": shop, "adapters": adapters}
    with training_run("grpo", config, settings, files=FILES) as run:
        if run.is_complete:
            return run.folder.path
        set_seed(config.seed)
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        trainer_config = for_trainer(config)
        if trainer_config.max_tool_calling_iterations is None:
            trainer_config.max_tool_calling_iterations = shop.max_episode_steps
        if arguments.max_turn_tokens is not None:
            most = min(arguments.max_turn_tokens, length)  # the first turn alone must not outgrow an episode
            limit = {"max_tokens" if config.use_vllm else "max_new_tokens": most}
            trainer_config.generation_kwargs = limit | (trainer_config.generation_kwargs or {})
        with clear_refusals():
            trainer = GRPOTrainer(
                model,
                args=trainer_config,
                train_dataset=spec.train_dataset,
                processing_class=tokenizer,
                environment_factory=spec.environment_factory,
                reward_funcs=spec.reward_funcs,
                peft_config=peft_config,
                callbacks=list(callbacks),
            )
        trained = run_trainer(trainer, "grpo", run, config)
        logs = [entry for entry in trained["log_history"] if "reward" in entry]
        catalog = spec.shop
        record = Record(
            conversation_settings(budget["prompt_tokens"] + length, model, adapters.prompt_after(earlier.prompt)),
            catalog.sha256,
            merged(earlier.trained_on, (TrainingGoals.of_split(catalog, spec.split, spec.split_by),)),
            earlier.base_model or arguments.model_name_or_path,
            answers="tools",
            most_words=arguments.most_words,
        )
        metrics = {
            "method": "grpo",
            "num_goals": spec.num_goals,
            "num_episodes": trainer.state.global_step
            * config.per_device_train_batch_size
            * config.gradient_accumulation_steps
            * config.world_size,
            **budget,
            "first_reward": logs[0]["reward"] if logs else None,
            "last_reward": logs[-1]["reward"] if logs else None,
            "protocol": catalog.protocol(spec.split_by),
            "catalog_sha256": catalog.sha256,
            "goals_sha256": catalog.goals_sha256,
            **trained,
        }
        save_language_result(trainer, tokenizer, record, metrics, run, merge=adapters.merge_adapter)
    return Path(config.output_dir or "")

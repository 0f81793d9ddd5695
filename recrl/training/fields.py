"""What each recipe does with every field of its trainer's configuration: honours it, or refuses it with the reason.

The configurations inherit from transformers' `TrainingArguments` and TRL's `DPOConfig`, which are made for trainers and
models of every kind. A field that a recipe would ignore is refused when it is given another value than its default, as
soon as the configuration is made and so before there is a run folder. A test holds that every field has its rule here;
docs/training.md shows them (``python docs/fields.py`` writes them there).
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from recrl.errors import ConfigError
from recrl.training.numbers import check_numbers


class Use(enum.Enum):
    """What a recipe does with a field."""

    HONOURED = "honoured"
    BESIDES = "honoured, but for speed, memory, logs or files: what is learned does not change"
    REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """What a recipe does with a field, and why.

    Attributes:
        reason: why it is refused, or values of it are.
        allowed: values of a refused field, beside its default, that say what happens anyway.
        never: values of an honoured field that are refused.
    """

    use: Use
    reason: str = ""
    allowed: tuple[Any, ...] = ()
    never: tuple[Any, ...] = ()


Rules = dict[str, Rule]


def _honoured(names: str) -> Rules:
    return dict.fromkeys(names.split(), Rule(Use.HONOURED))


def _besides(names: str) -> Rules:
    return dict.fromkeys(names.split(), Rule(Use.BESIDES))


def _refused(reason: str, names: str) -> Rules:
    return dict.fromkeys(names.split(), Rule(Use.REFUSED, reason))


NO_EVALUATION = "nothing is held out while it trains; measure the result with `recrl evaluate`"
GOES_ON = "a run goes on by itself, to the numbers of an uninterrupted one; run the same command again"
PUSHED_ONCE = "a run is pushed once, when it is finished"
OTHER_MODELS = "it is for causal language models, and would change nothing here or fail"
UNEVEN = "pages differ in their number of texts and tokens, so that it would compile again and again"
OTHER_BATCHES = "a batch holds the distinct texts of its pages, not rows of tokens"

_EVALUATION = (
    "eval_strategy eval_steps eval_delay eval_on_start eval_do_concat_batches eval_use_gather_object "
    "include_for_metrics batch_eval_metrics prediction_loss_only load_best_model_at_end metric_for_best_model "
    "greater_is_better label_names do_eval do_predict"
)
_FULL_EVALUATION = "per_device_eval_batch_size eval_accumulation_steps bf16_full_eval fp16_full_eval"
_RESUMING = (
    "resume_from_checkpoint ignore_data_skip restore_callback_states_from_checkpoint save_only_model "
    "save_on_each_node enable_jit_checkpoint"
)
_COMPILING = "torch_compile torch_compile_backend torch_compile_mode"
_CHECKPOINTING = (
    "gradient_checkpointing gradient_checkpointing_kwargs activation_checkpointing activation_checkpointing_kwargs"
)
_DATA_LOADER = "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor"
_DDP = "ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph"
_LAUNCH = "ddp_backend ddp_timeout local_rank"
_LOGGING = (
    "logging_strategy logging_steps logging_first_step log_on_each_node logging_nan_inf_filter log_level "
    "log_level_replica skip_memory_metrics torch_empty_cache_steps debug"
)
_TRACKERS = "project trackio_space_id trackio_bucket_id trackio_static_space_id"
_FOLDER = "output_dir report_to run_name disable_tqdm push_to_hub hub_token hub_private_repo hub_model_id"

EVERYWHERE: Rules = (
    _besides(_FOLDER + " " + _LAUNCH)
    | _honoured(
        "learning_rate lr_scheduler_kwargs weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 fp16 "
        "tf32 seed full_determinism use_cpu"
    )
    | {
        "lr_scheduler_type": Rule(
            Use.HONOURED, "it needs an evaluation in every epoch", never=("reduce_lr_on_plateau",)
        ),
        "do_train": Rule(Use.REFUSED, "a recipe always trains", allowed=(True,)),
    }
    | _refused(NO_EVALUATION, _EVALUATION + " " + _FULL_EVALUATION)
    | _refused(GOES_ON, _RESUMING)
    | _refused(PUSHED_ONCE, "hub_strategy hub_always_push hub_revision")
    | _refused(OTHER_MODELS, "use_cache use_liger_kernel liger_kernel_config neftune_noise_alpha parallelism_config")
    | _refused(UNEVEN, _COMPILING)
    | _refused(
        "its optimisers project the gradients of groups of their own, but the heads are a group already",
        "optim_target_modules",
    )
    | _refused("the order of the batches must follow from the seed", "dataloader_in_order")
    | _refused("what makes the batches cannot be sent to a new process", "dataloader_multiprocessing_context")
)

TRAINER: Rules = (
    EVERYWHERE
    | _honoured(
        "num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps auto_find_batch_size "
        "warmup_steps optim optim_args data_seed dataloader_drop_last accelerator_config deepspeed fsdp fsdp_config"
    )
    | _besides(f"{_LOGGING} {_TRACKERS} {_CHECKPOINTING} {_DATA_LOADER} {_DDP} save_steps save_total_limit")
    | {"save_strategy": Rule(Use.BESIDES, NO_EVALUATION, never=("best",))}
)

_CHOICES: Rules = (
    TRAINER
    | _honoured("head_learning_rate")
    | _refused(OTHER_BATCHES, "include_num_input_tokens_seen length_column_name average_tokens_across_devices")
    | {"train_sampling_strategy": Rule(Use.HONOURED, OTHER_BATCHES, never=("group_by_length",))}
)

IMITATION: Rules = (
    _CHOICES
    | _refused("the collator reads whole decisions", "remove_unused_columns")
    | _refused("the loss is the plain cross-entropy of the right actions", "label_smoothing_factor")
)

_DPO_LOSSES = (
    "loss_type loss_weights beta f_divergence_type f_alpha_divergence_coef label_smoothing use_weighting ld_alpha "
    "discopop_tau disable_dropout precompute_ref_log_probs sync_ref_model ref_model_mixup_alpha ref_model_sync_steps"
)

DPO: Rules = (
    _CHOICES
    | _besides("remove_unused_columns precompute_ref_batch_size")
    | _honoured(_DPO_LOSSES)
    | _refused("DPO's own is label_smoothing, for the losses that have one", "label_smoothing_factor")
    | _refused(
        "the model is made before it; name it with model_name_or_path",
        "model_init_kwargs trust_remote_code router_aux_loss_coef",
    )
    | _refused(
        "a side of a pair is a few decisions, which are neither cut nor padded so; the lengths of texts are those of "
        "the start (max_state_tokens, max_action_tokens of imitation)",
        "max_length truncation_mode padding_free pad_to_multiple_of pad_token dataset_num_proc",
    )
    | _refused(OTHER_MODELS, "activation_offloading")
)

_LANGUAGE: Rules = (
    (TRAINER | _besides("use_liger_kernel liger_kernel_config use_cache"))
    | _honoured(
        f"average_tokens_across_devices router_aux_loss_coef {_COMPILING} train_sampling_strategy length_column_name"
    )
    | _besides("include_num_input_tokens_seen remove_unused_columns pad_to_multiple_of")
    | _refused("the loss is that of the answers' tokens", "label_smoothing_factor")
    | _refused("give `accelerate launch` a configuration file", "parallelism_config")
    | _refused(
        "the model is loaded before it; name it with model_name_or_path, and its precision with dtype",
        "model_init_kwargs",
    )
    | _refused("no code of a model's folder is run", "trust_remote_code")
)

SFT: Rules = (
    _LANGUAGE
    | _honoured("max_length shuffle_dataset packing packing_strategy neftune_noise_alpha")
    | _besides("padding_free activation_offloading")
    | _refused("rows are made of demonstrations, by the model's own template", "chat_template_path dataset_text_field "
               "dataset_kwargs dataset_num_proc eos_token pad_token truncation_mode")
    | _refused(NO_EVALUATION, "eval_packing")
    | _refused("the loss is that of the answers alone", "completion_only_loss assistant_only_loss")
    | _refused("nll is the loss of SFT", "loss_type")
)  # fmt: skip

DPO_LANGUAGE: Rules = (
    _LANGUAGE
    | _honoured(f"max_length neftune_noise_alpha {_DPO_LOSSES}")
    | _besides("precompute_ref_batch_size activation_offloading")
    | _refused("DPO's own is label_smoothing, for the losses that have one", "label_smoothing_factor")
    | _refused("sides that are too long are left out, not cut", "truncation_mode")
    | _refused("the collator pads", "padding_free pad_to_multiple_of pad_token dataset_num_proc")
)

GRPO: Rules = (
    _LANGUAGE
    | _honoured(
        "num_generations max_completion_length shuffle_dataset generation_batch_size steps_per_generation temperature "
        "top_p top_k min_p generation_kwargs chat_template_kwargs repetition_penalty beta num_iterations epsilon delta "
        "epsilon_high sapo_temperature_neg sapo_temperature_pos vespo_k_pos vespo_lambda_pos vespo_k_neg "
        "vespo_lambda_neg importance_sampling_level reward_weights multi_objective_aggregation scale_rewards loss_type "
        "mask_truncated_completions sync_ref_model ref_model_mixup_alpha ref_model_sync_steps top_entropy_quantile "
        "entropy_coef use_adaptive_entropy entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target "
        "max_tool_calling_iterations off_policy_mask_threshold use_bias_correction_kl disable_dropout "
        "cast_lm_head_to_fp32 vllm_importance_sampling_correction vllm_importance_sampling_mode "
        "vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min vllm_importance_sampling_cap "
        "neftune_noise_alpha"
    )
    | _besides(
        "ds3_gather_for_generation cache_implementation use_vllm vllm_mode vllm_model_impl vllm_enable_sleep_mode "
        "vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port "
        "vllm_gpu_memory_utilization vllm_max_model_length vllm_tensor_parallel_size log_completions log_multimodal "
        "num_completions_to_print log_unique_prompts use_transformers_continuous_batching "
        "transformers_continuous_batching_config use_transformers_paged"
    )
    | _refused(NO_EVALUATION, "num_generations_eval")
    | _refused("the model writes calls of tools", "vllm_structured_outputs_regex")
    | _refused(PUSHED_ONCE, "log_completions_hub_repo")
)

JUDGEMENT: Rules = (
    TRAINER
    | _refused(OTHER_BATCHES, "include_num_input_tokens_seen length_column_name average_tokens_across_devices")
    | {"train_sampling_strategy": Rule(Use.HONOURED, OTHER_BATCHES, never=("group_by_length",))}
    | _refused("the collator reads whole examples", "remove_unused_columns")
    | _refused("the loss is stated in recrl/training/judgement.py", "label_smoothing_factor")
    | _refused("the match head has two layers, which a checkpoint would not make smaller", _CHECKPOINTING)
)

QUERY_MODEL: Rules = (
    TRAINER
    | _besides("per_device_eval_batch_size eval_accumulation_steps remove_unused_columns include_num_input_tokens_seen")
    | _honoured("bf16_full_eval fp16_full_eval label_smoothing_factor average_tokens_across_devices")
    | _refused("the order of the examples is made for one batch size", "auto_find_batch_size")
    | _refused(
        "the phases need 'sequential', the default",
        "sortish_sampler train_sampling_strategy length_column_name",
    )
    | _refused(
        "nothing is written while it trains; `recrl evaluate-search` does",
        "predict_with_generate generation_max_length generation_num_beams generation_config",
    )
)

PPO: Rules = (
    EVERYWHERE
    | _honoured(
        "head_learning_rate num_updates num_envs envs_per_goal num_steps num_minibatches num_passes gamma gae_lambda "
        "bootstrap_at_limit reward_scale clip_range value_clip_range value_coef value_warmup value_warmup_passes "
        "entropy_coef kl_coef target_kl imitation_coef demonstration_batch_size normalize_advantages eval_every"
    )
    | _besides("save_every")
    | _refused("set num_updates and num_passes", "num_train_epochs")
    | _refused("set num_updates, or max_episode_steps", "max_steps")
    | _refused("set num_envs, num_steps and num_minibatches", "per_device_train_batch_size auto_find_batch_size")
    | _refused("set num_minibatches", "gradient_accumulation_steps")
    | _refused("set value_warmup", "warmup_steps")
    | _refused("set eval_every", "eval_steps eval_strategy eval_delay eval_on_start do_eval")
    | _refused("set num_dev_episodes", "per_device_eval_batch_size")
    | _refused("the best on dev goals is always kept", "load_best_model_at_end metric_for_best_model greater_is_better")
    | _refused("set save_every", "save_steps save_strategy")
    | _refused("one checkpoint is kept, to go on from", "save_total_limit")
    | _refused("every update is logged", _LOGGING)
    | _refused("the loop is not transformers' trainer; it names a tracker's run by run_name", _TRACKERS)
    | _refused("the optimiser is AdamW", "optim optim_args")
    | _refused("minibatches are small; make them smaller with num_minibatches", _CHECKPOINTING)
    | _refused(
        "steps come from the environments, not from a data loader",
        f"{_DATA_LOADER} dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context data_seed "
        "train_sampling_strategy length_column_name remove_unused_columns include_num_input_tokens_seen "
        "average_tokens_across_devices",
    )
    | _refused("give `accelerate launch` a configuration file", f"{_DDP} accelerator_config deepspeed fsdp fsdp_config")
    | _refused("set entropy_coef", "label_smoothing_factor")
)

# Self-improvement trains by DPO in every round.
RULES: Mapping[str, Rules] = {
    "judgement": JUDGEMENT,
    "imitation": IMITATION,
    "dpo": DPO,
    "self_improvement": DPO,
    "ppo": PPO,
    "search": QUERY_MODEL,
    "sft": SFT,
    "dpo_language": DPO_LANGUAGE,
    "grpo": GRPO,
}
TITLES = {
    "judgement": "the judgement",
    "imitation": "imitation",
    "dpo": "DPO",
    "ppo": "PPO",
    "search": "the query model",
    "sft": "SFT",
    "dpo_language": "DPO of a language model",
    "grpo": "GRPO",
}


def check_fields(recipe: str, config: Any) -> None:
    """Refuses values that a recipe would ignore, or that are no finite numbers; to be called before transformers has
    derived one field from another.

    Raises:
        ConfigError: with the reason, and what to set instead where there is something.
    """
    check_numbers(recipe, config)
    for field in fields(config):
        rule, value = RULES[recipe][field.name], getattr(config, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        same = value == default or (_is_off(value) and _is_off(default))
        if (rule.use is Use.REFUSED and not same and value not in rule.allowed) or value in rule.never:
            shown = "..." if "token" in field.name and isinstance(value, str) else value
            raise ConfigError(f"{field.name}={shown} has no meaning for {TITLES[recipe]}; {rule.reason}")


def _is_off(value: Any) -> bool:
    """Whether a value turns something off; parsers read "no" as False."""
    return not value or value in ("no", "none")


def check_machine(recipe: str, config: Any) -> None:
    """Refuses what this machine or its packages cannot do, which else would show when a run is under way.

    Args:
        config: a complete `transformers.TrainingArguments`.

    Raises:
        ConfigError: fp16 on a CPU, a tracker, optimiser or schedule that is not there, or data loader settings that
            contradict each other.
    """
    if config.mixed_precision == "fp16" and config.device.type == "cpu":
        raise ConfigError("fp16 needs a GPU, and this run is on the CPU; leave it out, or take bf16")
    for name in config.report_to:
        _check_tracker(recipe, name)
    if config.dataloader_num_workers == 0 and (
        config.dataloader_persistent_workers or config.dataloader_prefetch_factor is not None
    ):
        raise ConfigError(
            "dataloader_persistent_workers and dataloader_prefetch_factor are about workers, but "
            "dataloader_num_workers=0; set it to 1 or more"
        )
    _check_optimizer(config)


def _check_tracker(recipe: str, name: str) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS
    from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

    known = set(LOGGER_TYPE_TO_CLASS if recipe == "ppo" else INTEGRATION_TO_CALLBACK)
    if name not in known:
        several = "; several are given as `--report_to tensorboard trackio`" if {",", " "} & set(name) else ""
        alone = "none, which stands alone" if name == "none" else "none"
        raise ConfigError(
            f"report_to={name!r} is unknown here{several}; choose among {', '.join(sorted(known))}, or {alone}"
        )
    if name not in get_available_reporting_integrations():
        raise ConfigError(f"report_to={name!r}, which is not installed; `pip install {name}`, or leave report_to out")


def _check_optimizer(config: Any) -> None:
    """Makes the optimiser and the schedule once, for a parameter that nothing reads."""
    import torch
    from transformers import Trainer, get_scheduler

    try:
        Trainer.get_optimizer_cls_and_kwargs(config)
    except (ValueError, ImportError, RuntimeError, AttributeError) as error:
        raise ConfigError(f"optim={str(config.optim.value)!r} cannot be used: {error}") from error
    parameter = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    try:
        get_scheduler(config.lr_scheduler_type, parameter, 1, 10, scheduler_specific_kwargs=config.lr_scheduler_kwargs)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"lr_scheduler_type={str(config.lr_scheduler_type.value)!r} with lr_scheduler_kwargs="
            f"{config.lr_scheduler_kwargs} cannot be used: {error}"
        ) from error


def fields_table() -> Iterator[str]:
    """Lines of Markdown: for each recipe the fields by what is done with them, refused ones by their reason."""
    shown = {
        "judgement": "judgement",
        "imitation": "imitation",
        "dpo": "dpo, self_improvement",
        "ppo": "ppo",
        "search": "search",
        "sft": "sft",
        "dpo_language": "dpo_language",
        "grpo": "grpo",
    }
    for recipe, title in shown.items():
        rules = RULES[recipe]
        yield from (f"### {title}", "", "| fields | |", "|---|---|")
        for use in (Use.HONOURED, Use.BESIDES):
            names = [name if not rule.never else f"{name} (not {', '.join(map(str, rule.never))}: {rule.reason})"
                     for name, rule in sorted(rules.items()) if rule.use is use]  # fmt: skip
            yield f"| {', '.join(names)} | {use.value} |"
        reasons: dict[str, list[str]] = {}
        for name, rule in sorted(rules.items()):
            if rule.use is Use.REFUSED:
                reasons.setdefault(rule.reason, []).append(name)
        yield from (f"| {', '.join(names)} | refused: {reason} |" for reason, names in sorted(reasons.items()))
        yield ""

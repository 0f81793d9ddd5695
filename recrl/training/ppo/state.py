"""A PPO run while it trains: the one object that the loop, its updates and its checkpoints share."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import enable_full_determinism, get_scheduler, set_seed

from recrl.environments.protocols import Environment
from recrl.episodes.decisions import LabelledDecision
from recrl.policies.scorer import ScorerPolicy
from recrl.training.ppo.collector import Collector
from recrl.training.ppo.config import PPOConfig
from recrl.training.tuning import TuningArguments, decayed_parameters, parameter_groups, prepare_for_training

OnDev = Callable[[ScorerPolicy], Mapping[str, float]]


@dataclass(eq=False)
class PPOState:
    """What changes in a run, and what it is changed by.

    Attributes:
        model: what is trained, as ``accelerator`` prepared it; ``policy.model`` is the same one without its wrapper.
        policy: plays with the model's present weights.
        reference: the start, which the KL penalty pulls to; None without a penalty.
        collector: the environments of this process, numbered ``env_numbers`` among those of all processes.
        demonstrations: decisions for the imitation term, drawn by ``demonstration_rng``.
        on_dev: a policy -> ``dev/score`` and more on dev goals; None where none are played.
        update: the number of the update under way, 0 before the first.
        log: one entry for each update that has ended.
        best_update, best_score: the highest score on dev goals so far, the earliest of equal ones; update 0 is the
            start. Known to the main process.
        start_on_dev: the start's measures on dev goals; empty in other processes, or where none are played.
    """

    config: PPOConfig
    accelerator: Accelerator
    model: Any
    optimizer: Any
    scheduler: Any
    tokenizer: Any
    policy: ScorerPolicy
    reference: ScorerPolicy | None
    collector: Collector
    env_numbers: range
    demonstrations: Sequence[LabelledDecision]
    demonstration_rng: np.random.Generator
    on_dev: OnDev | None
    update: int = 0
    log: list[dict[str, float]] = field(default_factory=list)
    best_update: int = 0
    best_score: float = -1.0
    start_on_dev: dict[str, float] = field(default_factory=dict)

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.config.output_dir or "")

    @classmethod
    def create(
        cls,
        model: Any,
        tokenizer: Any,
        make_env: Callable[[int], Environment],
        tuning: TuningArguments,
        config: PPOConfig,
        *,
        demonstrations: Sequence[LabelledDecision] = (),
        on_dev: OnDev | None = None,
    ) -> "PPOState":
        """A run before its first update.

        Args:
            model: the scorer to start from.
            make_env: number of an environment, over all processes -> the environment, seeded.
        """
        accelerator = Accelerator(
            cpu=config.use_cpu,
            mixed_precision="bf16" if config.bf16 else "fp16" if config.fp16 else None,
            log_with=None if config.report_to in ("none", []) else config.report_to,
            project_dir=str(Path(config.output_dir or "") / "runs"),  # where transformers' trainer puts them too
        )
        enable_full_determinism(config.seed) if config.full_determinism else set_seed(config.seed)
        start = copy.deepcopy(model).to(accelerator.device) if config.kl_coef else None
        model = prepare_for_training(model, tuning).eval()  # dropout stays off
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config, decayed=decayed_parameters(model)),
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
        )
        scheduler = get_scheduler(
            config.lr_scheduler_type,
            optimizer,
            0,
            config.num_updates,
            scheduler_specific_kwargs=config.lr_scheduler_kwargs,  # type: ignore[arg-type]  # a text was parsed
        )
        model, optimizer = accelerator.prepare(model, optimizer)
        policy = ScorerPolicy(accelerator.unwrap_model(model), tokenizer, name="ppo")
        reference = None
        if start is not None:
            if not tuning.use_peft:
                start.kept_encodings = policy.model.kept_encodings  # a frozen encoder is the same one
            reference = ScorerPolicy(start, tokenizer, name="reference")
        first = accelerator.process_index * config.num_envs
        env_numbers = range(first, first + config.num_envs)
        collector = Collector(
            [make_env(number) for number in env_numbers],
            [np.random.default_rng([config.seed, number, 1]) for number in env_numbers],
            reward_scale=config.reward_scale,
            bootstrap_at_limit=config.bootstrap_at_limit,
        )
        return cls(
            config=config,
            accelerator=accelerator,
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            tokenizer=tokenizer,
            policy=policy,
            reference=reference,
            collector=collector,
            env_numbers=env_numbers,
            demonstrations=demonstrations,
            demonstration_rng=np.random.default_rng([config.seed, 2]),
            on_dev=on_dev if config.eval_every > 0 else None,
        )

"""Proximal policy optimisation (arXiv:1707.06347) of a choice scorer, in one loop around `accelerate`.

Collect steps in environments side by side, estimate advantages, make several passes over the steps in minibatches; on
several processes each has environments of its own and the gradients are averaged. As in arXiv:2408.16032 it starts from
imitation and can keep an imitation term; as in WebShop's own agent (arXiv:2207.01206) there is an entropy term.

What those papers leave open, and ours: the value loss is clipped and starts alone, while the policy waits
(``value_warmup``), because the value head of an imitation start knows nothing and its first advantages would be noise;
a penalty on the exact KL to the start; an update ends early when the policy has moved ``target_kl`` from the one that
collected; advantages are normalised over the collection and all processes, from pages with a choice only.

Every number in the log is explained in `recrl.training.ppo.metrics`.
"""

import copy
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import TrainingArguments, get_scheduler, set_seed

from recrl.episodes.data import load_episodes
from recrl.errors import ConfigError
from recrl.files import finite_or_none
from recrl.policies.scorer import ScorerPolicy
from recrl.queries.proposing import describe_queries
from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.training.environment import EnvironmentArguments
from recrl.training.imitation import decisions_of
from recrl.training.ppo.advantages import explained_variance
from recrl.training.ppo.buffer import Collector, RolloutBuffer
from recrl.training.ppo.checkpoints import BEST_FOLDER, OnDev, keep_best, resume_checkpoint, save_checkpoint
from recrl.training.ppo.losses import categorical_kl, clipped_policy_loss, clipped_value_loss, entropies
from recrl.training.ppo.metrics import METRICS, episode_metrics
from recrl.training.runs import training_run
from recrl.training.tuning import TuningArguments, parameter_groups, prepare_for_training
from recrl.webshop.env import WebShopEnv

logger = logging.getLogger(__name__)

# What transformers' trainer reads and this loop does not -> what takes its place here.
NOT_READ = {
    "num_train_epochs": "num_updates and num_passes",
    "max_steps": "num_updates, or max_episode_steps",
    "per_device_train_batch_size": "num_envs, num_steps and num_minibatches",
    "gradient_accumulation_steps": "num_minibatches",
    "warmup_steps": "value_warmup",
    "eval_steps": "eval_every",
    "save_steps": "save_every",
}


@dataclass
class PPOArguments:
    """What is learned from, and by which model."""

    model_name_or_path: str = field(
        metadata={"help": "The scorer to start from, by folder or Hub id; also the reference of the KL penalty."}
    )
    demonstrations: str | None = field(
        default=None, metadata={"help": "Trajectory dataset for the imitation term; needed if imitation_coef is not 0."}
    )


@dataclass
class PPOConfig(TrainingArguments):
    """The loop's settings; transformers' names where it has them, with our defaults."""

    output_dir: str | None = field(default="runs/ppo", metadata={"help": "Where the run's folder is made."})
    num_updates: int = field(default=20, metadata={"help": "Collections, each followed by an update."})
    num_envs: int = field(default=16, metadata={"help": "Environments side by side in each process."})
    num_steps: int = field(default=32, metadata={"help": "Steps of every environment in a collection."})
    num_minibatches: int = field(default=16, metadata={"help": "Minibatches in a pass; must divide num_steps."})
    num_passes: int = field(default=2, metadata={"help": "Passes over the steps in an update."})
    gamma: float = field(default=1.0, metadata={"help": "Discount; 1: only the purchase is rewarded, steps are few."})
    gae_lambda: float = field(default=0.95, metadata={"help": "Lambda of generalised advantage estimation."})
    reward_scale: float = field(default=1.0, metadata={"help": "Rewards are multiplied by it for learning."})
    clip_range: float = field(default=0.2, metadata={"help": "Clip of the probability ratio."})
    value_clip_range: float | None = field(default=0.2, metadata={"help": "Clip of a value's change; null: none."})
    value_coef: float = field(default=0.5, metadata={"help": "Weight of the value loss."})
    value_warmup: int = field(default=2, metadata={"help": "First updates that fit the values only."})
    entropy_coef: float = field(default=0.0, metadata={"help": "Weight of the entropy, which is kept high."})
    kl_coef: float = field(default=0.1, metadata={"help": "Weight of the exact KL to the start."})
    target_kl: float | None = field(default=0.05, metadata={"help": "KL in nats that ends an update; null: never."})
    imitation_coef: float = field(default=0.0, metadata={"help": "Weight of the imitation term."})
    demonstration_batch_size: int = field(default=8, metadata={"help": "Demonstrated decisions a minibatch."})
    normalize_advantages: bool = field(default=True, metadata={"help": "To mean 0 and deviation 1 in a collection."})
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate of the encoder."})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the heads."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Learning-rate schedule over all updates."})
    max_grad_norm: float = field(default=0.5, metadata={"help": "Norm to which gradients are clipped."})
    eval_every: int = field(default=5, metadata={"help": "Updates between evaluations on dev goals; 0: none."})
    save_every: int = field(default=5, metadata={"help": "Updates between checkpoints to resume from."})
    report_to: str = field(default="none", metadata={"help": "trackio, tensorboard, wandb ... or none."})

    def __post_init__(self) -> None:
        for name, instead in NOT_READ.items():
            if getattr(self, name) != TrainingArguments.__dataclass_fields__[name].default:
                raise ConfigError(f"{name}={getattr(self, name)} has no meaning for PPO; set {instead}")
        super().__post_init__()
        if self.num_steps % self.num_minibatches:
            raise ConfigError(f"num_minibatches={self.num_minibatches} must divide num_steps={self.num_steps}")
        for name in ("num_updates", "num_envs", "num_steps", "num_minibatches", "num_passes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}, expected at least 1")
        if not (0 < self.gamma <= 1 and 0 <= self.gae_lambda <= 1 and self.clip_range > 0):
            raise ConfigError(
                f"gamma={self.gamma}, gae_lambda={self.gae_lambda}, clip_range={self.clip_range}: expected a discount "
                "in (0, 1], a lambda in [0, 1], a positive clip range"
            )


def train_ppo(
    arguments: PPOArguments, environment: EnvironmentArguments, tuning: TuningArguments, config: PPOConfig
) -> Path:
    """Trains a scorer in the environment; saves the best on dev goals, the start included, in ``config.output_dir``.

    An interrupted run goes on from its last checkpoint and ends with the numbers of an uninterrupted one.

    Raises:
        CatalogError, CheckpointError, ConfigError, DatasetError: see the modules that read them.
    """
    if bool(config.imitation_coef) != (arguments.demonstrations is not None):
        raise ConfigError(
            f"imitation_coef={config.imitation_coef} and demonstrations={arguments.demonstrations!r}: expected both or "
            "neither"
        )
    catalog = environment.load_catalog()
    demonstrations = [] if arguments.demonstrations is None else decisions_of(load_episodes(arguments.demonstrations))
    model, tokenizer = load_scorer(arguments.model_name_or_path)
    queries = environment.load_queries()
    model.config.catalog_sha256 = catalog.sha256

    def make_env(number: int) -> WebShopEnv:
        return environment.make_env(catalog, queries, np.random.default_rng([config.seed, number, 0]))

    def on_dev(policy: ScorerPolicy) -> dict[str, float]:
        result = environment.evaluate_on_dev(policy, catalog, queries)
        return {"dev/success": result.success_rate, "dev/score": result.score}

    settings = {"arguments": arguments, "environment": environment, "tuning": tuning}
    files = {BEST_FOLDER: "while it trains: the best scorer on dev goals so far"}
    with training_run("ppo", config, settings, files=files) as run:
        log, best = ppo_loop(model, tokenizer, make_env, tuning, config, on_dev, demonstrations, run.checkpoint)
        if config.should_save:
            about = {
                "method": "ppo",
                "num_updates": config.num_updates,
                "num_processes": config.world_size,
                "num_environment_steps": config.num_updates * config.num_steps * config.num_envs * config.world_size,
                **({"num_decisions": len(demonstrations)} if demonstrations else {}),
                "global_step": config.num_updates,
                "best_update": best,
                "protocol": catalog.protocol(environment.split_by),
                "catalog_sha256": catalog.sha256,
                "goals_sha256": catalog.goals_sha256,
                **describe_queries(queries),
                "log_history": log,
            }
            run.complete(about)
            shutil.rmtree(run.folder.path / BEST_FOLDER, ignore_errors=True)
    return Path(config.output_dir or "")


def ppo_loop(
    model: Any,
    tokenizer: Any,
    make_env: Callable[[int], Any],
    tuning: TuningArguments,
    config: PPOConfig,
    on_dev: OnDev | None = None,
    demonstrations: Sequence[Mapping[str, Any]] = (),
    resume: Path | None = None,
) -> tuple[list[dict[str, float]], int]:
    """The loop. The best model on dev goals (without ``on_dev`` the last) ends up in ``config.output_dir``.

    Args:
        make_env: number of an environment, over all processes -> the environment, seeded.
        on_dev: a policy -> ``dev/score`` and more; the best score is kept, the earliest of equal ones.

    Returns:
        the log, one entry per update, and the number of the best update (0: the start).
    """
    output_dir = Path(config.output_dir or "")
    accelerator = Accelerator(
        cpu=config.use_cpu,
        mixed_precision="bf16" if config.bf16 else "fp16" if config.fp16 else None,
        log_with=None if config.report_to in ("none", []) else config.report_to,
        project_dir=str(output_dir),
    )
    set_seed(config.seed)
    numbers = _env_numbers(accelerator, config)
    start = copy.deepcopy(model).to(accelerator.device) if config.kl_coef else None
    model = prepare_for_training(model, tuning).eval()  # dropout stays off
    optimizer = torch.optim.AdamW(parameter_groups(model, config, decayed=()), eps=config.adam_epsilon)
    scheduler = get_scheduler(config.lr_scheduler_type, optimizer, 0, config.num_updates)
    model, optimizer = accelerator.prepare(model, optimizer)
    plain = accelerator.unwrap_model(model)
    policy = ScorerPolicy(plain, tokenizer, name="ppo")
    reference = None
    if start is not None:
        if not tuning.use_peft:
            start.kept_encodings = plain.kept_encodings  # a frozen encoder is the same one
        reference = ScorerPolicy(start, tokenizer).outputs
    collector = Collector(
        [make_env(number) for number in numbers],
        [np.random.default_rng([config.seed, number, 1]) for number in numbers],
        reward_scale=config.reward_scale,
    )
    collator = ChoiceCollator(tokenizer, plain.config)
    demonstration_rng = np.random.default_rng([config.seed, 2])
    log: list[dict[str, float]] = []
    best: dict[str, float] = {"update": 0, "dev/score": -1.0}
    accelerator.init_trackers(output_dir.name or "ppo")
    if resume is not None:
        log, best = resume_checkpoint(resume, accelerator, scheduler, collector, demonstration_rng)
    on_dev = on_dev if config.eval_every > 0 else None
    for update in range(len(log) + 1, config.num_updates + 1):
        if on_dev is not None and update == 1:
            keep_best(policy, on_dev, best, 0, accelerator, tokenizer, output_dir)
        started = time.monotonic()
        policy.forget()
        buffer, episodes = collector.collect(config.num_steps, policy.outputs, reference)
        seconds = time.monotonic() - started
        buffer.finish(config.gamma, config.gae_lambda)
        entry = _update(
            model, optimizer, collator, buffer, demonstrations, demonstration_rng, accelerator, config, update
        )
        scheduler.step()
        policy.forget()
        steps = config.num_steps * config.num_envs * accelerator.num_processes
        entry |= episode_metrics(gather_object(episodes)) | {
            "update": update,
            "train/steps": update * steps,
            "train/steps_per_second": steps / seconds,
            "train/learning_rate": scheduler.get_last_lr()[-1],
        }
        last = update == config.num_updates
        if on_dev is not None and (last or update % config.eval_every == 0):
            entry |= keep_best(policy, on_dev, best, update, accelerator, tokenizer, output_dir)
        log.append(finite_or_none(entry))
        accelerator.log({name: value for name, value in entry.items() if name in METRICS}, step=update)
        if accelerator.is_main_process:
            logger.info("%s", {name: round(value, 4) for name, value in entry.items()})
        if not last and update % config.save_every == 0:
            save_checkpoint(output_dir, update, accelerator, scheduler, collector, demonstration_rng, log, best)
    if accelerator.is_main_process:
        if on_dev is not None:
            save_scorer(*load_scorer(output_dir / BEST_FOLDER), output_dir)
        else:
            save_scorer(plain, tokenizer, output_dir)
            best["update"] = config.num_updates
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return log, int(best["update"])


def _env_numbers(accelerator: Accelerator, config: PPOConfig) -> range:
    """Which of all environments this process plays."""
    return range(accelerator.process_index * config.num_envs, (accelerator.process_index + 1) * config.num_envs)


def _update(
    model: Any,
    optimizer: Any,
    collator: ChoiceCollator,
    buffer: RolloutBuffer,
    demonstrations: Sequence[Mapping[str, Any]],
    demonstration_rng: np.random.Generator,
    accelerator: Accelerator,
    config: PPOConfig,
    update: int,
) -> dict[str, float]:
    """Several passes over the collected steps; returns what the log says of them."""
    rank, processes = accelerator.process_index, accelerator.num_processes
    advantages = buffer.advantages
    if config.normalize_advantages:
        gathered = np.concatenate(gather_object([advantages[buffer.is_choice]]))
        advantages = (advantages - gathered.mean()) / (gathered.std() + 1e-8) if len(gathered) else advantages
    first_ratio, means, passes = 1.0, {}, 0
    while passes < config.num_passes:
        orders = [
            np.random.default_rng([config.seed, number, update, passes, 3]).permutation(config.num_steps)
            for number in _env_numbers(accelerator, config)
        ]
        noted: list[dict[str, float]] = []
        for places in buffer.minibatches(config.num_minibatches, orders):
            drawn = []
            if demonstrations:  # the same draw on every process, of which each takes its part
                drawn = demonstration_rng.choice(len(demonstrations), config.demonstration_batch_size * processes)
                drawn = drawn[rank::processes].tolist()
            shown = [demonstrations[row] for row in drawn]
            loss, notes = _loss(model, collator, buffer, advantages, places, shown, accelerator, config, update)
            accelerator.backward(loss)
            if update <= config.value_warmup:
                _leave_only_values(model)
            notes["train/gradient_norm"] = float(accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm))
            optimizer.step()
            optimizer.zero_grad()
            noted.append(notes)
        if passes == 0:
            first_ratio = noted[0]["ratio"]
        passes += 1
        local = {name: float(np.mean([notes[name] for notes in noted])) for name in noted[0]} | {"first": first_ratio}
        gathered_means = gather_object([local])
        means = {name: float(np.mean([one[name] for one in gathered_means])) for name in local}
        if config.target_kl is not None and means["policy/kl_old"] > config.target_kl:
            break
    returns, values = (np.concatenate(gather_object([part.ravel()])) for part in (buffer.returns, buffer.values))
    return {name: value for name, value in means.items() if name in METRICS} | {
        "policy/ratio_first": means["first"],
        "policy/passes": passes,
        "value/explained_variance": explained_variance(values, returns),
    }


def _leave_only_values(model: Any) -> None:
    """Drops every gradient but the value head's, so that neither the heads of the policy nor the encoder move."""
    for name, parameter in model.named_parameters():
        if "value_head" not in name:
            parameter.grad = None


def _loss(
    model: Any,
    collator: ChoiceCollator,
    buffer: RolloutBuffer,
    advantages: np.ndarray,
    places: np.ndarray,
    shown: Sequence[Mapping[str, Any]],
    accelerator: Accelerator,
    config: PPOConfig,
    update: int,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of one minibatch, and what the log says of it.

    Args:
        places: (decisions, 2) steps and environments; shown: demonstrated decisions, which go through the model with
        them.
    """
    device, count = accelerator.device, len(places)
    at = tuple(places.T)
    pages = [buffer.decisions[step][env] for step, env in places]
    rows = [dict(page) for page in pages]
    rows += [{name: value for name, value in row.items() if name != "action_index"} for row in shown]
    output = model(**{name: tensor.to(device) for name, tensor in collator(rows).items()})
    log_probs = output.log_probs[:count]  # (decisions, actions)
    width = output.log_probs.shape[1]

    def numbers(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values[at], dtype=torch.float32, device=device)

    old = _padded([buffer.page_log_probs[step][env] for step, env in places], width, device)
    taken = torch.as_tensor(buffer.action_index[at], device=device)[:, None]
    new_taken, old_taken = (matrix.gather(1, taken)[:, 0] for matrix in (log_probs, old))
    # Pages without a choice teach the values only. Divided by the mean number of choices on a process, so that the
    # average of the processes' gradients is the gradient of the mean over all.
    choice = log_probs.isfinite().sum(-1) > 1
    choices = accelerator.reduce(choice.sum().float(), "sum").clamp(min=1) / accelerator.num_processes

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (values * choice).sum() / choices

    policy = mean(clipped_policy_loss(new_taken, old_taken, numbers(advantages), config.clip_range))
    value = clipped_value_loss(
        output.state_values[:count], numbers(buffer.values), numbers(buffer.returns), config.value_clip_range
    ).mean()
    entropy = entropies(log_probs)
    total = policy - config.entropy_coef * mean(entropy)
    kl_reference = torch.zeros((), device=device)
    if buffer.reference_log_probs:
        reference = _padded([buffer.reference_log_probs[step][env] for step, env in places], width, device)
        kl_reference = mean(categorical_kl(log_probs, reference))
        total = total + config.kl_coef * kl_reference
    imitation = torch.zeros((), device=device)
    if shown:
        labels = torch.tensor([row["action_index"] for row in shown], device=device)
        imitation = torch.nn.functional.nll_loss(output.log_probs[count:], labels)
        total = total + config.imitation_coef * imitation
    if update <= config.value_warmup:
        total = 0.0 * total  # not left out: every process must have a gradient of every parameter
    with torch.no_grad():
        ratio = (new_taken - old_taken).exp()
        most = log_probs.isfinite().sum(-1).clamp(min=2).float().log()
        notes = {
            "ratio": mean(ratio),
            "policy/clip_fraction": mean(((ratio - 1).abs() > config.clip_range).float()),
            "policy/kl_old": mean(categorical_kl(old, log_probs)),
            "policy/kl_reference": kl_reference,
            "policy/entropy": mean(entropy / most),
            "loss/policy": policy,
            "loss/value": value,
            "loss/imitation": imitation,
        }
    return total + config.value_coef * value, {name: float(number.detach()) for name, number in notes.items()}


def _padded(rows: Sequence[np.ndarray], width: int, device: Any) -> torch.Tensor:
    """(actions,) arrays -> (rows, width), -inf where a row has ended."""
    matrix = torch.full((len(rows), width), -torch.inf)
    for row, values in enumerate(rows):
        matrix[row, : len(values)] = torch.as_tensor(values)
    return matrix.to(device)

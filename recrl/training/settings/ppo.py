"""What PPO can be told."""

from dataclasses import dataclass, field

from recrl.training.settings.trainer import OUTPUT_DIR_HELP, RunSettings


@dataclass
class PPOArguments:
    """What is learned from, and by which model."""

    model_name_or_path: str = field(
        metadata={"help": "The scorer to start from, by folder or Hub id; also the reference of the KL penalty."}
    )
    demonstrations: list[str] | None = field(
        default=None,
        metadata={"help": "Trajectory datasets for the imitation term; needed if imitation_coef is not 0."},
    )

    def __post_init__(self) -> None:
        if isinstance(self.demonstrations, str):  # one, given from Python
            self.demonstrations = [self.demonstrations]


@dataclass
class PPOSettings(RunSettings):
    """Training."""

    output_dir: str | None = field(default="runs/ppo", metadata=OUTPUT_DIR_HELP)
    num_updates: int = field(default=20, metadata={"help": "Collections, each followed by an update."})
    num_envs: int = field(default=16, metadata={"help": "Environments side by side in each process."})
    envs_per_goal: int = field(
        default=1,
        metadata={
            "help": "Environments that play the same goals, each with actions of its own; must divide num_envs. "
            "Above 1 the goal's other episodes are a baseline of each: what they earned beyond what the values expect."
        },
    )
    num_steps: int = field(default=32, metadata={"help": "Steps of every environment in a collection."})
    num_minibatches: int = field(default=16, metadata={"help": "Minibatches in a pass; must divide num_steps."})
    num_passes: int = field(default=2, metadata={"help": "Passes over the steps in an update."})
    gamma: float = field(
        default=1.0, metadata={"help": "Discount factor of later rewards, from 0 to 1; 1 counts them in full."}
    )
    gae_lambda: float = field(default=0.95, metadata={"help": "Lambda of generalised advantage estimation."})
    bootstrap_at_limit: bool = field(
        default=False,
        metadata={
            "help": "Take the step limit as a break, after which the page's value counts, not as an end that pays 0."
        },
    )
    reward_scale: float = field(default=1.0, metadata={"help": "Rewards are multiplied by it for learning."})
    clip_range: float = field(
        default=0.2, metadata={"help": "Range, around 1, to which the ratio of new to old probability is clipped."}
    )
    value_clip_range: float | None = field(
        default=0.2, metadata={"help": "Most that a value may change in an update; null: no limit."}
    )
    value_coef: float = field(default=0.5, metadata={"help": "Weight of the value loss."})
    value_warmup: int = field(
        default=2, metadata={"help": "First updates that fit the values only, without their clip."}
    )
    value_warmup_passes: int = field(default=10, metadata={"help": "Passes over the steps in each of them."})
    entropy_coef: float = field(
        default=0.0, metadata={"help": "Weight of the bonus for entropy: higher keeps the policy more random."}
    )
    kl_coef: float = field(default=0.1, metadata={"help": "Weight of the exact KL divergence to the start."})
    target_kl: float | None = field(
        default=0.05,
        metadata={
            "help": "KL divergence, in nats, to the collecting policy at which an update ends early; null: never."
        },
    )
    imitation_coef: float = field(default=0.0, metadata={"help": "Weight of the imitation term."})
    demonstration_batch_size: int = field(default=8, metadata={"help": "Demonstrated decisions in each minibatch."})
    normalize_advantages: bool = field(
        default=True, metadata={"help": "Scale the advantages of a collection to mean 0 and standard deviation 1."}
    )
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate of the encoder."})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the heads."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Learning-rate schedule over all updates."})
    max_grad_norm: float = field(default=0.5, metadata={"help": "Norm to which gradients are clipped."})
    eval_every: int = field(default=5, metadata={"help": "Updates between evaluations on dev goals; 0: none."})
    save_every: int = field(default=5, metadata={"help": "Updates between checkpoints to resume from."})

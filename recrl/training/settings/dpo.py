"""What DPO can be told."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.preferences.config import (
    CHOSEN_MIN_REWARD_HELP,
    NUM_TRAJECTORIES_HELP,
    PAIRS_HELP,
    WEIGHT_BY_MARGIN_HELP,
)
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings


@dataclass
class DPOArguments:
    """What is learned from, and by which model."""

    model_name_or_path: str = field(
        metadata={"help": "The scorer to start from, by folder or Hub id, which is the reference policy too."}
    )
    trajectories: str | None = field(
        default=None, metadata={"help": "Trajectory dataset: a folder of `recrl generate-trajectories`."}
    )
    preferences: str | None = field(
        default=None, metadata={"help": "A ready preference dataset, instead of trajectories."}
    )
    ref_model_name_or_path: str | None = field(
        default=None, metadata={"help": "Another scorer as pi_ref of pairs and loss; default: the start."}
    )
    pairs: list[str] = field(default_factory=lambda: ["steps"], metadata=PAIRS_HELP)
    num_trajectories: int | None = field(default=None, metadata=NUM_TRAJECTORIES_HELP)
    min_reward: float = field(default=1.0, metadata=CHOSEN_MIN_REWARD_HELP)
    weight_by_margin: bool = field(default=False, metadata=WEIGHT_BY_MARGIN_HELP)
    pairs_seed: int = field(default=0, metadata={"help": "Seed of the rejected actions' draws, and of resampling."})

    def __post_init__(self) -> None:
        if (self.trajectories is None) == (self.preferences is None):
            got = "none" if self.trajectories is None else "both"
            raise ConfigError(f"expected either trajectories or preferences, got {got}")
        from recrl.preferences.builders import check_builders

        check_builders(self.pairs)
        if not 0 <= self.min_reward <= 1:
            raise ConfigError(f"min_reward={self.min_reward}, expected a number from 0 to 1")
        made = {"pairs": ["steps"], "min_reward": 1.0, "weight_by_margin": False, "num_trajectories": None}
        for name, default in made.items():
            if self.preferences is not None and getattr(self, name) != default:
                raise ConfigError(f"{name} is for pairs that are made of trajectories; {self.preferences} has its own")


@dataclass
class PairSettings(TrainerSettings):
    """Training on pairs."""

    num_train_epochs: float = field(default=2.0, metadata={"help": "Passes over the pairs."})
    per_device_train_batch_size: int = field(
        default=16, metadata={"help": "Pairs that each process reads in one step."}
    )
    beta: float = field(
        default=0.1, metadata={"help": "How strongly the policy is held to the reference; higher: it moves less."}
    )
    loss_type: list[str] = field(
        default_factory=lambda: ["sigmoid"],
        metadata={"help": "Loss, or losses that are added up: sigmoid (DPO's own), sft, ipo, hinge ...; see TRL."},
    )
    loss_weights: list[float] | None = field(
        default=None, metadata={"help": "A weight for each loss; without them all weigh 1."}
    )
    precompute_ref_log_probs: bool = field(
        default=False, metadata={"help": "Score all pairs with the reference once, before training."}
    )
    gradient_checkpointing: bool | None = field(  # None: off without a warning
        default=None, metadata={"help": "Less memory for a slower step (TRL's default is on, ours off)."}
    )


@dataclass
class DPOSettings(PairSettings):
    """Training."""

    output_dir: str | None = field(default="runs/dpo", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate of the encoder."})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the heads."})

"""What imitation can be told."""

from dataclasses import dataclass, field

from recrl.scoring.inputs import ACTION_FEATURES, PLAIN_FEATURES
from recrl.settings import check_at_least
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings


@dataclass
class ImitationArguments:
    """What is imitated, and by which model."""

    demonstrations: list[str] = field(
        metadata={"help": "Trajectory datasets, one or more: folders of `recrl generate-trajectories`, or Hub ids."}
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "BERT-family encoder, by Hub id or folder; default: MiniLM-L6."}
    )
    start_from: str | None = field(
        default=None, metadata={"help": "A scorer checkpoint to go on from, instead of an encoder with new heads."}
    )
    num_demonstrations: int | None = field(
        default=None, metadata={"help": "Use the first N demonstrations only; default: all."}
    )
    action_features: list[str] = field(
        default_factory=lambda: list(PLAIN_FEATURES),
        metadata={"help": f"Numbers about each action that the scorer reads, of: {', '.join(ACTION_FEATURES)}."},
    )
    state_form: str = field(
        default="compact",
        metadata={"help": "How a state is written: compact, or full as in the paper; see recrl/scoring/inputs.py."},
    )
    similarity: bool = field(default=True, metadata={"help": "Start from the encoder's own cosine similarity."})
    max_state_tokens: int = field(default=256, metadata={"help": "Longest state, in tokens."})
    linear_probe: bool = field(
        default=True,
        metadata={"help": "Fit the weights of the numbers about actions first, by a linear model, before fine-tuning."},
    )
    max_action_tokens: int = field(default=64, metadata={"help": "Longest action text, in tokens."})

    def __post_init__(self) -> None:
        if isinstance(self.demonstrations, str):  # one, given from Python
            self.demonstrations = [self.demonstrations]
        check_at_least(self, 1, "num_demonstrations", "max_state_tokens", "max_action_tokens")


@dataclass
class ImitationSettings(TrainerSettings):
    """Training."""

    output_dir: str | None = field(default="runs/imitation", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=3e-5, metadata={"help": "Learning rate of the encoder."})
    head_learning_rate: float = field(default=3e-4, metadata={"help": "Learning rate of the new heads."})
    num_train_epochs: float = field(default=3.0, metadata={"help": "Passes over the demonstrations."})
    per_device_train_batch_size: int = field(
        default=8, metadata={"help": "Decisions that each process reads in one step."}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's weight decay."})

"""What SFT of a language model can be told."""

from dataclasses import dataclass, field

from recrl.language.choices import CHAT_TEMPLATE_HELP, MOST_WORDS, MOST_WORDS_HELP
from recrl.preferences.exporting import check_form
from recrl.settings import check_at_least
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings


@dataclass
class SFTArguments:
    """What is imitated, and by which language model."""

    model_name_or_path: str = field(
        metadata={"help": "Causal language model with a chat template, or an adapter, by folder or Hub id."}
    )
    demonstrations: list[str] = field(
        metadata={"help": "Trajectory datasets, one or more: folders of `recrl generate-trajectories`, or Hub ids."}
    )
    num_demonstrations: int | None = field(
        default=None, metadata={"help": "Use the first N demonstrations only; default: all."}
    )
    unit: str = field(
        default="decision", metadata={"help": "decision makes a row for each decision, episode one for each episode."}
    )
    tools: bool = field(default=False, metadata={"help": "Write episodes as calls of tools, as recipes/grpo.py plays."})
    most_words: int | None = field(default=MOST_WORDS, metadata=MOST_WORDS_HELP)
    chat_template: str | None = field(default=None, metadata=CHAT_TEMPLATE_HELP)

    def __post_init__(self) -> None:
        if isinstance(self.demonstrations, str):  # one, given from Python
            self.demonstrations = [self.demonstrations]
        check_form("messages", self.unit, self.tools)
        check_at_least(self, 1, "num_demonstrations")
        check_at_least(self, 0, "most_words")


@dataclass
class SFTSettings(TrainerSettings):
    """Training."""

    output_dir: str | None = field(default="runs/sft", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=2e-4, metadata={"help": "Learning rate; 2e-5 suits training all weights."})
    num_train_epochs: float = field(default=2.0, metadata={"help": "Passes over the rows."})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "Rows that each process reads in one step."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning-rate schedule."})
    max_length: int | None = field(default=4096, metadata={"help": "Longest row, in tokens; longer ones are left out."})
    gradient_checkpointing: bool | None = field(  # None: off without a warning
        default=None, metadata={"help": "Less memory for a slower step (TRL's default is on, ours off)."}
    )

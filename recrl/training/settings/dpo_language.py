"""What DPO of a language model can be told."""

from dataclasses import dataclass, field

from recrl.training.settings.dpo import DPOArguments, PairSettings
from recrl.training.settings.trainer import OUTPUT_DIR_HELP


@dataclass
class LanguageDPOArguments(DPOArguments):
    """What is learned from, and by which language model."""

    model_name_or_path: str = field(
        metadata={"help": "Causal language model or adapter to start from, by folder or Hub id; also the reference."}
    )
    ref_model_name_or_path: str | None = field(
        default=None, metadata={"help": "Another language model as reference of pairs and loss; default: the start."}
    )


@dataclass
class LanguageDPOSettings(PairSettings):
    """Training."""

    output_dir: str | None = field(default="runs/dpo_language", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=5e-5, metadata={"help": "Learning rate; 5e-7 suits training all weights."})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "Pairs that each process reads in one step."})
    max_length: int | None = field(
        default=4096, metadata={"help": "Longest side, in tokens; longer ones are left out."}
    )

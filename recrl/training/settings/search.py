"""What the training of a query model can be told."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings


@dataclass
class QueryArguments:
    """What is learned, and by which model."""

    pairs: str = field(
        metadata={
            "help": "JSON object, instruction -> list of queries (goal_query_map.json), or a dataset's folder or Hub "
            "id with the columns instruction and query."
        }
    )
    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Sequence-to-sequence model (facebook/bart-base) or BERT encoder, of which encoder and decoder are "
            "made, by Hub id or folder; default: MiniLM-L6."
        },
    )
    instructions: str | None = field(
        default=None,
        metadata={"help": "JSON list of more instructions (human_goals.json) for the first phase, without queries."},
    )
    num_copy_epochs: int = field(
        default=2, metadata={"help": "First phase: passes over all instructions with their content words; 0: none."}
    )
    num_decoder_layers: int | None = field(
        default=2,
        metadata={"help": "Layers of a decoder that is made of an encoder; null: as many as the encoder has."},
    )
    freeze_embeddings: bool = field(default=True, metadata={"help": "Leave the token embeddings as they are."})
    freeze_encoder: bool = field(default=True, metadata={"help": "Leave the encoder as it is: half of the time."})

    def __post_init__(self) -> None:
        if self.num_copy_epochs < 0:
            raise ConfigError(f"num_copy_epochs={self.num_copy_epochs}, expected 0 or more")


@dataclass
class QuerySettings(TrainerSettings):
    """Training."""

    output_dir: str | None = field(default="runs/search", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(
        default=1e-3, metadata={"help": "Learning rate; for a model that was trained to write, such as BART, 5e-5."}
    )
    num_train_epochs: float = field(
        default=5, metadata={"help": "Second phase: passes over the pairs, a whole number."}
    )
    per_device_train_batch_size: int = field(
        default=32, metadata={"help": "Pairs that each process reads in one step."}
    )
    warmup_steps: float = field(default=0.03, metadata={"help": "Warm-up: steps, or below 1 a share of all steps."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Learning-rate schedule over both phases."})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's weight decay."})
    logging_steps: float = field(default=20, metadata={"help": "Steps between log lines."})
    save_steps: float = field(default=200, metadata={"help": "Steps between checkpoints."})

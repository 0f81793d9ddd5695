"""The settings that recipes share; transformers' names, each with what it means here."""

from dataclasses import dataclass, field

OUTPUT_DIR_HELP = {"help": "Folder of the run; the same command goes on with an interrupted one."}


@dataclass
class RunSettings:
    """The run: where it goes, and what is said of it."""

    output_dir: str | None = field(default=None, metadata=OUTPUT_DIR_HELP)
    seed: int = field(default=42, metadata={"help": "Seed of everything that is drawn in training."})
    bf16: bool = field(
        default=False, metadata={"help": "Train in bf16 mixed precision, on GPUs that have it or on a CPU."}
    )
    report_to: str | list[str] = field(
        default_factory=lambda: ["none"],
        metadata={"help": "Trackers that get the log, one or several: trackio, tensorboard, wandb ... or none."},
    )
    run_name: str | None = field(default=None, metadata={"help": "Name of the run in the tracker."})
    push_to_hub: bool = field(default=False, metadata={"help": "Push the finished run to the Hub, with its card."})
    hub_model_id: str | None = field(default=None, metadata={"help": "user/name of the model on the Hub."})

    def __post_init__(self) -> None:
        if self.bf16:
            import torch

            if not torch.accelerator.is_available():  # else transformers would ask for use_cpu
                self.use_cpu = True
        super().__post_init__()  # type: ignore[misc]  # of transformers' TrainingArguments, which comes after this class


@dataclass
class TrainerSettings(RunSettings):
    """The steps of training."""

    max_steps: int = field(
        default=-1, metadata={"help": "Steps of training, whatever num_train_epochs says; -1: as it says."}
    )
    gradient_accumulation_steps: int = field(
        default=1, metadata={"help": "Batches whose gradients are added up for one step."}
    )
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up: steps, or below 1 a share of all steps."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Learning-rate schedule."})
    logging_steps: float = field(default=10, metadata={"help": "Steps between log lines."})
    save_steps: float = field(default=100, metadata={"help": "Steps between checkpoints."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Number of checkpoints that are kept."})

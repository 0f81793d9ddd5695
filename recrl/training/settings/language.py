"""What training a language model can be told, whatever the method."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.language.prompts import PromptSettings


@dataclass
class AdapterArguments:
    """What of the language model is trained, and how decisions are told to it."""

    use_peft: bool = field(default=True, metadata={"help": "Train a LoRA adapter; off: all weights."})
    lora_r: int = field(default=16, metadata={"help": "Rank of the LoRA adapters."})
    lora_alpha: int = field(default=32, metadata={"help": "Scale of the LoRA adapters, divided by their rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout probability of the LoRA adapters."})
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["all-linear"],
        metadata={"help": "Names of the linear layers that get adapters; all-linear is every one."},
    )
    lora_top_layers: int | None = field(
        default=None,
        metadata={"help": "Give only the N highest layers adapters: gradients stop there; without it all layers."},
    )
    merge_adapter: bool = field(
        default=False, metadata={"help": "Save the whole model with the adapter merged, instead of the adapter alone."}
    )
    dtype: str | None = field(
        default=None,
        metadata={"help": "Load the weights as float32, bfloat16 or float16; default: as they are stored."},
    )
    max_prompt_tokens: int | None = field(
        default=None,
        metadata={
            "help": "Most tokens of a prompt; the instruction and the actions are never cut. Default: as the start was "
            "trained, else 1024."
        },
    )
    notes: bool | None = field(
        default=None,
        metadata={
            "help": "Tell earlier actions, and what was read of opened products. Default: as the start was "
            "trained, else yes."
        },
    )

    def __post_init__(self) -> None:
        if self.lora_r < 1 or (self.lora_top_layers is not None and self.lora_top_layers < 1):
            raise ConfigError(f"lora_r={self.lora_r}, lora_top_layers={self.lora_top_layers}: expected 1 or more")
        if self.dtype not in (None, "float32", "bfloat16", "float16"):
            raise ConfigError(f"dtype={self.dtype!r}, expected float32, bfloat16 or float16")
        if not self.use_peft and (self.lora_top_layers is not None or self.merge_adapter):
            raise ConfigError("lora_top_layers and merge_adapter are for adapters; leave use_peft on")

    def prompt_after(self, start: PromptSettings) -> PromptSettings:
        """How decisions are told, where the start says what is not set here."""
        return PromptSettings(
            start.max_prompt_tokens if self.max_prompt_tokens is None else self.max_prompt_tokens,
            start.notes if self.notes is None else self.notes,
        )

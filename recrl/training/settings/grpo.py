"""What GRPO of a language model can be told."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.language.choices import CHAT_TEMPLATE_HELP, MOST_WORDS, MOST_WORDS_HELP
from recrl.rollouts.config import GOAL_DRAW_HELP, SPLIT_BY_HELP, CatalogSettings
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings
from recrl.webshop.goals import DEFAULT_SPLIT_BY


@dataclass
class GRPOArguments:
    """Which language model plays, and how much of the shop it sees."""

    model_name_or_path: str = field(
        metadata={"help": "Causal language model with a chat template, or an adapter, by folder or Hub id."}
    )
    chat_template: str | None = field(default=None, metadata=CHAT_TEMPLATE_HELP)
    num_goals: int = field(default=256, metadata={"help": "Training goals that are drawn; each makes a group."})
    most_words: int | None = field(default=MOST_WORDS, metadata=MOST_WORDS_HELP)
    max_turn_tokens: int | None = field(
        default=256,
        metadata={
            "help": "Most tokens that the model writes in one turn, a call or the last answer; what runs on without an "
            "end is cut there, and the episode ends. null: up to max_completion_length."
        },
    )

    def __post_init__(self) -> None:
        if self.max_turn_tokens is not None and self.max_turn_tokens < 1:
            raise ConfigError(f"max_turn_tokens={self.max_turn_tokens}: expected at least 1, or null")
        if self.num_goals < 1 or (self.most_words is not None and self.most_words < 0):
            raise ConfigError(f"num_goals={self.num_goals}, most_words={self.most_words}: expected at least 1 and 0")


@dataclass(frozen=True, kw_only=True)
class GRPOShop(CatalogSettings):
    """The shop and its goals."""

    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    goal_draw: str = field(default="weight", metadata=GOAL_DRAW_HELP)
    max_episode_steps: int = field(default=15, metadata={"help": "Calls of tools after which the shop closes."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_episode_steps < 1:
            raise ConfigError(f"max_episode_steps={self.max_episode_steps}, expected 1 or more")


@dataclass
class GRPOSettings(TrainerSettings):
    """Training."""

    output_dir: str | None = field(default="runs/grpo", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate; 1e-6 suits training all weights."})
    num_generations: int | None = field(default=8, metadata={"help": "Episodes of each goal: the group."})
    per_device_train_batch_size: int = field(
        default=8, metadata={"help": "Episodes that each process reads in one step."}
    )
    max_completion_length: int | None = field(
        default=4096, metadata={"help": "Most tokens of an episode: the model's calls and the pages that they lead to."}
    )
    temperature: float = field(default=1.0, metadata={"help": "Temperature at which tokens are drawn."})
    beta: float = field(default=0.0, metadata={"help": "Weight of the KL divergence to the start; 0: none."})
    use_vllm: bool = field(default=False, metadata={"help": "Generate with vLLM, where it is installed."})
    log_completions: bool = field(default=False, metadata={"help": "Print some episodes at every log step."})
    gradient_checkpointing: bool | None = field(  # None: off without a warning
        default=None, metadata={"help": "Less memory for a slower step (TRL's default is on, ours off)."}
    )

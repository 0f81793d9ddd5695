"""What self-improvement can be told."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.preferences.config import CHOSEN_MIN_REWARD_HELP, PAIRS_HELP, WEIGHT_BY_MARGIN_HELP
from recrl.rollouts.config import LOOP_GUARD_HELP, ROLLOUTS_PER_GOAL_HELP, TEMPERATURE_HELP
from recrl.training.settings.dpo import DPOSettings
from recrl.training.settings.trainer import OUTPUT_DIR_HELP


@dataclass
class SelfImprovementArguments:
    """What is played, and what is made of it."""

    model_name_or_path: str = field(metadata={"help": "The scorer to start from, by folder or Hub id."})
    num_rounds: int = field(default=3, metadata={"help": "Rounds of generating and DPO."})
    num_episodes: int = field(
        default=600,
        metadata={"help": "The budget: training episodes of all rounds together; dev episodes come on top."},
    )
    rollouts_per_goal: int = field(default=4, metadata=ROLLOUTS_PER_GOAL_HELP)
    temperature: float = field(default=1.0, metadata=TEMPERATURE_HELP)
    loop_guard: bool = field(default=False, metadata=LOOP_GUARD_HELP)
    pairs: list[str] = field(default_factory=lambda: ["contrasts"], metadata=PAIRS_HELP)
    min_reward: float = field(default=1.0, metadata=CHOSEN_MIN_REWARD_HELP)
    weight_by_margin: bool = field(default=False, metadata=WEIGHT_BY_MARGIN_HELP)

    def __post_init__(self) -> None:
        if self.num_rounds < 1 or self.rollouts_per_goal < 1 or self.num_episodes < 1:
            raise ConfigError(
                f"num_rounds={self.num_rounds}, rollouts_per_goal={self.rollouts_per_goal}, "
                f"num_episodes={self.num_episodes}: expected at least 1 of each"
            )
        share = self.num_rounds * self.rollouts_per_goal
        if self.num_episodes % share:
            raise ConfigError(
                f"num_episodes={self.num_episodes} cannot be shared evenly by {self.num_rounds} rounds of goals with "
                f"{self.rollouts_per_goal} episodes each; ask for {max(1, self.num_episodes // share) * share}"
            )
        from recrl.preferences.builders import check_builders

        check_builders(self.pairs)
        if not (0 <= self.min_reward <= 1 and self.temperature > 0):
            raise ConfigError(
                f"min_reward={self.min_reward}, temperature={self.temperature}: expected 0 to 1, and a positive number"
            )


@dataclass
class SelfImprovementSettings(DPOSettings):
    """Training in each round."""

    output_dir: str | None = field(default="runs/self_improvement", metadata=OUTPUT_DIR_HELP)

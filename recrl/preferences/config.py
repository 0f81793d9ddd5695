"""What can be set when preference pairs are made: by `recrl build-preferences`, and by DPO at its start."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.settings import check_values, to_seed

PAIRS_HELP = {
    "help": "How pairs are made: steps (an action against one drawn from the reference policy), contrasts (against one "
    "with a worse outcome on the same page), trajectories (an episode against a worse one of its goal)."
}
NUM_TRAJECTORIES_HELP = {"help": "Use the first N trajectories only; without it all."}
CHOSEN_MIN_REWARD_HELP = {"help": "Lowest reward, from 0 to 1, of what is chosen."}
WEIGHT_BY_MARGIN_HELP = {"help": "Weigh a pair by the difference of its outcomes, where both are known."}


@dataclass(frozen=True, kw_only=True)
class PairingConfig:
    """Which pairs are made of what."""

    trajectories: str = field(
        metadata={"help": "Trajectory dataset: a folder of `recrl generate-trajectories`, or a Hub id."}
    )
    policy: str = field(
        metadata={
            "help": "The reference policy, a scorer or a language model, by folder or Hub id; it draws the rejected "
            "actions, and gives the log-probabilities."
        }
    )
    max_prompt_tokens: int | None = field(
        default=None,
        metadata={"help": "Most tokens of a language model's prompt; without it as it was trained, or 1024."},
    )
    pairs: tuple[str, ...] = field(default=("steps",), metadata=PAIRS_HELP)
    num_trajectories: int | None = field(default=None, metadata=NUM_TRAJECTORIES_HELP)
    min_reward: float = field(default=1.0, metadata=CHOSEN_MIN_REWARD_HELP)
    weight_by_margin: bool = field(default=False, metadata=WEIGHT_BY_MARGIN_HELP)
    seed: int = field(default=0, metadata={"help": "Seed of the rejected actions that are drawn.", "type": to_seed})

    def __post_init__(self) -> None:
        from recrl.preferences.builders import check_builders

        check_values(self)
        check_builders(self.pairs)
        if not 0 <= self.min_reward <= 1:
            raise ConfigError(f"min_reward={self.min_reward}, expected a number from 0 to 1")

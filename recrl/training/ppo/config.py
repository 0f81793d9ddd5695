"""The settings of PPO: what is learned from, and how the loop runs."""

from dataclasses import dataclass

from transformers import TrainingArguments

from recrl.errors import ConfigError
from recrl.training.fields import check_fields, check_machine
from recrl.training.settings.ppo import PPOSettings


@dataclass
class PPOConfig(PPOSettings, TrainingArguments):  # type: ignore[misc]  # fewer types than there
    """The loop's settings; transformers' names where it has them, with our defaults."""

    def __post_init__(self) -> None:
        check_fields("ppo", self)
        super().__post_init__()
        check_machine("ppo", self)
        if self.num_steps % self.num_minibatches:
            raise ConfigError(f"num_minibatches={self.num_minibatches} must divide num_steps={self.num_steps}")
        counts = "num_updates num_envs envs_per_goal num_steps num_minibatches num_passes value_warmup_passes"
        for name in counts.split():
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}, expected at least 1")
        if self.num_envs % self.envs_per_goal:
            raise ConfigError(f"envs_per_goal={self.envs_per_goal} must divide num_envs={self.num_envs}")
        if not (0 < self.gamma <= 1 and 0 <= self.gae_lambda <= 1 and self.clip_range > 0):
            raise ConfigError(
                f"gamma={self.gamma}, gae_lambda={self.gae_lambda}, clip_range={self.clip_range}: expected a discount "
                "in (0, 1], a lambda in [0, 1], a positive clip range"
            )

"""Which numbers a trainer's configuration may hold: the bounds of fields that all recipes share."""

from dataclasses import fields
from typing import Any

from recrl.errors import ConfigError
from recrl.settings import check_at_least, check_finite

POSITIVE = ("num_train_epochs", "logging_steps", "save_steps")
MAY_BE_0 = {"search": {"num_train_epochs"}}  # it may have copied alone
COUNTS = ("per_device_train_batch_size", "gradient_accumulation_steps")
NOT_NEGATIVE = ("learning_rate", "head_learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "adam_epsilon")


def check_numbers(recipe: str, config: Any) -> None:
    """Refuses numbers with which a trainer fails in the middle, or trains nothing.

    Args:
        recipe: a key of `recrl.training.fields.RULES`; config: its trainer's configuration.

    Raises:
        ConfigError: with the bound.
    """
    check_finite(config)
    there = {field.name for field in fields(config)}
    check_at_least(config, 1, *there.intersection(COUNTS))
    may_be_0 = MAY_BE_0.get(recipe, set())
    check_at_least(config, 0, *there.intersection(NOT_NEGATIVE), *may_be_0)
    for name in there.intersection(POSITIVE) - may_be_0:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name}={getattr(config, name)}, expected a number above 0")
    for name in there.intersection(("adam_beta1", "adam_beta2")):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name}={getattr(config, name)}, expected at least 0 and below 1")

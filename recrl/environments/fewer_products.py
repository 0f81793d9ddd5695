"""Fewer target products than a split has, to measure what learns from how many."""

import hashlib

from recrl.environments.protocols import Task
from recrl.errors import ConfigError


def first_targets(task: Task, split: str, split_by: str, number: int) -> frozenset[str]:
    """So many targets of a split's goals: the first in an order of their hashes, so that every stage of an experiment,
    whatever its seed, has the same ones, and a larger number holds those of a smaller one.

    Raises:
        ConfigError: the split has fewer.
    """
    targets = {task.target(int(index)) for index in task.split(split, split_by)}
    if number > len(targets):
        raise ConfigError(f"num_products={number}, but the {split} split by {split_by} has {len(targets)} targets")
    return frozenset(sorted(targets, key=lambda target: hashlib.sha256(target.encode()).digest())[:number])

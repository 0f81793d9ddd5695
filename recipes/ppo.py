"""Trains a scorer in the environment with PPO.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/ppo.py --config recipes/ppo_embedded.yaml

Every key of the YAML file is also a flag: --num_updates 40. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of PPO, of the environment, of tuning, and of the loop."""
    from trl import TrlParser

    from recrl.training.environment import EnvironmentArguments
    from recrl.training.ppo.config import PPOArguments, PPOConfig
    from recrl.training.tuning import TuningArguments

    return TrlParser((PPOArguments, EnvironmentArguments, TuningArguments, PPOConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.ppo.loop import train_ppo
    from recrl.training.recipe import parse_recipe

    arguments, environment, tuning, config = parse_recipe(make_parser())
    train_ppo(arguments, environment, tuning, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

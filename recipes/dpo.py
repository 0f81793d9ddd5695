"""Trains a scorer on preference pairs with TRL's DPOTrainer.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/dpo.py --config recipes/dpo_embedded.yaml

Every key of the YAML file is also a flag: --beta 0.3. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the data and the start, of tuning, and of TRL's trainer."""
    from trl import TrlParser

    from recrl.training.dpo import ChoiceDPOConfig, DPOArguments
    from recrl.training.tuning import TuningArguments

    return TrlParser((DPOArguments, TuningArguments, ChoiceDPOConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.dpo import train_dpo
    from recrl.training.recipe import parse_recipe

    arguments, tuning, config = parse_recipe(make_parser())
    train_dpo(arguments, tuning, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

"""Improves a scorer on its own episodes, in rounds of playing and DPO.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/self_improvement.py \
        --config recipes/self_improvement_embedded.yaml

Every key of the YAML file is also a flag: --num_rounds 5. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the rounds, of the environment, of tuning, and of TRL's trainer."""
    from trl import TrlParser

    from recrl.training.dpo import ChoiceDPOConfig
    from recrl.training.environment import EnvironmentArguments
    from recrl.training.self_improvement import SelfImprovementArguments
    from recrl.training.tuning import TuningArguments

    return TrlParser((SelfImprovementArguments, EnvironmentArguments, TuningArguments, ChoiceDPOConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.recipe import parse_recipe
    from recrl.training.self_improvement import train_self_improvement

    arguments, environment, tuning, config = parse_recipe(make_parser())
    train_self_improvement(arguments, environment, tuning, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

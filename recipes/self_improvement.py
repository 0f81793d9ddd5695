"""Improves a scorer on its own episodes, in rounds of playing and DPO.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/self_improvement.py \
        --config recipes/self_improvement_embedded.yaml

Every key of the YAML file is also a flag: --num_rounds 5. `--help` lists them all.
"""

from typing import Any

from recrl.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the rounds, of the environment, of tuning, and of TRL's trainer."""
    from trl import TrlParser

    from recrl.dpo import ChoiceDPOConfig
    from recrl.environment_arguments import EnvironmentArguments
    from recrl.self_improvement import SelfImprovementArguments
    from recrl.training import TuningArguments

    return TrlParser((SelfImprovementArguments, EnvironmentArguments, TuningArguments, ChoiceDPOConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.hub import push_run
    from recrl.self_improvement import train_self_improvement
    from recrl.training import parse_recipe

    arguments, environment, tuning, config = parse_recipe(make_parser())
    train_self_improvement(arguments, environment, tuning, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

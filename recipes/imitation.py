"""Trains the imitation start on demonstrations.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/imitation.py \
        --config recipes/imitation_embedded.yaml

Every key of the YAML file is also a flag: --num_demonstrations 100. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of imitation, of tuning, of publishing, and of the trainer."""
    from trl import TrlParser

    from recrl.training.imitation import ImitationArguments, ImitationConfig
    from recrl.training.tuning import TuningArguments

    return TrlParser((ImitationArguments, TuningArguments, ImitationConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.imitation import train_imitation
    from recrl.training.recipe import parse_recipe

    arguments, tuning, config = parse_recipe(make_parser())
    train_imitation(arguments, tuning, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

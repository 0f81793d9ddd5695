"""Trains the judgement of a reading agent: which product, as far as it is known, is a perfect purchase.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/judgement.py \
        --config recipes/judgement_embedded.yaml

The result is a scorer with a trained match head and new choice heads: `recipes/imitation.py --start_from` goes on from
it, and `--policy planner:FOLDER` plays by its judgement. Every key of the YAML file is also a flag; `--help` lists
them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the judgement, and of the trainer."""
    from trl import TrlParser

    from recrl.training.judgement import JudgementArguments, JudgementConfig

    return TrlParser((JudgementArguments, JudgementConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.judgement import train_judgement
    from recrl.training.recipe import parse_recipe

    arguments, config = parse_recipe(make_parser())
    train_judgement(arguments, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

"""Trains the model that proposes search queries, on pairs of an instruction and a query that a person typed.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/search.py --config recipes/search_webshop.yaml

Every key of the YAML file is also a flag: --model_name_or_path facebook/bart-base. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the query model, and of the trainer."""
    from trl import TrlParser

    from recrl.training.search import QueryArguments, QueryConfig

    return TrlParser((QueryArguments, QueryConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.recipe import parse_recipe
    from recrl.training.search import train_queries

    arguments, config = parse_recipe(make_parser())
    train_queries(arguments, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

"""Trains a causal language model on preference pairs with TRL's DPOTrainer.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/dpo_language.py \
        --config recipes/dpo_language_embedded.yaml

Every key of the YAML file is also a flag: --beta 0.3. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the data and the start, of the adapter, and of TRL's trainer."""
    from trl import TrlParser

    from recrl.training.dpo_language import LanguageDPOArguments, LanguageDPOConfig
    from recrl.training.language import AdapterArguments

    return TrlParser((LanguageDPOArguments, AdapterArguments, LanguageDPOConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.dpo_language import train_dpo_language
    from recrl.training.recipe import parse_recipe

    arguments, adapters, config = parse_recipe(make_parser())
    train_dpo_language(arguments, adapters, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

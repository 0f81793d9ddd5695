"""Fine-tunes a causal language model on demonstrations with TRL's SFTTrainer.

    accelerate launch --config_file accelerate_configs/cpu.yaml recipes/sft.py --config recipes/sft_embedded.yaml

Every key of the YAML file is also a flag: --num_demonstrations 100. `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: arguments of the data and the start, of the adapter, and of TRL's trainer."""
    from trl import TrlParser

    from recrl.training.language import AdapterArguments
    from recrl.training.sft import LanguageSFTConfig, SFTArguments

    return TrlParser((SFTArguments, AdapterArguments, LanguageSFTConfig))


def main() -> None:
    """Parses, trains, and pushes if asked to."""
    from recrl.publishing.push import push_run
    from recrl.training.recipe import parse_recipe
    from recrl.training.sft import train_sft

    arguments, adapters, config = parse_recipe(make_parser())
    train_sft(arguments, adapters, config)
    push_run(config)


if __name__ == "__main__":
    run_recipe(main)

# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Trains a causal language model on preference pairs with TRL's DPOTrainer.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/dpo_language.py \
        --config recipes/dpo_language_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train dpo-language` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("dpo-language")

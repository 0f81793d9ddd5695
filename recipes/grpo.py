# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Lets a causal language model shop by calls of tools and learn from its rewards, with TRL's GRPOTrainer.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/grpo.py \
        --config recipes/grpo_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train grpo` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("grpo")

# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Fine-tunes a causal language model on demonstrations with TRL's SFTTrainer.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/sft.py \
        --config recipes/sft_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train sft` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("sft")

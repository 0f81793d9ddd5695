# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Trains the imitation start on demonstrations.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/imitation.py \\
        --config recipes/imitation_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train imitation` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("imitation")

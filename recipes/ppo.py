# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Trains a scorer in the environment with PPO.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/ppo.py --config recipes/ppo_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train ppo` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("ppo")

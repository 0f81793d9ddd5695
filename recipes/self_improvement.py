# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Improves a scorer on its own episodes, in rounds of playing and DPO.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/self_improvement.py \\
        --config recipes/self_improvement_embedded.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train self-improvement` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("self-improvement")

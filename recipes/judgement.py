# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Trains the judgement of a reading agent: which product, as far as it is known, is a perfect purchase.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/judgement.py \\
        --config recipes/judgement_embedded.yaml

The result is a scorer with a trained match head and new choice heads: `recrl train imitation --start_from` goes on from
it, and `--policy planner:FOLDER` plays by its judgement.
Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train judgement` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("judgement")

# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""Trains the model that proposes search queries, on pairs of an instruction and a query that a person typed.

    accelerate launch -q --config_file accelerate_configs/cpu.yaml recipes/search.py \\
        --config recipes/search_webshop.yaml

Every key of the YAML file is also a flag. `--help` shows the recipe's own, `--help_all` those of transformers and TRL
too; `recrl train search` is the same on one device.
"""

from recrl.recipes import main

if __name__ == "__main__":
    main("search")

"""Trains an agent by imitation and evaluates it, through the Python API.

    python examples/train_imitation.py --output_dir runs/example

The demonstrator, which knows the goal, shows how to buy; a scorer learns its actions by cross-entropy and is measured
on test goals about products that it has never met. The encoder is MiniLM-L6 unless `--encoder` names another; the
default settings take three minutes on two cores. Prints the mean training loss and a table.
"""

import argparse
from pathlib import Path

import torch

from recrl import TrajectoryConfig, evaluate, generate_trajectories, load_catalog, load_policy
from recrl.evaluation.tables import print_table
from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
from recrl.training.runs import training_metrics
from recrl.training.tuning import TuningArguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/example"), help="takes demonstrations and model")
    parser.add_argument("--encoder", help="a BERT-family encoder by Hub id or folder; without it MiniLM-L6")
    parser.add_argument("--num_demonstrations", type=int, default=100, help="episodes that are imitated")
    parser.add_argument("--num_episodes", type=int, default=100, help="test goals, each played once")
    arguments = parser.parse_args()

    shown, trained = arguments.output_dir / "demonstrations", arguments.output_dir / "imitation"
    generate_trajectories(
        TrajectoryConfig(
            policy="demonstrator",
            output_dir=str(shown),
            split_by="product",
            num_trajectories=arguments.num_demonstrations,
        )
    )
    train_imitation(
        ImitationArguments(demonstrations=str(shown), model_name_or_path=arguments.encoder),
        TuningArguments(),
        ImitationConfig(output_dir=str(trained), num_train_epochs=1, seed=0, use_cpu=not torch.cuda.is_available()),
    )
    print(f"mean training loss: {training_metrics(trained)['train_loss']:.3f}")
    catalog = load_catalog()
    policies = {"matching": load_policy("matching"), "imitation": load_policy(str(trained))}
    print_table(
        {
            name: evaluate(policy, catalog, split_by="product", num_episodes=arguments.num_episodes)
            for name, policy in policies.items()
        }
    )


if __name__ == "__main__":
    main()

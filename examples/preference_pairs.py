"""Collects episodes, makes preference pairs of them, and shows some.

    python examples/preference_pairs.py --num_goals 20

Several episodes of each goal are played at random. Where two of them left the same page by different actions, the
action with the better outcome is preferred. Give `--policy` a checkpoint to do the same with an agent of yours. Prints
how many pairs there are, what was left out, and one pair of each of the first goals with the page that it is about.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recrl import Decision, TrajectoryConfig, build_preferences, generate_trajectories, load_episodes, load_policy

ROLLOUTS = 8  # episodes of each goal


def uniform(decisions: Sequence[Decision]) -> list[np.ndarray]:
    """For each decision (actions,) the random policy's log-probabilities."""
    return [np.full(len(decision.valid_actions), -np.log(len(decision.valid_actions))) for decision in decisions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="random", help="random, or a checkpoint's folder")
    parser.add_argument("--num_goals", type=int, default=20, help=f"goals, with {ROLLOUTS} episodes each")
    parser.add_argument("--num_shown", type=int, default=3, help="pairs that are printed")
    arguments = parser.parse_args()

    policy = load_policy(arguments.policy)
    with tempfile.TemporaryDirectory() as folder:
        config = TrajectoryConfig(
            policy=arguments.policy,
            output_dir=str(Path(folder) / "episodes"),
            split_by="product",
            num_trajectories=arguments.num_goals * ROLLOUTS,
            rollouts_per_goal=ROLLOUTS,
            min_reward=0.0,  # failures teach too
        )
        generate_trajectories(config, policy=policy)
        episodes = load_episodes(config.output_dir)
    reference = getattr(policy, "log_probs", uniform)
    made = build_preferences(episodes, reference, np.random.default_rng(0), pairs=["contrasts"], min_reward=0.1)
    print(f"{len(made.pairs)} pairs of {len(episodes)} episodes; left out: {dict(made.left_out)}")
    by_goal = {pair.goal_index: pair for pair in made.pairs}
    for pair in list(by_goal.values())[: arguments.num_shown]:
        print(f"\n{pair.instruction}\n  page      {pair.chosen_moves[0].decision.page.kind}")
        print(f"  chosen    {pair.chosen}, outcome {pair.chosen_outcome:.2f}")
        print(f"  rejected  {pair.rejected}, outcome {pair.rejected_outcome:.2f}")


if __name__ == "__main__":
    main()

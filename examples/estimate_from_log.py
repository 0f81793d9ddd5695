"""Estimates what policies would earn from the log of another one, and plays them to see how far off that is.

    python examples/estimate_from_log.py --num_episodes 1000

A shop runs `matching`, and lets chance decide some of its actions. The log of that holds the probability of every
action (docs/propensities.md), which is enough to estimate other policies that nobody has run. From the command line, in
this folder: `recrl generate-trajectories --log --policy estimate_from_log:exploring --num_trajectories 1000
--output_dir runs/log`. Prints a table: estimated, with its 95% interval; how many episodes count; and played.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recrl import Choice, Decision, TrajectoryConfig, generate_trajectories, load_catalog, load_policy, rollout
from recrl.evaluation.off_policy import estimate_from_log, load_log
from recrl.policies import Policy
from recrl.tables import Table, with_interval


class Exploring:
    """Does what a rule says, but for a share of the time in which it takes any valid action."""

    catalog_sha256 = None

    def __init__(self, rule: Policy, share: float) -> None:
        self.rule, self.share, self.name = rule, share, f"{rule.name}, {share:.0%} by chance"

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        choices = []
        for decision, choice, rng in zip(decisions, self.rule.act(decisions, rngs), rngs, strict=True):
            probabilities = np.full(len(decision.valid_actions), self.share / len(decision.valid_actions))
            probabilities[choice.action_index] += 1 - self.share
            taken = int(rng.choice(len(probabilities), p=probabilities))
            log_prob = min(0.0, float(np.log(probabilities[taken])))
            choices.append(Choice(taken, log_prob, probabilities=tuple(probabilities.tolist())))
        return choices


def exploring() -> Exploring:
    """What the shop runs; on the command line `--policy estimate_from_log:exploring`."""
    return Exploring(load_policy("matching"), 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_episodes", type=int, default=1000, help="episodes of the log")
    arguments = parser.parse_args()

    catalog, matching = load_catalog(), load_policy("matching")
    with tempfile.TemporaryDirectory() as folder:
        config = TrajectoryConfig(
            policy="exploring",
            output_dir=str(Path(folder) / "log"),
            num_trajectories=arguments.num_episodes,
            log=True,
        )
        generate_trajectories(config, policy=exploring())
        log = load_log(config.output_dir)
    goals, rows = [episode.goal_index for episode in log], []
    for policy in (Exploring(matching, 0.2), matching, load_policy("rule"), load_policy("matching-price")):
        found = estimate_from_log(policy, log, catalog)
        played = [100 * episode.success for episode in rollout(policy, catalog, goals, seed=1)]
        estimated = with_interval(found.success_rate.value, found.success_rate.interval)
        rows.append([policy.name, estimated, f"{found.effective_episodes:.0f}", f"{np.mean(played):.1f}"])
    Table(
        ["policy", "estimated", "effective episodes", "played"],
        rows,
        f"Success rate in %, estimated from {len(log)} episodes of '{found.logged_by}', which itself has "
        f"{found.logged_success_rate:.1f}.",
    ).print()


if __name__ == "__main__":
    main()

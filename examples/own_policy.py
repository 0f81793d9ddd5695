"""Evaluates a policy of one's own beside `matching`, on the same goals, and prints the paired difference.

    python examples/own_policy.py --num_episodes 100

The policy opens the hit whose title shares most words with the instruction; then it does what `matching` does. The same
class works with the command line: `recrl evaluate --policy own_policy:TitleWords` in this folder. Prints a table, and
the difference in success with its 95% interval.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from recrl import Choice, Decision, compare_results, evaluate, load_catalog, load_policy
from recrl.evaluation.tables import print_table
from recrl.webshop import actions


class TitleWords:
    """A policy is a name, the catalogue that it was trained on, and `act`."""

    name = "title words"
    catalog_sha256 = None

    def __init__(self) -> None:
        self.matching = load_policy("matching")

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """One choice for each decision: an index into its valid actions, and the choice's log-probability."""
        choices = self.matching.act(decisions, rngs, greedy=greedy)
        for place, decision in enumerate(decisions):
            if decision.page.listing:
                words = set(decision.instruction.lower().split())
                best = max(decision.page.listing, key=lambda listed: len(words & set(listed.title.lower().split())))
                action = actions.click(best.asin.lower())
                choices[place] = Choice(decision.valid_actions.index(action), 0.0)
        return choices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_episodes", type=int, default=100, help="test goals, each played once by both")
    arguments = parser.parse_args()

    catalog = load_catalog()
    results = {
        policy.name: evaluate(policy, catalog, split_by="product", num_episodes=arguments.num_episodes)
        for policy in (load_policy("matching"), TitleWords())
    }
    print_table(results)
    difference = compare_results(results["title words"], results["matching"])
    low, high = difference.success_difference_ci
    print(f"difference in success: {difference.success_difference:+.1f} points [{low:+.1f}, {high:+.1f}]")


if __name__ == "__main__":
    main()

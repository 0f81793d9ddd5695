"""A policy in ten lines: a function of (observation, info), measured on test goals.

    python examples/ten_lines.py

Prints a table with its success and score. On the command line, in this folder:
`recrl evaluate --policy ten_lines:named_options`.
"""

import recrl
from recrl.evaluation.tables import print_table


def named_options(observation, info):
    """Opens the first hit, clicks every option that the instruction names, and buys."""
    page, wish, valid = info["page"], info["instruction"].lower(), info["valid_actions"]
    if page.listing:
        return f"click[{page.listing[0].asin.lower()}]"
    for group in page.options:
        for value in group.values:
            action = f"click[{value.lower()}]"
            if value.lower() in wish and action in valid and action not in info["previous_actions"]:
                return action
    return "click[buy now]" if "click[buy now]" in valid else 0  # an index into the valid actions is an answer too


if __name__ == "__main__":
    result = recrl.evaluate(named_options, recrl.load_catalog(), num_episodes=100)
    print_table({result.policy: result})

"""Plays one episode through Gymnasium by a hand-written rule: first hit, options that the instruction names, buy.

    python examples/play_an_episode.py --goal_index 17

Prints the instruction, each action with the kind of page that it was taken on, and the reward with its parts.
"""

import argparse
import re
from typing import Any

import gymnasium as gym

import recrl  # noqa: F401  (registers the environment)
from recrl.webshop import actions


def choose(info: dict[str, Any], taken: list[str]) -> str:
    """The rule. ``info["page"]`` is what the shopper sees, ``info["valid_actions"]`` what can be done there."""
    page = info["page"]
    if page.kind == "search":
        return info["valid_actions"][0]  # the instruction without its price, as a query
    if page.kind == "results" and page.listing:
        return actions.click(page.listing[0].asin.lower())
    for group in page.options:
        for value in group.values:
            if re.search(rf"\b{re.escape(value)}\b", page.instruction) and actions.click(value) not in taken:
                return actions.click(value)
    return actions.BUY_NOW if actions.BUY_NOW in info["valid_actions"] else actions.BACK_TO_SEARCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goal_index", type=int, default=17, help="which of the catalogue's goals is played")
    arguments = parser.parse_args()

    env = gym.make("recrl/WebShop-v0", split="all")
    _, info = env.reset(options={"goal_index": arguments.goal_index})
    print(info["instruction"])
    taken: list[str] = []
    over = False
    while not over:
        action = choose(info, taken)
        print(f"{info['page'].kind:8} {action}")
        _, reward, terminated, truncated, info = env.step(action)
        taken.append(action)
        over = terminated or truncated
    print(f"reward {reward:.3f}", info.get("reward_parts", "nothing was bought"))


if __name__ == "__main__":
    main()

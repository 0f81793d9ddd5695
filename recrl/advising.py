"""What a policy would do, for a person who plays an episode by hand."""

from typing import Any

import numpy as np

from recrl.policies.base import Choice, Policy, knows_goal
from recrl.policies.own import choose
from recrl.rollouts.playing import Playing
from recrl.webshop.env import WebShopEnv

SHOWN = 3  # actions that are named with their probabilities


class Advisor:
    """Follows an episode that someone else plays, and says on each page what the policy would do.

    Args:
        policy: is asked for its best action.
        env: where the episode is played; info: what its reset gave.
    """

    def __init__(self, policy: Policy, env: WebShopEnv, info: dict[str, Any]) -> None:
        self.policy, self.env = policy, env
        self.playing = Playing(0, env, np.random.default_rng(0), env.render(), info)

    def advice(self) -> str:
        """The most probable actions, or the one that it would take."""
        decision = self.playing.decision(with_env=knows_goal(self.policy))
        [choice] = choose(self.policy, [decision], [self.playing.rng], greedy=True)
        if choice.text is not None:
            return f"{self.policy.name} would write: {choice.text}"
        if not choice.probabilities:
            return f"{self.policy.name} would take {decision.valid_actions[choice.action_index]}"
        best = np.argsort(choice.probabilities)[::-1][:SHOWN]
        shown = (f"{100 * choice.probabilities[place]:.0f}% {decision.valid_actions[place]}" for place in best)
        return f"{self.policy.name}: {', '.join(shown)}"

    def follow(self, action: str, reward: float, info: dict[str, Any]) -> None:
        """Notes what was done and what it led to."""
        decision, name = self.playing.decision(), action.lower()
        taken = next((place for place, one in enumerate(decision.valid_actions) if one.lower() == name), None)
        choice = Choice(-1, 0.0, text=action) if taken is None else Choice(taken, 0.0)
        self.playing.add(decision, choice, self.env.render(), reward, info, terminated=False)

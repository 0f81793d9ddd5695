"""What picks an action: the protocol that every policy follows, the scripted ones, and how one is found."""

from recrl.policies.base import Choice, Decision, Policy
from recrl.policies.loading import load_policy

__all__ = ["Choice", "Decision", "Policy", "load_policy"]

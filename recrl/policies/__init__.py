"""What picks an action: the protocol that every policy follows, the scripted ones, and how one is found."""

from recrl.episodes.decisions import Decision
from recrl.policies.base import Choice, Policy
from recrl.policies.loading import load_policy

__all__ = ["Choice", "Decision", "Policy", "load_policy"]

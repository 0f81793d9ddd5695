"""Playing: a policy and environments become episodes."""

from recrl.rollouts.collecting import TrajectoryConfig, generate_trajectories
from recrl.rollouts.rollout import rollout

__all__ = ["TrajectoryConfig", "generate_trajectories", "rollout"]

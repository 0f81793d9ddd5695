"""Playing: a policy and environments become episodes.

Nothing is imported here, so that the settings in `recrl.rollouts.config` are had at once.
"""

"""Episodes become preference pairs.

Nothing is imported here, so that the settings in `recrl.preferences.config` are had at once.
"""

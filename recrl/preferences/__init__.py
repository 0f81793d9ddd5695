"""Episodes become preference pairs."""

from recrl.preferences.builders import PAIR_BUILDERS, PairSet, build_preferences
from recrl.preferences.data import Move, Preference, load_preferences

__all__ = ["PAIR_BUILDERS", "Move", "PairSet", "Preference", "build_preferences", "load_preferences"]

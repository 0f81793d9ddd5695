"""The choice scorer: an encoder that scores the valid actions of a page.

What it reads of a page is had without torch, so the names below are imported when they are first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recrl.scoring.checkpoints import load_scorer, save_scorer
    from recrl.scoring.config import ChoiceScoringConfig
    from recrl.scoring.model import BertForChoiceScoring

__all__ = ["BertForChoiceScoring", "ChoiceScoringConfig", "load_scorer", "save_scorer"]

_HOMES = {
    "BertForChoiceScoring": "model",
    "ChoiceScoringConfig": "config",
    "load_scorer": "checkpoints",
    "save_scorer": "checkpoints",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

"""The choice scorer: an encoder that scores the valid actions of a page."""

from recrl.scoring.checkpoints import load_scorer, save_scorer
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.model import BertForChoiceScoring

__all__ = ["BertForChoiceScoring", "ChoiceScoringConfig", "load_scorer", "save_scorer"]

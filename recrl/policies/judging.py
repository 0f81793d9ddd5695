"""The planner that plays by the judgement of a trained scorer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recrl.episodes.notes import NotedProduct
from recrl.episodes.training_goals import from_config
from recrl.errors import PolicyError
from recrl.policies.planner import Planner, PlannerSettings, PlanningPolicy
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.judgement import judge
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.wishes import Wish


def planner_of(
    model: BertForChoiceScoring, *, name: str = "planner", settings: PlannerSettings | None = None
) -> PlanningPolicy:
    """The planner by the judgement of a scorer's match head.

    Raises:
        PolicyError: the scorer has no match head.
    """
    config, head = model.config, model.match_head
    if head is None:
        raise PolicyError(f"{name}: the scorer has no judgement to plan by; train one with `recrl train judgement`")
    head.eval()
    names = config.match_features or []

    def judgement(wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
        return judge(head, wish, products, names)

    planner = Planner(judgement, settings or PlannerSettings())
    return PlanningPolicy(name, planner, config.catalog_sha256, from_config(config.trained_on))


def load_planner(source: str | Path, *, device: str | None = None) -> PlanningPolicy:
    """The planner of a checkpoint's folder or Hub id, on a device (None: the CPU, the quickest for so small a head).

    Raises:
        CheckpointError: see `recrl.scoring.checkpoints.load_scorer`.
        PolicyError: it has no match head.
    """
    model, _ = load_scorer(source)
    model.to(torch.device(device or "cpu"))  # type: ignore[arg-type]
    return planner_of(model, name=f"planner:{Path(source).name if Path(source).exists() else source}")

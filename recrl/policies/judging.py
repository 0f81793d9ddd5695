"""The planner that plays by the judgement of a trained scorer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import NotedProduct
from recrl.episodes.training_goals import TrainedOn, from_config
from recrl.errors import PolicyError
from recrl.policies.base import Choice, deterministic
from recrl.policies.planner import Planner, PlannerSettings
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.judgement import judge
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.wishes import Wish


class JudgingPlanner:
    """See `recrl.policies.planner`; the probabilities are those of the scorer's match head.

    Args:
        model: a scorer with a match head.
        name: what reports and datasets call the policy.

    Raises:
        PolicyError: the scorer has no match head.
    """

    def __init__(
        self, model: BertForChoiceScoring, *, name: str = "planner", settings: PlannerSettings | None = None
    ) -> None:
        if model.match_head is None:
            raise PolicyError(f"{name}: the scorer has no judgement to plan by; train one with recipes/judgement.py")
        self.name, self._config, self._head = name, model.config, model.match_head.eval()
        self.planner = Planner(self._judge, settings or PlannerSettings())

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | None = None) -> "JudgingPlanner":
        """Loads a checkpoint folder or Hub id onto a device (None: the CPU, which is quickest for so small a head).

        Raises:
            CheckpointError: see `recrl.scoring.checkpoints.load_scorer`.
            PolicyError: it has no match head.
        """
        model, _ = load_scorer(source)
        model.to(torch.device(device or "cpu"))  # type: ignore[arg-type]
        return cls(model, name=f"planner:{Path(source).name if Path(source).exists() else source}")

    @property
    def catalog_sha256(self) -> str | None:
        """The catalogue that the judgement was trained on."""
        return self._config.catalog_sha256

    @property
    def trained_on(self) -> TrainedOn:
        """The goals that the judgement was trained on."""
        return from_config(self._config.trained_on)

    def _judge(self, wish: Wish, products: Sequence[NotedProduct]) -> np.ndarray:
        return judge(self._head, wish, products, self._config.match_features)

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """The planner's choice for each decision; nothing is drawn."""
        choices = []
        for decision in decisions:
            first, *others = right = self.planner.right(decision)
            choice = deterministic(decision, first)
            if others:
                choice = replace(choice, right_actions=tuple(map(decision.valid_actions.index, right)))
            choices.append(choice)
        return choices

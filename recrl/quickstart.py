"""The whole road on one page: demonstrations, imitation start, own trajectories, pairs, DPO, evaluation, table.

Each stage writes into a folder of its own inside the run's folder and is skipped when it is complete there; a stage
that was interrupted goes on where it stopped. The run's folder therefore holds everything that led to its table.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuickstartConfig:
    """What `recrl quickstart` does.

    Attributes:
        output_dir: the run's folder.
        catalog: None for the embedded catalogue, or a folder with raw files or a built catalogue.
        split_by: "goal", or "product" for targets that training never met.
        model_name_or_path: the encoder; None is MiniLM-L6, or with ``tiny`` a random encoder made on the spot.
        seed: of demonstrations, heads, shuffling, rollouts and pairs.
        num_demonstrations, num_trajectories: episodes for imitation and for DPO.
        num_eval_episodes: goals of the test split; None is the protocol's number.
        imitation_epochs, dpo_epochs: passes over the data.
        tiny: a run of under a minute, for tests: few episodes, a model that knows nothing.
    """

    output_dir: str = "runs/quickstart"
    catalog: str | None = None
    split_by: str = "goal"
    model_name_or_path: str | None = None
    seed: int = 0
    num_demonstrations: int = 100
    num_trajectories: int = 100
    num_eval_episodes: int | None = 200
    imitation_epochs: float = 4.0
    dpo_epochs: float = 2.0
    tiny: bool = False
    imitation: dict[str, Any] = field(default_factory=dict)
    dpo: dict[str, Any] = field(default_factory=dict)

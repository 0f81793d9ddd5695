"""What the judgement can be told."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recrl.errors import ConfigError
from recrl.rollouts.config import NUM_PRODUCTS_HELP, SPLIT_BY_HELP, CatalogSettings
from recrl.scoring.evidence import MATCH_FEATURES
from recrl.settings import check_at_least
from recrl.training.settings.trainer import OUTPUT_DIR_HELP, TrainerSettings
from recrl.webshop.goals import DEFAULT_SPLIT_BY, WORDINGS, check_wording

if TYPE_CHECKING:
    from recrl.webshop.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class JudgementArguments(CatalogSettings):
    """What the judgement learns from, and the scorer whose part it becomes."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "BERT-family encoder, by Hub id or folder; default: MiniLM-L6."}
    )
    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    wordings: list[str] = field(
        default_factory=lambda: ["template", "reworded"],
        metadata={"help": f"The wordings in which each goal is said, of: {', '.join(WORDINGS)}."},
    )
    goals_per_product: int = field(default=12, metadata={"help": "Training goals of one product at most."})
    made_goals_per_product: int = field(
        default=0,
        metadata={
            "help": "Goals that are made, beside the catalogue's own, from the attributes and options of each product "
            "that may be trained on; see recrl/webshop/made_goals.py."
        },
    )
    num_products: int | None = field(default=None, metadata=NUM_PRODUCTS_HELP)
    variants: int = field(
        default=6,
        metadata={"help": "How often each goal is shown, each time with another part of the products' pages known."},
    )
    held_out_share: float = field(
        default=0.15, metadata={"help": "Share of the training products whose goals are kept for the calibration."}
    )
    listwise: float = field(
        default=0.3, metadata={"help": "Share of the loss that is about the best product of a search, from 0 to 1."}
    )
    match_features: list[str] = field(
        default_factory=lambda: list(MATCH_FEATURES),
        metadata={"help": f"What the judgement reads, of: {', '.join(MATCH_FEATURES)}."},
    )
    match_hidden_size: int = field(default=32, metadata={"help": "Width of the judgement's layers."})
    feature_hidden_size: int = field(default=64, metadata={"help": "Width of the layer that reads numbers of actions."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "num_products")
        if self.goals_per_product < 1 or self.variants < 1 or not self.match_features:
            raise ConfigError(
                f"goals_per_product={self.goals_per_product}, variants={self.variants}, "
                f"match_features={self.match_features}: expected at least 1 of each"
            )
        if not self.wordings or len(set(self.wordings)) < len(self.wordings) or self.made_goals_per_product < 0:
            raise ConfigError(
                f"wordings={self.wordings}, made_goals_per_product={self.made_goals_per_product}: expected one or more "
                f"of {', '.join(WORDINGS)}, each once, and at least 0"
            )
        if self.wording != "template":
            raise ConfigError(f"wording={self.wording!r} has no meaning for the judgement: expected wordings, a list")
        for wording in self.wordings:
            check_wording(wording, human_goals=self.human_goals)
        if not (0 < self.held_out_share < 1 and 0 <= self.listwise <= 1):
            raise ConfigError(
                f"held_out_share={self.held_out_share}, listwise={self.listwise}: expected shares, the first above 0 "
                "and below 1"
            )

    def said(self, wording: str) -> "Catalog":
        """The catalogue with its goals in one of the wordings."""
        from recrl.webshop.catalog import load_catalog

        return load_catalog(self.catalog, goal_seed=self.goal_seed, human_goals=self.human_goals, wording=wording)


@dataclass
class JudgementSettings(TrainerSettings):
    """Training."""

    output_dir: str | None = field(default="runs/judgement", metadata=OUTPUT_DIR_HELP)
    learning_rate: float = field(default=3e-3, metadata={"help": "Learning rate."})
    num_train_epochs: float = field(default=15.0, metadata={"help": "Passes over the examples."})
    per_device_train_batch_size: int = field(
        default=64, metadata={"help": "Searches that each process reads in one step."}
    )
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning-rate schedule."})
    weight_decay: float = field(default=0.1, metadata={"help": "AdamW's weight decay."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between log lines."})
    save_steps: float = field(default=500, metadata={"help": "Steps between checkpoints."})

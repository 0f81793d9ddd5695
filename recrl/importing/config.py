"""What can be set when trajectories are imported."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recrl.errors import ConfigError
from recrl.importing.recordings import FORMATS
from recrl.rollouts.config import MAX_STEPS_HELP, SPLIT_BY_HELP, CatalogSettings
from recrl.settings import check_at_least
from recrl.webshop.goals import DEFAULT_SPLIT_BY, SPLITS

if TYPE_CHECKING:
    from recrl.webshop.catalog import Catalog

EMBEDDED = "embedded"


@dataclass(frozen=True, kw_only=True)
class ImportConfig(CatalogSettings):
    """What is imported."""

    source: str = field(
        metadata={"help": "File of trajectories, or folder of such files (.jsonl).", "positional": True}
    )
    format: str = field(
        metadata={
            "help": "What the source holds: webshop_sessions (WebShop's user_session_logs), webshop_il (its "
            "il_trajs_finalized_images.jsonl), or jsonl (rows of a trajectory dataset).",
            "choices": tuple(FORMATS),
        }
    )
    output_dir: str = field(metadata={"help": "Folder of the dataset."})
    catalog: str | None = field(
        default=None,
        metadata={
            "help": "The catalogue that the trajectories were recorded in, as other commands take it, or `embedded`; "
            "without it no page is rebuilt and no action checked."
        },
    )
    split: str = field(
        default="all",
        metadata={"help": "Keep the trajectories whose goal is in this split of the catalogue.", "choices": SPLITS},
    )
    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    max_steps: int = field(default=100, metadata=MAX_STEPS_HELP | {"help": "Longest trajectory, in actions."})
    min_reward: float = field(default=0.0, metadata={"help": "Lowest reward, from 0 to 1, of what is kept."})
    assume_reward: float | None = field(
        default=None,
        metadata={
            "help": "Reward, from 0 to 1, of trajectories that state none and are not rebuilt, such as those of "
            "webshop_il without --catalog."
        },
    )
    fill_gaps: bool = field(
        default=True,
        metadata={
            "help": "Where a session went back without the server, fill in the clicks that lead there; without it such "
            "sessions do not fit."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "max_steps")
        for name in ("min_reward", "assume_reward"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value}, expected a number from 0 to 1")
        if self.catalog is None:
            needs = {"split": "all", "split_by": DEFAULT_SPLIT_BY, "goal_seed": 0, "human_goals": False}
            for name, default in (needs | {"wording": "template"}).items():
                if getattr(self, name) != default:
                    raise ConfigError(f"{name}={getattr(self, name)!r} needs a catalogue; name it with catalog")

    def load_catalog(self) -> "Catalog":
        """The catalogue that is named.

        Raises:
            CatalogError: see `recrl.webshop.catalog.load_catalog`.
        """
        from recrl.webshop.catalog import load_catalog

        source = None if self.catalog == EMBEDDED else self.catalog
        return load_catalog(source, goal_seed=self.goal_seed, human_goals=self.human_goals, wording=self.wording)

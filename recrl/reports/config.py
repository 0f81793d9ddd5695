"""What can be set when something is shown: by `recrl show` and `recrl report`."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.rollouts.config import CatalogSettings
from recrl.settings import check_at_least
from recrl.tables import FORMATS

CATALOG_OF_RUN_HELP = {
    "help": "Catalogue of the episodes, as for other commands; without it the run's own, or the embedded one."
}


@dataclass(frozen=True, kw_only=True)
class ShowConfig(CatalogSettings):
    """What is shown."""

    source: str = field(
        metadata={
            "help": "A run's folder or a result of `recrl evaluate --output_json`, a trajectory dataset, or a policy, "
            "which then plays the goal.",
            "positional": True,
        }
    )
    catalog: str | None = field(default=None, metadata=CATALOG_OF_RUN_HELP)
    goal: int | None = field(default=None, metadata={"help": "The goal whose episode is shown, page by page."})
    failures: int | None = field(
        default=None,
        metadata={
            "help": "Show the failed episodes page by page, those of one class together, and with a number as many of "
            "each.",
            "nargs": "?",
            "const": 0,
        },
    )
    policy: str | None = field(
        default=None,
        metadata={
            "help": "The policy whose episodes are shown, of a run with several; without it the best trained one."
        },
    )
    max_steps: int = field(
        default=15, metadata={"help": "Actions after which the episode is truncated that a policy plays here."}
    )

    format: str = field(default="terminal", metadata={"help": "Format of the list of episodes.", "choices": FORMATS})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 0, "goal", "failures")
        check_at_least(self, 1, "max_steps")
        if self.failures is not None and self.goal is not None:
            raise ConfigError("--goal shows one episode and --failures all that failed; give one of them")
        if self.format != "terminal" and (self.failures is not None or self.goal is not None):
            raise ConfigError(f"format={self.format} is for the list of episodes; leave out --goal and --failures")


@dataclass(frozen=True, kw_only=True)
class ReportConfig(CatalogSettings):
    """What is reported."""

    sources: tuple[str, ...] = field(
        metadata={
            "help": "Folders of runs, results of `recrl evaluate --output_json`, or trajectory datasets; several make "
            "one page.",
            "positional": True,
        }
    )
    catalog: str | None = field(default=None, metadata=CATALOG_OF_RUN_HELP)
    output: str | None = field(
        default=None,
        metadata={"help": "File of the page; without it report.html in the first run's folder, or beside its file."},
    )
    most_episodes: int = field(
        default=3000, metadata={"help": "Episodes that the page holds at most, those of trained agents first."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 0, "most_episodes")

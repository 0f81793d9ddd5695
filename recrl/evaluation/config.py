"""What can be set when policies are measured: by `recrl evaluate`, `recrl compare` and `recrl evaluate-search`."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.rollouts.config import BATCH_SIZE_HELP, SPLIT_HELP, PlaySettings, PolicySettings, ShopSettings
from recrl.settings import check_at_least

DECODINGS = ("greedy", "sample")
ALLOW_SEEN_GOALS_HELP = {
    "help": "Also score a checkpoint on goals that it may have been trained on; result and table say how many."
}
ALLOCATIONS, OBJECTIVES = ("thompson", "uniform"), ("success", "score")
DECODING_HELP = {"help": "How actions are chosen: the most probable one, or sampled.", "choices": DECODINGS}


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(PolicySettings, PlaySettings):
    """What is evaluated."""

    num_episodes: int | None = field(
        default=None, metadata={"help": "Play the first N goals of the split, once each; without it all of them."}
    )
    decoding: str = field(default="greedy", metadata=DECODING_HELP)
    allow_seen_goals: bool = field(default=False, metadata=ALLOW_SEEN_GOALS_HELP)
    baseline: str | None = field(
        default=None, metadata={"help": "Result file on the same goals, for the paired difference to it."}
    )
    output_json: str | None = field(
        default=None, metadata={"help": "File that the result with all its episodes is written to."}
    )
    report: str | None = field(
        default=None,
        metadata={"help": "File of one page with the result and every episode to step through (HTML)."},
    )
    failures: int | None = field(
        default=None,
        metadata={
            "help": "Say in full why episodes failed: what purchases lacked, and with a number as many "
            "examples of each. This looks at the hidden goal, after the fact only; the policy never sees it.",
            "nargs": "?",
            "const": 0,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 0, "failures")


@dataclass(frozen=True, kw_only=True)
class SearchEvaluationConfig(ShopSettings):
    """What is searched for."""

    query_model: str = field(metadata={"help": "The query model that is evaluated, by folder or Hub id."})
    pairs: str = field(
        metadata={"help": "Instructions with the queries that people typed for them, as for `recrl train search`."}
    )
    split: str = field(default="test", metadata=SPLIT_HELP)
    num_goals: int | None = field(
        default=None, metadata={"help": "Search for the first N goals of the split; without it for all of them."}
    )
    output_json: str | None = field(
        default=None, metadata={"help": "File that the report with all proposals is written to."}
    )


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig(PlaySettings):
    """What is compared."""

    policies: tuple[str, ...] = field(
        metadata={"help": "The agents, at least two, each named as --policy of `recrl evaluate` names one."}
    )
    output_dir: str = field(
        metadata={"help": "Folder for journal, report and pictures; repeat the command to go on in it."}
    )
    num_episodes: int = field(default=1000, metadata={"help": "Episodes of each run, of all agents together."})
    runs: int = field(default=3, metadata={"help": "Independent runs."})
    allocation: str = field(
        default="thompson",
        metadata={
            "help": "How episodes are allotted: by Thompson's rule, or evenly.",
            "choices": ALLOCATIONS,
        },
    )
    objective: str = field(
        default="success", metadata={"help": "The outcome in which an agent is to be the best.", "choices": OBJECTIVES}
    )
    decoding: str = field(default="greedy", metadata=DECODING_HELP)
    prior_alpha: float = field(default=1.0, metadata={"help": "First parameter of the Beta prior on each agent."})
    prior_beta: float = field(default=1.0, metadata={"help": "Second parameter of the Beta prior on each agent."})
    exploration: float = field(
        default=0.2, metadata={"help": "Share of the episodes, from 0 to 1, that is allotted uniformly all the same."}
    )
    round_size: int = field(
        default=20, metadata={"help": "Episodes of a round, within which the probabilities of the agents are fixed."}
    )
    stop_at_probability: float | None = field(
        default=None,
        metadata={"help": "End a run when an agent is the best with this probability; without it no run ends early."},
    )
    allow_other_catalog: bool = field(
        default=False, metadata={"help": "Also compare agents that were trained on another catalogue."}
    )
    allow_seen_goals: bool = field(default=False, metadata=ALLOW_SEEN_GOALS_HELP)
    batch_size: int = field(default=16, metadata=BATCH_SIZE_HELP)

    def __post_init__(self) -> None:
        if len(set(self.policies)) < max(2, len(self.policies)):
            raise ConfigError(f"policies {', '.join(self.policies)}: expected at least two, each once")
        super().__post_init__()
        check_at_least(self, 1, "num_episodes", "runs", "round_size", "batch_size")
        if self.allocation == "uniform" and self.num_episodes % len(self.policies):
            raise ConfigError(
                f"num_episodes={self.num_episodes} cannot be shared evenly by {len(self.policies)} agents; "
                f"ask for {self.num_episodes // len(self.policies) * len(self.policies) or len(self.policies)}"
            )
        if not (self.prior_alpha > 0 and self.prior_beta > 0 and 0 <= self.exploration <= 1):
            raise ConfigError(
                f"prior_alpha={self.prior_alpha}, prior_beta={self.prior_beta}, exploration={self.exploration}: "
                "expected positive ones and a share from 0 to 1"
            )
        if self.stop_at_probability is not None and not 0.5 < self.stop_at_probability < 1:
            raise ConfigError(f"stop_at_probability={self.stop_at_probability}, expected more than 0.5 and less than 1")

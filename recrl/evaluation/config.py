"""What can be set when policies are measured and compared."""

from dataclasses import dataclass

from recrl.errors import ConfigError
from recrl.queries.proposing import DEFAULT_NUM_QUERIES

DECODINGS = ("greedy", "sample")
ALLOCATIONS, OBJECTIVES = ("thompson", "uniform"), ("success", "score")


@dataclass(frozen=True)
class ComparisonConfig:
    """What `recrl compare` does.

    Attributes:
        policies: the agents, as `recrl.policies.loading.load_policy` reads them; at least two.
        output_dir: takes journal and report.
        num_episodes: of each run, all agents together; round_size: of a round, whose probabilities are fixed.
        allocation, objective, decoding: see the module's constants.
        prior_alpha, prior_beta: of the Beta prior on each agent.
        exploration: share of episodes that Thompson's rule does not decide.
        stop_at_probability: a run ends when an agent is the best with this probability; None for never.
        allow_other_catalog: compare agents that were trained on another catalogue.
        query_model: proposes ``num_queries`` search queries to every agent; None is the plain instruction alone.
    """

    policies: tuple[str, ...]
    output_dir: str
    catalog: str | None = None
    goal_seed: int = 0
    human_goals: bool = False
    split: str = "test"
    split_by: str = "goal"
    num_episodes: int = 1000
    runs: int = 3
    allocation: str = "thompson"
    objective: str = "success"
    decoding: str = "greedy"
    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    exploration: float = 0.2
    round_size: int = 20
    stop_at_probability: float | None = None
    max_steps: int = 15
    seed: int = 0
    batch_size: int = 16
    allow_other_catalog: bool = False
    query_model: str | None = None
    num_queries: int = DEFAULT_NUM_QUERIES

    def __post_init__(self) -> None:
        if len(set(self.policies)) < max(2, len(self.policies)):
            raise ConfigError(f"policies {', '.join(self.policies)}: expected at least two, each once")
        for name, known in (("allocation", ALLOCATIONS), ("objective", OBJECTIVES), ("decoding", DECODINGS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("num_episodes", "runs", "round_size", "batch_size", "max_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}, expected at least 1")
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

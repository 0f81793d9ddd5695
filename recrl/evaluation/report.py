"""The report of a comparison: its types and its file.

Rates and scores are from 0 to 100, probabilities from 0 to 1. A report file is a JSON object with the fields of
`Report` and a ``format_version`` (`recrl.evaluation.typed_json`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError
from recrl.evaluation.result_types import Interval
from recrl.evaluation.typed_json import ABSENT_IF_NONE, read_versioned, to_json, with_version


@dataclass(frozen=True, kw_only=True)
class AgentEstimate:
    """How good an agent is.

    Attributes:
        pulls: episodes that it played.
        success, score: estimates without the bias of adaptive allotment, moved into their 95% intervals, which are
            valid whatever was allotted and whenever a run was stopped; ``_raw``: the estimates as they came, which
            with few episodes may lie outside 0 to 100; ``_running_mean``: the plain means, which are biased. All but
            the intervals are None for an agent that played nothing.
    """

    policy: str
    pulls: int
    success: float | None
    success_ci: Interval
    success_raw: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    success_running_mean: float | None
    score: float | None
    score_ci: Interval
    score_raw: float | None = field(default=None, metadata=ABSENT_IF_NONE)
    score_running_mean: float | None

    def __post_init__(self) -> None:
        for name in ("success", "score"):
            value, (low, high) = getattr(self, name), getattr(self, f"{name}_ci")
            if self.pulls and (value is None or getattr(self, f"{name}_running_mean") is None):
                raise DatasetError(f"{self.policy!r} played {self.pulls} episodes, but has no {name}")
            if not 0 <= low <= high <= 100:
                raise DatasetError(f"{self.policy!r} has {name}_ci={[low, high]}, expected 0 to 100, ascending")


@dataclass(frozen=True, kw_only=True)
class RunningMeans:
    """The running means of an agent, after each of its episodes, as the paper's figures show them."""

    score: tuple[float, ...]
    success: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What one run found.

    Attributes:
        pulls, posterior_alpha, posterior_beta, posterior_mean, probability_best: (agents,), at the end.
        probability_best_by_round: (rounds, agents), after each round.
        expected_regret: in the objective's units, over the run.
        agents, running: (agents,).
    """

    num_episodes: int
    pulls: tuple[int, ...]
    posterior_alpha: tuple[float, ...]
    posterior_beta: tuple[float, ...]
    posterior_mean: tuple[float, ...]
    probability_best: tuple[float, ...]
    probability_best_by_round: tuple[tuple[float, ...], ...]
    expected_regret: float
    agents: tuple[AgentEstimate, ...]
    running: tuple[RunningMeans, ...]

    def __post_init__(self) -> None:
        if sum(self.pulls) != self.num_episodes:
            raise DatasetError(f"num_episodes={self.num_episodes} contradicts pulls, which add up to {sum(self.pulls)}")
        for name in ("posterior_alpha", "posterior_beta", "posterior_mean", "probability_best", "agents", "running"):
            if len(getattr(self, name)) != len(self.pulls):
                raise DatasetError(
                    f"{name} has {len(getattr(self, name))} entries, expected {len(self.pulls)}, as pulls"
                )
        for agent, running, pulls in zip(self.agents, self.running, self.pulls, strict=True):
            if not pulls == agent.pulls == len(running.score) == len(running.success):
                raise DatasetError(f"{agent.policy!r} played {pulls} episodes, its estimate or means say otherwise")
        for place, probabilities in enumerate(self.probability_best_by_round):
            if len(probabilities) != len(self.pulls):
                raise DatasetError(
                    f"probability_best_by_round[{place}] has {len(probabilities)} entries, expected {len(self.pulls)}"
                )


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Of a uniform allotment: an agent minus the first one on the same goals, in points of 100.

    Attributes:
        success_difference, score_difference: with 95% intervals for these goals, valid whenever a run was stopped.
        products_better, products_worse, p_value_products: of the exact sign test over products, on success; it takes
            the number of episodes as fixed.
    """

    policy: str
    baseline: str
    success_difference: float
    success_difference_ci: Interval
    products_better: int
    products_worse: int
    p_value_products: float
    score_difference: float
    score_difference_ci: Interval


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a comparison found.

    Attributes:
        config: the settings, as its folder records them.
        num_goals: goals of the split that were drawn from.
        agents: policies, in the order in which everything else lists them.
        runs: each run alone; all_runs: (agents,) estimates over all runs.
        paired: each agent against the first; None unless the allotment was uniform.
        num_seen_goals: of each trained agent, how many of the goals it may have been trained on, or "unknown".
        know_goal: agents that know the hidden goal, if there are any.
        weights_sha256: (agents,) of the weights that choose actions, None for an agent without any; None where no
            agent has any, and in older reports.
        query_model, num_queries, query_model_sha256: what proposed search queries, if anything did.
    """

    config: dict[str, Any]
    protocol: str
    catalog_sha256: str
    goals_sha256: str
    num_goals: int
    agents: tuple[str, ...]
    runs: tuple[RunReport, ...]
    all_runs: tuple[AgentEstimate, ...]
    paired: tuple[PairedDifference, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    num_seen_goals: dict[str, int | str] | None = field(default=None, metadata=ABSENT_IF_NONE)
    know_goal: tuple[str, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    weights_sha256: tuple[str | None, ...] | None = field(default=None, metadata=ABSENT_IF_NONE)
    query_model: str | None = field(default=None, metadata=ABSENT_IF_NONE)
    num_queries: int | None = field(default=None, metadata=ABSENT_IF_NONE)
    query_model_sha256: str | None = field(default=None, metadata=ABSENT_IF_NONE)

    def __post_init__(self) -> None:
        for where, estimates in (
            ("all_runs", self.all_runs), *((f"runs[{place}]", run.agents) for place, run in enumerate(self.runs))
        ):  # fmt: skip
            named = tuple(estimate.policy for estimate in estimates)
            if named != self.agents:
                raise DatasetError(f"{where} is of {', '.join(named)}, expected {', '.join(self.agents)}")
        for place, estimate in enumerate(self.all_runs):
            played = sum(run.pulls[place] for run in self.runs)
            if estimate.pulls != played:
                raise DatasetError(
                    f"all_runs[{place}].pulls={estimate.pulls} contradicts the runs, which have {played}"
                )

        if self.weights_sha256 is not None and len(self.weights_sha256) != len(self.agents):
            raise DatasetError(f"weights_sha256 has {len(self.weights_sha256)} entries, expected {len(self.agents)}")

    def equal_agents(self) -> list[tuple[str, ...]]:
        """Groups of agents with equal weights: each group is one agent under several names."""
        groups: dict[str, list[str]] = {}
        for agent, weights in zip(self.agents, self.weights_sha256 or [], strict=False):
            if weights is not None:
                groups.setdefault(weights, []).append(agent)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def to_json(self) -> dict[str, Any]:
        """The object of a report file."""
        return with_version(to_json(self))


def load_report(path: str | Path) -> Report:
    """Reads ``report.json`` of a comparison.

    Raises:
        DatasetError: it is missing, foreign, of a later version, or damaged: a type is wrong, or its counts contradict
            each other.
    """
    return read_versioned(Report, path, what="report of `recrl compare`", advice="run the comparison again")

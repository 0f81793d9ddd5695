"""Comparing agents as in an online experiment: episodes allotted by Thompson's rule or uniformly, several runs.

A run plays rounds. With ``thompson`` each episode of a round goes to an agent drawn with the probability that it is the
best (`recrl.evaluation.bandits`); with ``uniform`` every agent plays every goal of the round. Goals are drawn with
replacement from a split, so an interval here is about episodes on these goals; how agents do on other products is what
`recrl evaluate` answers (docs/evaluation.md). Rounds are written to a journal, from which an interrupted comparison
goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from recrl.environments.protocols import Task
from recrl.errors import PolicyError
from recrl.evaluation.bandits import allotment, probability_best
from recrl.evaluation.comparison_tables import comparison_table
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.estimates import Round, make_report, posterior
from recrl.evaluation.report import Report
from recrl.evaluation.seen_goals import check_seen_goals
from recrl.files import sha256_of, write_text
from recrl.journals import Journal
from recrl.policies.base import Policy, knows_goal
from recrl.policies.loading import load_policy
from recrl.progress import Bar
from recrl.queries.proposing import QueryModel, describe_queries, recorded
from recrl.rollouts.rollout import rollout
from recrl.runs import JOURNAL_FILE, RunFolder

SETTINGS_FILE, REPORT_FILE, TABLE_FILE = "config.json", "report.json", "table.md"
FILES = {
    SETTINGS_FILE: "all settings",
    JOURNAL_FILE: "a round a line: who played which goal, and what came of it",
    REPORT_FILE: "posteriors, estimates and running means of every run, for every agent",
    TABLE_FILE: "the table alone",
    "report.html": "one page with everything, for a browser",
    "comparison.png": "running means and the probability of being the best; also as `comparison.svg`",
}


def equal_weights(policies: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of policies whose folders hold the same weights: what differs between them is chance, not training."""
    groups: dict[str, list[str]] = {}
    for spec in policies:
        weights = Path(spec) / "model.safetensors"
        if weights.is_file():
            groups.setdefault(sha256_of(weights), []).append(spec)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def compare(
    config: ComparisonConfig,
    *,
    policies: Sequence[Policy] | None = None,
    progress: Callable[[str], None] = lambda text: None,
    draw: Callable[[Report, Path], object] = lambda report, folder: None,
) -> Report:
    """Plays all runs, or what is left of them, and reports; the report is also written to ``report.json``.

    Args:
        policies: instead of ``config.policies``, which then only name them.
        progress: called with a line of text after every round.
        draw: called with the report and the folder, for pictures.

    Raises:
        ConfigError: the output folder holds another comparison.
        PolicyError: an agent is unknown, was trained on another catalogue, or may have been trained on the goals.
        DatasetError: the journal is corrupt.
    """
    task = config.load_task()
    agents = [load_policy(spec) for spec in config.policies] if policies is None else list(policies)
    for spec, agent in zip(config.policies, agents, strict=True):
        if agent.catalog_sha256 not in (None, task.sha256) and not config.allow_other_catalog:
            raise PolicyError(
                f"{spec!r} was trained on the catalogue {agent.catalog_sha256:.12}, this is {task.sha256:.12}; "
                "name its catalogue with --catalog, or say --allow_other_catalog"
            )
    asked = f"the {config.split} split by {config.split_by}"
    goals = np.asarray(task.split(config.split, config.split_by))
    seen = {
        spec: check_seen_goals(agent, task, goals, asked=asked, allowed=config.allow_seen_goals)
        for spec, agent in zip(config.policies, agents, strict=True)
    }
    knowing = tuple(spec for spec, agent in zip(config.policies, agents, strict=True) if knows_goal(agent))
    queries = config.load_queries()
    run_folder = _run_folder(config, task, queries)
    with run_folder.claim():
        rounds = _read_rounds(run_folder.journal, len(agents))
        play = _Player(config, task, agents, rounds, queries)
        for run in range(config.runs):
            of_run = [one for one in rounds if one.run == run]
            with Bar(f"run {run + 1} of {config.runs}") as bar:
                while (one := play.round(run, of_run)) is not None:
                    of_run.append(one)
                    rounds.append(one)
                    run_folder.journal.append(asdict(one))
                    done, said = sum(len(each.arms) for each in of_run), _standing(config, of_run)
                    bar.update(done, config.num_episodes, said)
                    progress(f"run {run + 1}/{config.runs}, {done}/{config.num_episodes} episodes: {said}")
        report = make_report(config, task, sorted(rounds, key=lambda one: (one.run, one.number)))
        trained = {spec: number for spec, number in seen.items() if number is not None}
        weights = tuple(getattr(agent, "weights_sha256", None) for agent in agents)
        report = replace(
            report,
            num_seen_goals=trained or None,
            know_goal=knowing or None,
            weights_sha256=weights if any(weights) else None,
            **describe_queries(queries),
        )
        table = comparison_table(report).markdown()
        write_text(run_folder.path / TABLE_FILE, table)
        draw(report, run_folder.path)
        run_folder.complete(report.to_json(), table)
    return report


def _run_folder(config: ComparisonConfig, task: Task, queries: QueryModel | None) -> RunFolder:
    """The comparison's folder; more runs can be added to a complete one."""
    return RunFolder(
        path=Path(config.output_dir),
        kind="comparison",
        command="recrl compare",
        settings=recorded(config)
        | {"catalog_sha256": task.sha256}
        | ({} if queries is None else {"query_model_sha256": queries.sha256}),
        settings_file=SETTINGS_FILE,
        result_file=REPORT_FILE,
        files=FILES,
        free=("output_dir", "batch_size", "runs"),
    )


def _read_rounds(journal: Journal, num_agents: int) -> list[Round]:
    """The rounds that were played."""
    rounds = []
    for line, record in enumerate(journal.read(), start=1):
        try:
            one = Round(**record)
        except (TypeError, ValueError) as error:
            raise journal.damaged(line, str(error)) from error
        if len(one.probabilities) != num_agents:
            raise journal.damaged(line, f"a round of {len(one.probabilities)} agents, expected {num_agents}")
        rounds.append(one)
    return rounds


class _Player:
    """Plays rounds; with greedy decoding an agent's episode on a goal is always the same, and is played once."""

    def __init__(
        self,
        config: ComparisonConfig,
        task: Task,
        agents: Sequence[Policy],
        rounds: Sequence[Round],
        queries: QueryModel | None,
    ) -> None:
        self.config, self.task, self.agents, self.queries = config, task, agents, queries
        self.goals = np.asarray(task.split(config.split, config.split_by))
        self.known: dict[tuple[int, int], float] = {}  # (agent, goal) -> reward, read with greedy decoding only
        for one in rounds:  # that an interrupted comparison has played
            self.known |= dict(zip(zip(one.arms, one.goals, strict=True), one.rewards, strict=True))

    def round(self, run: int, played: Sequence[Round]) -> Round | None:
        """The next round of a run; None when it has ended."""
        config, count = self.config, len(self.agents)
        done = sum(len(one.arms) for one in played)
        alpha, beta = posterior(config, played, count)
        stop = config.stop_at_probability
        if done >= config.num_episodes or (stop is not None and played and probability_best(alpha, beta).max() >= stop):
            return None
        rng = np.random.default_rng([config.seed, run, len(played)])
        left = config.num_episodes - done
        if config.allocation == "uniform":
            drawn = rng.choice(self.goals, min(max(config.round_size // count, 1), left // count))
            arms, goals = np.tile(np.arange(count), len(drawn)), np.repeat(drawn, count)
            probabilities = np.full(count, 1 / count)
        else:
            probabilities = allotment(alpha, beta, config.exploration)
            size = min(config.round_size, left)
            arms, goals = rng.choice(count, size, p=probabilities), rng.choice(self.goals, size)
        rewards = self._play(arms, goals, run * config.num_episodes + done)
        success = config.objective == "success"
        trials = rewards == 1 if success else rng.random(len(rewards)) < rewards  # Agrawal and Goyal's device
        return Round(
            run=run,
            number=len(played),
            probabilities=probabilities.tolist(),
            arms=arms.tolist(),
            goals=goals.tolist(),
            rewards=rewards.tolist(),
            trials=trials.astype(int).tolist(),
        )

    def _play(self, arms: np.ndarray, goals: np.ndarray, first_number: int) -> np.ndarray:
        """(episodes,) rewards; the episodes of one agent side by side."""
        config, rewards = self.config, np.empty(len(arms))
        greedy = config.decoding == "greedy"
        for arm in sorted(set(arms.tolist())):
            places = np.flatnonzero(arms == arm)
            wanted = [int(goals[place]) for place in places]
            new = list(dict.fromkeys(goal for goal in wanted if (arm, goal) not in self.known)) if greedy else wanted
            episodes = rollout(
                self.agents[arm], self.task, new, seed=config.seed, split_by=config.split_by,
                batch_size=config.batch_size, max_steps=config.max_steps, greedy=greedy, first_number=first_number,
                queries=self.queries,
            )  # fmt: skip
            found = [episode.reward for episode in episodes]
            if greedy:
                self.known |= {(arm, goal): reward for goal, reward in zip(new, found, strict=True)}
                found = [self.known[arm, goal] for goal in wanted]
            rewards[places] = found
        return rewards


def _standing(config: ComparisonConfig, rounds: Sequence[Round]) -> str:
    """The mean of every agent so far, and the probability that it is the best."""
    alpha, beta = posterior(config, rounds, len(config.policies))
    best = probability_best(alpha, beta)
    return ", ".join(
        f"{Path(name).name} {mean:.2f} (best {chance:.0%})"
        for name, mean, chance in zip(config.policies, alpha / (alpha + beta), best, strict=True)
    )

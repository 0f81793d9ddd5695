"""What `recrl show` does: finds the episodes, plays results again, and draws."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from recrl.episodes.data import Episode
from recrl.errors import DatasetError, PolicyError, RecrlError
from recrl.evaluation.failure_types import KINDS
from recrl.evaluation.legend import marked
from recrl.evaluation.result_types import Result
from recrl.policies.base import knows_goal
from recrl.policies.demonstrator import Demonstrator
from recrl.policies.loading import load_policy
from recrl.reports.config import ShowConfig
from recrl.reports.finding import Run, find_run, is_scripted
from recrl.reports.played import Played, can_be_played_again, check_catalog, explained, play_again
from recrl.reports.terminal import draw_episode, outcome
from recrl.rollouts.config import CatalogSettings
from recrl.rollouts.rollout import rollout
from recrl.tables import TERMINAL_WIDTH, Cell, Table, print_tables
from recrl.webshop.catalog import Catalog

LISTED = 40  # episodes of the table


@dataclass(frozen=True)
class Source:
    """The episodes of one policy.

    Attributes:
        name: of the policy; goals: of its episodes; successes: those that earned 1.
        episodes: gives the episodes of some goals, page by page, in order.
        catalog: what explains them, if it is at hand.
        others: names of other policies that the run holds results of.
    """

    name: str
    goals: Sequence[int]
    failed: Sequence[int]
    episodes: Callable[[Sequence[int]], Iterable[Episode]]
    catalog: Catalog | None
    others: Sequence[str] = ()


def show(config: ShowConfig, *, wait: Callable[[], bool] = lambda: True) -> None:
    """Shows an episode, all that failed, or a list of what there is.

    Args:
        wait: called between episodes; False ends.

    Raises:
        RecrlError: there is nothing to show, or not with this catalogue.
    """
    source = find_source(config)
    console = Console()
    console = console if console.is_terminal else Console(width=TERMINAL_WIDTH)
    if config.goal is not None:
        if config.goal not in source.goals:
            some = ", ".join(map(str, source.goals[:5]))
            raise DatasetError(f"{config.source} holds no episode of goal {config.goal}; it holds {some} and others")
        for episode in source.episodes([config.goal]):
            draw_episode(explained(episode, source.catalog), console, name=source.name)
    elif config.failures is not None:
        _draw_failures(source, config.failures, console, wait)
    else:
        _list(config, source)


def _draw_failures(source: Source, number: int, console: Console, wait: Callable[[], bool]) -> None:
    """The failed episodes, class by class; ``number``: of each, 0 for all."""
    if not source.failed:
        console.print(f"{source.name}: none of {len(source.goals)} episodes failed")
        return
    played = [explained(episode, source.catalog) for episode in source.episodes(source.failed)]
    by_kind: dict[str, list[Played]] = {kind: [] for kind in [*KINDS, ""]}
    for one in played:
        by_kind[one.failure.kind if one.failure else ""].append(one)
    chosen = [one for of_kind in by_kind.values() for one in (of_kind[:number] if number else of_kind)]
    for place, one in enumerate(chosen, 1):
        if place > 1 and not wait():
            return
        console.print(f"\nfailure {place} of {len(chosen)}", style="bold", highlight=False)
        draw_episode(one, console, name=source.name)


def _list(config: ShowConfig, source: Source) -> None:
    """A table of the first episodes, the failed ones first, and the commands that show them."""
    failed = set(source.failed)
    ordered = sorted(source.goals, key=lambda goal: goal not in failed)[:LISTED]
    played = [explained(episode, source.catalog) for episode in source.episodes(ordered)]
    rows: list[list[Cell]] = [
        [one.episode.goal_index, outcome(one), one.episode.num_steps, one.episode.instruction] for one in played
    ]
    others = f" Other policies here: {', '.join(source.others)}; choose with --policy." if source.others else ""
    said = (
        f"{source.name}: {len(source.goals)} episodes, {len(failed)} failed; {len(rows)} are listed, failed ones "
        f"first. `recrl show {config.source} --goal {ordered[0]}` shows one, --failures all that failed.{others}"
    )
    legend = {
        "goal": "its number among all goals of the catalogue, as --goal takes it",
        "outcome": "success (a reward of 1), or why it failed, with the reward from 0 to 1",
    }
    print_tables([Table(("goal", "outcome", "steps", "instruction"), rows, said, legend=legend)], config.format)


def find_source(config: ShowConfig) -> Source:
    """The episodes that the settings name.

    Raises:
        RecrlError: there are none, or not with this catalogue.
    """
    run = find_run(config.source) if Path(config.source).exists() else None
    if run is not None and run.episodes:
        return _of_dataset(config, run)
    playable = {name: one for name, one in run.results.items() if one.max_steps is not None} if run else {}
    if run is not None and playable:
        return _of_result(config, run, playable)
    return _of_policy(config, run)


def catalog_for(config: CatalogSettings, run: Run | None) -> Catalog:
    """The catalogue that the settings name, or else the run's own.

    Raises:
        CatalogError: it cannot be opened.
    """
    asked = {name: getattr(config, name) for name in ("catalog", "goal_seed", "human_goals", "wording")}
    said = {} if run is None else run.catalog_settings()
    default = {"catalog": None, "goal_seed": 0, "human_goals": False, "wording": "template"}
    changes = {name: value for name, value in said.items() if asked[name] == default[name]}
    return replace(config, **changes).load_catalog()


def _of_dataset(config: ShowConfig, run: Run) -> Source:
    by_goal: dict[int, list[Episode]] = {}
    for episode in run.episodes:
        by_goal.setdefault(episode.goal_index, []).append(episode)
    catalog: Catalog | None
    try:
        catalog = catalog_for(config, run)
    except RecrlError:
        if config.catalog is not None:
            raise
        catalog = None  # the episodes hold their pages
    failed = [goal for goal, episodes in by_goal.items() if not all(episode.success for episode in episodes)]
    policy = run.episodes[0].policy
    return Source(
        name=marked(policy, knows_goal=policy == Demonstrator.name),
        goals=list(by_goal),
        failed=failed,
        episodes=lambda goals: [episode for goal in goals for episode in by_goal[goal]],
        catalog=catalog,
    )


def _of_result(config: ShowConfig, run: Run, results: dict[str, Result]) -> Source:
    name = config.policy or _best_trained(results)
    if name not in results:
        raise DatasetError(f"{config.source} holds no result of {name!r}; it has those of {', '.join(results)}")
    result = results[name]
    if not can_be_played_again(result):
        why = "is a mean over seeds" if result.success_by_seed else "was written before results held what was done"
        raise DatasetError(f"the result of {name} {why}; evaluate it again, with --output_json")
    catalog = catalog_for(config, run)
    check_catalog(result, catalog)
    records = {record.goal_index: record for record in result.episodes}
    return Source(
        name=marked(name, knows_goal=result.knows_goal),
        goals=list(records),
        failed=[record.goal_index for record in result.episodes if not record.success],
        episodes=lambda goals: play_again(result, catalog, [records[goal] for goal in goals]),
        catalog=catalog,
        others=[other for other in results if other != name],
    )


def _best_trained(results: dict[str, Result]) -> str:
    """The best of what was trained, or else of all."""
    trained = {name: one for name, one in results.items() if not is_scripted(one)} or results
    return max(trained, key=lambda name: (trained[name].success_rate, trained[name].score))


def _of_policy(config: ShowConfig, run: Run | None) -> Source:
    """A policy that plays the goal here and now, by its most probable actions."""
    try:
        policy = load_policy(config.policy or config.source)
    except RecrlError as error:
        if config.policy:
            raise
        raise DatasetError(
            f"{config.source!r} is no run's folder, result file or trajectory dataset, and no policy either: {error}"
        ) from error
    if config.goal is None:
        raise PolicyError(
            f"{config.source} holds no episodes; name a goal for the policy {policy.name!r} to play, such as --goal 17"
        )
    catalog = catalog_for(config, run)
    if not config.goal < len(catalog.goals):
        raise DatasetError(f"goal={config.goal}, expected 0 to {len(catalog.goals) - 1}")

    def play(goals: Sequence[int]) -> Iterable[Episode]:
        return rollout(policy, catalog, goals, seed=0, max_steps=config.max_steps, greedy=True)

    name = marked(policy.name, knows_goal=knows_goal(policy))
    return Source(name=name, goals=[config.goal], failed=[], episodes=play, catalog=catalog)


def wait_for_enter() -> bool:
    """Waits between episodes where a person sits at the terminal; False when that person has seen enough."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    try:
        return not input("\nEnter shows the next one, q ends. ").strip().lower().startswith("q")
    except EOFError:
        return False

"""Episodes that can be looked at: stored ones as they are, those of results played again from what was done.

Pages follow from the catalogue and the actions, so a result keeps the actions, and `play_again` gives the pages.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recrl.episodes.data import Episode
from recrl.episodes.decisions import Decision
from recrl.errors import CatalogError, DatasetError
from recrl.evaluation.failure_types import Failure
from recrl.evaluation.failures import explain_failure, follow_episode
from recrl.evaluation.result_types import EpisodeRecord, Result
from recrl.policies.base import Choice
from recrl.rollouts.rollout import rollout
from recrl.webshop import actions
from recrl.webshop.catalog import Catalog
from recrl.webshop.receipts import Receipt, make_receipt


@dataclass(frozen=True)
class Played:
    """An episode with what explains it.

    Attributes:
        episode: as it was played.
        receipt: of the purchase; None without one, or without the catalogue.
        failure: why it failed; None for a success, or without the catalogue.
    """

    episode: Episode
    receipt: Receipt | None
    failure: Failure | None


@dataclass(frozen=True)
class _Recorded:
    """Does what a record says, and says of it what the policy did."""

    name: str
    record: EpisodeRecord
    catalog_sha256: None = None

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        [decision], record = decisions, self.record
        assert record.actions is not None
        place = len(decision.previous_actions)
        action = record.actions[place] if place < len(record.actions) else None
        if action not in decision.valid_actions:
            raise DatasetError(
                f"the episode of goal {record.goal_index} cannot be played again: its step {place + 1}, {action!r}, is "
                "not on its page; the file was changed, or made with another version"
            )
        probabilities = record.probabilities[place] if record.probabilities else ()
        return [
            Choice(
                decision.valid_actions.index(action),
                0.0,
                probabilities=probabilities if len(probabilities) == len(decision.valid_actions) else (),
                value=record.values[place] if record.values else None,
            )
        ]


def check_catalog(result: Result, catalog: Catalog) -> None:
    """Raises DatasetError unless a result is of this catalogue and its goals."""
    theirs = result.catalog_sha256, result.goals_sha256
    if (catalog.sha256, catalog.goals_sha256) != theirs:
        raise DatasetError(
            f"the result is of catalogue {theirs[0]:.12} with goals {theirs[1]:.12}, this is {catalog.sha256:.12} with "
            f"{catalog.goals_sha256:.12}; name its catalogue with --catalog, and --goal_seed, --human_goals or "
            "--wording as when it was made. Of an environment of your own, trajectory datasets can be shown"
        )


def can_be_played_again(result: Result) -> bool:
    """Whether a result holds what was done; those of older versions, of ceilings and of means over seeds do not."""
    return all(record.actions is not None for record in result.episodes)


def play_again(result: Result, catalog: Catalog, records: Sequence[EpisodeRecord] | None = None) -> Iterator[Episode]:
    """The episodes of a result, or of some of its records, page by page.

    Raises:
        DatasetError: it is of another catalogue, holds no actions, or one that its page does not offer; or the reward
            comes out as another.
    """
    check_catalog(result, catalog)
    assert result.max_steps is not None
    for record in result.episodes if records is None else records:
        if record.actions is None:
            raise DatasetError(
                f"the result of {result.policy} does not hold what was done, as files of version 3 do; evaluate again"
            )
        [episode] = rollout(
            _Recorded(result.policy, record),
            catalog,
            [record.goal_index],
            seed=0,
            split_by=result.split_by,
            batch_size=1,
            max_steps=result.max_steps,
            queries=_typed(record.actions),
        )
        if abs(episode.reward - record.reward) > 1e-9 or episode.bought_asin != record.bought_asin:
            raise DatasetError(
                f"the episode of goal {record.goal_index} ends with reward {episode.reward:.3f} when it is played "
                f"again, recorded is {record.reward:.3f}; the file was changed, or made with another version"
            )
        yield episode


def _typed(done: Sequence[str]) -> Callable[[str], list[str]]:
    """Proposes the queries that were searched for, so that they are on the search page."""
    parsed = [actions.parse(action) for action in done]
    words = [one.argument for one in parsed if one is not None and one.verb == actions.SEARCH]
    return lambda instruction: [one for one in dict.fromkeys(words) if actions.is_query(one)]


def explained(episode: Episode, catalog: Catalog | None) -> Played:
    """An episode with its receipt and why it failed, as far as its catalogue is at hand."""
    known = catalog is not None and (catalog.sha256, catalog.goals_sha256) == (
        episode.catalog_sha256,
        episode.goals_sha256,
    )
    if catalog is None or not known or not 0 <= episode.goal_index < len(catalog.goals):
        return Played(episode, None, None)
    receipt = None
    if episode.terminated:
        trail = follow_episode(episode)
        try:
            receipt = make_receipt(catalog, catalog.goals[episode.goal_index], trail.asin, trail.options)
        except CatalogError:  # a stored episode that was changed
            return Played(episode, None, None)
    return Played(episode, receipt, explain_failure(catalog, episode))

"""Episodes -> preference pairs: two actions on one page, one of which is preferred ("chosen" in DPO's words).

Two builders, by name in `PAIR_BUILDERS`:

- ``steps`` (arXiv:2408.16032): at each decision of a kept trajectory the chosen action is the trajectory's own, the
  rejected one is drawn from the reference policy on the same page. The paper does not say what happens when the draw
  is the chosen action: we redraw until it differs. That is done in one draw, from the reference distribution without
  the chosen action, renormalised, which is equal in law. Pages with a single action are left out.
- ``contrasts`` (ours): where several episodes of one goal passed the same page and left it by different actions, the
  action with the best mean reward is chosen, each one with a lower mean is rejected. The reward decides, so this
  needs the failed episodes too.

`recrl.preference_data` has the pair itself and its row in a dataset.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from recrl.episodes import Episode
from recrl.errors import ConfigError, DatasetError
from recrl.policies import Decision
from recrl.preference_data import Preference

Scorer = Callable[[Sequence[Decision]], Sequence[np.ndarray]]  # decisions -> for each (actions,) log-probabilities


def _decision(episode: Episode, place: int) -> Decision:
    """The decision of the episode's step ``place``."""
    step = episode.steps[place]
    return Decision(
        observation=step.observation,
        instruction=episode.instruction,
        valid_actions=step.valid_actions,
        previous_actions=tuple(earlier.action for earlier in episode.steps[:place]),
        env=None,
    )


def _preference(
    episode: Episode, decision: Decision, log_probs: np.ndarray, chosen_index: int, rejected_index: int, **fields: Any
) -> Preference:
    return Preference(
        goal_index=episode.goal_index,
        catalog_sha256=episode.catalog_sha256,
        goals_sha256=episode.goals_sha256,
        protocol=episode.protocol,
        instruction=episode.instruction,
        observation=decision.observation,
        valid_actions=tuple(decision.valid_actions),
        previous_actions=tuple(decision.previous_actions),
        chosen_index=chosen_index,
        rejected_index=rejected_index,
        chosen_log_prob=float(log_probs[chosen_index]),
        rejected_log_prob=float(log_probs[rejected_index]),
        **fields,
    )


def rejected_probabilities(log_probs: np.ndarray, valid_actions: Sequence[str], chosen_index: int) -> np.ndarray:
    """The law of "draw from the reference until the action differs from the chosen one".

    Args:
        log_probs: (actions,) the reference policy's.

    Returns:
        (actions,) probabilities, 0 at every action that reads like the chosen one; all 0 if there is no other.
    """
    chosen = valid_actions[chosen_index]
    others = np.array([action != chosen for action in valid_actions])
    scores = np.where(others, np.asarray(log_probs, dtype=np.float64), -np.inf)
    if not np.isfinite(scores).any():
        return np.zeros(len(scores))
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def step_preferences(
    episodes: Iterable[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> list[Preference]:
    """The paper's pairs: the trajectory's action against one drawn from the reference policy.

    Args:
        reference: the reference policy's log-probabilities.
        rng: of the draws, one a pair, in the order of the steps; the result does not depend on ``batch_size``.
        min_reward: episodes below it are left out.
    """
    places = [
        (episode, place)
        for episode in episodes
        if episode.reward >= min_reward
        for place, step in enumerate(episode.steps)
        if len(step.valid_actions) > 1
    ]
    pairs = []
    for start in range(0, len(places), batch_size):
        batch = places[start : start + batch_size]
        decisions = [_decision(episode, place) for episode, place in batch]
        for (episode, place), decision, log_probs in zip(batch, decisions, reference(decisions), strict=True):
            chosen_index = episode.steps[place].action_index
            cumulative = rejected_probabilities(log_probs, decision.valid_actions, chosen_index).cumsum()
            if cumulative[-1] > 0:
                # The draw is below the total, so it falls on an action whose probability is not 0.
                rejected_index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
                pairs.append(
                    _preference(
                        episode,
                        decision,
                        log_probs,
                        chosen_index,
                        rejected_index,
                        chosen_outcome=episode.reward,
                        rejected_outcome=None,
                        origin="trajectory",
                    )
                )
    return pairs


def contrast_preferences(
    episodes: Iterable[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> list[Preference]:
    """Pairs by outcome: episodes of one goal that left the same page by different actions.

    An action's outcome is the mean reward of the episodes whose last departure from the page it was. The one with the
    best outcome, which must be at least ``min_reward``, is chosen; each one with a lower outcome is rejected.
    ``rng`` is not used: nothing is drawn.
    """
    departures: dict[tuple[Any, ...], dict[str, list[tuple[Episode, int]]]] = defaultdict(lambda: defaultdict(list))
    for episode in episodes:
        last = {(step.observation, step.valid_actions): place for place, step in enumerate(episode.steps)}
        for page, place in last.items():
            goal = (episode.catalog_sha256, episode.goals_sha256, episode.goal_index)
            departures[goal, page][episode.steps[place].action].append((episode, place))
    found = []
    for actions in departures.values():
        outcomes = {
            action: float(np.mean([episode.reward for episode, _ in taken])) for action, taken in actions.items()
        }
        best = max(outcomes, key=outcomes.__getitem__)
        if outcomes[best] >= min_reward:
            found += [
                (*actions[best][0], action, outcomes[best], outcome)
                for action, outcome in outcomes.items()
                if outcome < outcomes[best]
            ]
    pairs = []
    for start in range(0, len(found), batch_size):
        batch = found[start : start + batch_size]
        decisions = [_decision(episode, place) for episode, place, *_ in batch]
        for (episode, place, rejected, best_outcome, outcome), decision, log_probs in zip(
            batch, decisions, reference(decisions), strict=True
        ):
            pairs.append(
                _preference(
                    episode,
                    decision,
                    log_probs,
                    episode.steps[place].action_index,
                    decision.valid_actions.index(rejected),
                    chosen_outcome=best_outcome,
                    rejected_outcome=outcome,
                    origin="contrast",
                )
            )
    return pairs


PAIR_BUILDERS = {"steps": step_preferences, "contrasts": contrast_preferences}


def build_preferences(
    episodes: Sequence[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    pairs: Sequence[str] = ("steps",),
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> list[Preference]:
    """Runs the named builders one after the other; see the module's docstring.

    Raises:
        ConfigError: a builder is unknown.
        DatasetError: no pair is left.
    """
    unknown = [name for name in pairs if name not in PAIR_BUILDERS]
    if unknown or not pairs:
        raise ConfigError(f"pairs={list(pairs)}: expected one or more of {', '.join(PAIR_BUILDERS)}")
    made = [
        pair
        for name in pairs
        for pair in PAIR_BUILDERS[name](episodes, reference, rng, min_reward=min_reward, batch_size=batch_size)
    ]
    if not made:
        kept = [episode for episode in episodes if episode.reward >= min_reward]
        choices = sum(len(step.valid_actions) > 1 for episode in kept for step in episode.steps)
        raise DatasetError(
            f"no preference pair is left: {len(kept)} of {len(episodes)} episodes have reward >= {min_reward:g}, with "
            f"{choices} pages that offer a choice (pairs: {', '.join(pairs)}). Collect more with "
            "`recrl generate-trajectories` or lower min_reward."
        )
    return made

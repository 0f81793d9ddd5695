"""Episodes -> preference pairs, by builders that are chosen by name (`PAIR_BUILDERS`):

- ``steps`` (arXiv:2408.16032): at each decision of a kept trajectory the chosen action is the trajectory's own, the
  rejected one is drawn from the reference policy on the same page. The paper does not say what happens when the draw
  is the chosen action: we redraw until it differs. That is done in one draw, from the reference distribution without
  the chosen action, renormalised, which is equal in law. Pages with a single action are left out.
- ``contrasts``: where several episodes of one goal passed the same page and left it by different actions, the action
  with the best mean reward is chosen, each one with a lower mean is rejected. Actions at one state compared by what
  sampled continuations reached is how IPR (arXiv:2406.11176) scores steps; it samples along expert trajectories, we
  take what the episodes themselves have in common.
- ``trajectories``: of the episodes of one goal the best is chosen against each worse one, as a whole, as ETO
  (arXiv:2403.02502) contrasts failures with successes; its successes are an expert's, ours the agent's own.

The last two need the failed episodes too, and several of each goal. Every builder says what it left out.
`recrl.preference_data` has the pair itself and its row in a dataset.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recrl.episodes import Episode
from recrl.errors import ConfigError, NoPairsError
from recrl.policies import Decision
from recrl.preference_data import Move, Preference

Scorer = Callable[[Sequence[Decision]], Sequence[np.ndarray]]  # decisions -> for each (actions,) log-probabilities


@dataclass
class PairSet:
    """What builders made.

    Attributes:
        pairs: in the order of the builders and, within one, of the episodes.
        left_out: reason -> how often.
    """

    pairs: list[Preference] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


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


def _move(decision: Decision, action_index: int, log_probs: np.ndarray) -> Move:
    return Move(
        observation=decision.observation,
        valid_actions=tuple(decision.valid_actions),
        previous_actions=tuple(decision.previous_actions),
        action_index=action_index,
        log_prob=float(log_probs[action_index]),
    )


def _preference(episode: Episode, chosen: Sequence[Move], rejected: Sequence[Move], **fields: Any) -> Preference:
    return Preference(
        goal_index=episode.goal_index,
        catalog_sha256=episode.catalog_sha256,
        goals_sha256=episode.goals_sha256,
        protocol=episode.protocol,
        instruction=episode.instruction,
        chosen_moves=tuple(chosen),
        rejected_moves=tuple(rejected),
        **fields,
    )


def _goal(episode: Episode) -> tuple[str, str, int]:
    return episode.catalog_sha256, episode.goals_sha256, episode.goal_index


def _scored(decisions: Sequence[Decision], reference: Scorer, batch_size: int) -> list[np.ndarray]:
    """(actions,) log-probabilities of each decision, a batch at a time."""
    return [
        log_probs
        for start in range(0, len(decisions), batch_size)
        for log_probs in reference(decisions[start : start + batch_size])
    ]


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
) -> PairSet:
    """The paper's pairs: the trajectory's action against one drawn from the reference policy.

    Args:
        reference: the reference policy's log-probabilities.
        rng: of the draws, one a pair, in the order of the steps; the result does not depend on ``batch_size``.
        min_reward: episodes below it are left out.
    """
    found, places = PairSet(), []
    for episode in episodes:
        if episode.reward < min_reward:
            found.left_out["episodes below min_reward"] += 1
            continue
        for place, step in enumerate(episode.steps):
            if len(set(step.valid_actions)) > 1:
                places.append((episode, place))
            else:
                found.left_out["pages without a choice"] += 1
    decisions = [_decision(episode, place) for episode, place in places]
    for (episode, place), decision, log_probs in zip(
        places, decisions, _scored(decisions, reference, batch_size), strict=True
    ):
        chosen_index = episode.steps[place].action_index
        cumulative = rejected_probabilities(log_probs, decision.valid_actions, chosen_index).cumsum()
        if not cumulative[-1] > 0:
            found.left_out["pages where the reference knows no other action"] += 1
            continue
        # The draw is below the total, so it falls on an action whose probability is not 0.
        rejected_index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        chosen, rejected = (_move(decision, index, log_probs) for index in (chosen_index, rejected_index))
        found.pairs.append(
            _preference(
                episode, [chosen], [rejected],
                chosen_outcome=episode.reward, rejected_outcome=None, origin="steps",
            )
        )  # fmt: skip
    return found


def contrast_preferences(
    episodes: Iterable[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> PairSet:
    """Pairs by outcome: episodes of one goal that left the same page by different actions.

    An action's outcome is the mean reward of the episodes whose last departure from the page it was. The one with the
    best outcome, which must be at least ``min_reward``, is chosen; each one with a lower outcome is rejected.
    ``rng`` is not used: nothing is drawn.
    """
    departures: dict[tuple[Any, ...], dict[str, list[tuple[Episode, int]]]] = defaultdict(lambda: defaultdict(list))
    for episode in episodes:
        last = {(step.observation, step.valid_actions): place for place, step in enumerate(episode.steps)}
        for page, place in last.items():
            departures[_goal(episode), page][episode.steps[place].action].append((episode, place))
    found, contrasts = PairSet(), []
    for actions in departures.values():
        outcomes = {
            action: float(np.mean([episode.reward for episode, _ in taken])) for action, taken in actions.items()
        }
        best = max(outcomes, key=outcomes.__getitem__)
        if outcomes[best] < min_reward:
            found.left_out["contrasts without an action of min_reward"] += len(outcomes) - 1
            continue
        for action, outcome in outcomes.items():
            if outcome < outcomes[best]:
                contrasts.append((*actions[best][0], action, outcomes[best], outcome))
            elif action != best:
                found.left_out["contrasts that tie"] += 1
    decisions = [_decision(episode, place) for episode, place, *_ in contrasts]
    for (episode, place, action, best_outcome, outcome), decision, log_probs in zip(
        contrasts, decisions, _scored(decisions, reference, batch_size), strict=True
    ):
        indices = episode.steps[place].action_index, decision.valid_actions.index(action)
        chosen, rejected = (_move(decision, index, log_probs) for index in indices)
        found.pairs.append(
            _preference(
                episode, [chosen], [rejected],
                chosen_outcome=best_outcome, rejected_outcome=outcome, origin="contrasts",
            )
        )  # fmt: skip
    return found


def trajectory_preferences(
    episodes: Iterable[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> PairSet:
    """Pairs of whole episodes of one goal: the best, which must reach ``min_reward``, against each worse one.

    Of equally good episodes the shortest is chosen, of equally short ones the first; of episodes with the same actions
    one is taken. Pages without a choice are no part of a side: whatever the policy, their log-probability is 0.
    ``rng`` is not used: nothing is drawn.
    """
    by_goal: dict[tuple[str, str, int], dict[tuple[str, ...], Episode]] = defaultdict(dict)
    for episode in episodes:
        by_goal[_goal(episode)].setdefault(tuple(step.action for step in episode.steps), episode)
    found, couples = PairSet(), []
    for ways in by_goal.values():
        best = min(ways.values(), key=lambda episode: (-episode.reward, episode.num_steps))
        if best.reward < min_reward:
            found.left_out["episodes of goals without one of min_reward"] += len(ways)
            continue
        for episode in ways.values():
            if episode.reward < best.reward:
                couples.append((best, episode))
            elif episode is not best:
                found.left_out["episodes that tie with the best"] += 1
    needed = list({id(episode): episode for couple in couples for episode in couple}.values())
    places = [
        (episode, place)
        for episode in needed
        for place, step in enumerate(episode.steps)
        if len(set(step.valid_actions)) > 1
    ]
    decisions = [_decision(episode, place) for episode, place in places]
    moves: dict[int, list[Move]] = defaultdict(list)
    for (episode, place), decision, log_probs in zip(
        places, decisions, _scored(decisions, reference, batch_size), strict=True
    ):
        moves[id(episode)].append(_move(decision, episode.steps[place].action_index, log_probs))
    for best, worse in couples:
        chosen, rejected = moves[id(best)], moves[id(worse)]
        if not (chosen and rejected) or [move.action for move in chosen] == [move.action for move in rejected]:
            found.left_out["episodes that differ in nothing that was chosen"] += 1
            continue
        found.pairs.append(
            _preference(
                best, chosen, rejected,
                chosen_outcome=best.reward, rejected_outcome=worse.reward, origin="trajectories",
            )
        )  # fmt: skip
    return found


PAIR_BUILDERS = {"steps": step_preferences, "contrasts": contrast_preferences, "trajectories": trajectory_preferences}


def build_preferences(
    episodes: Sequence[Episode],
    reference: Scorer,
    rng: np.random.Generator,
    *,
    pairs: Sequence[str] = ("steps",),
    min_reward: float = 1.0,
    weight_by_margin: bool = False,
    batch_size: int = 64,
) -> PairSet:
    """Runs the named builders one after the other; see the module's docstring.

    Args:
        weight_by_margin: a pair weighs the difference of its outcomes, where both are known; else every pair weighs 1.

    Raises:
        ConfigError: a builder is unknown.
        NoPairsError: no pair is left.
    """
    unknown = [name for name in pairs if name not in PAIR_BUILDERS]
    if unknown or not pairs:
        raise ConfigError(f"pairs={list(pairs)}: expected one or more of {', '.join(PAIR_BUILDERS)}")
    made = PairSet()
    for name in pairs:
        found = PAIR_BUILDERS[name](episodes, reference, rng, min_reward=min_reward, batch_size=batch_size)
        made.pairs += found.pairs
        made.left_out += found.left_out
    if not made.pairs:
        reasons = "; ".join(f"{count} {reason}" for reason, count in made.left_out.items()) or "nothing to compare"
        raise NoPairsError(
            f"no preference pair is left of {len(episodes)} episodes (pairs: {', '.join(pairs)}, "
            f"min_reward {min_reward:g}): {reasons}. Collect more with `recrl generate-trajectories` (for contrasts "
            "and trajectories with --rollouts_per_goal above 1 and --min_reward 0), or lower min_reward."
        )
    if weight_by_margin:
        made.pairs = [_weighted(pair) for pair in made.pairs]
    return made


def _weighted(pair: Preference) -> Preference:
    if pair.chosen_outcome is None or pair.rejected_outcome is None:
        return pair
    return replace(pair, weight=pair.chosen_outcome - pair.rejected_outcome)

"""Episodes -> preference pairs, by builders that are chosen by name (`PAIR_BUILDERS`):

- ``steps`` (arXiv:2408.16032): at each decision of a kept trajectory the chosen action is the trajectory's own, the
  rejected one is drawn from the reference policy on the same page. The paper does not say what happens when the draw
  is the chosen action: we redraw until it differs. That is done in one draw, from the reference distribution without
  the chosen action, renormalised, which is equal in law. Pages with a single action are left out, and so are draws that
  other episodes have tried on the same page with an outcome that was not lower.
- ``contrasts``: where several episodes of one goal passed the same page and left it by different actions, the action
  with the best mean reward is chosen, each one with a lower mean is rejected. That actions at one state are compared by
  what sampled continuations reached is IPR's (arXiv:2406.11176). What deviates: it samples along expert trajectories
  and contrasts what follows a step, above a threshold; we compare single actions, on the pages that the episodes have
  in common, and any difference counts.
- ``trajectories``: of the episodes of one goal the best is chosen against each worse one, as a whole, as ETO
  (arXiv:2403.02502) contrasts failures with successes. What deviates: its successes are an expert's, ours the agent's
  own, and must reach ``min_reward``.

Neither of the first two rejects what is as good as what was chosen: an action that the chosen way takes later on an
equal place, such as the option that it clicks next, because the reward does not depend on their order; a product with
which an episode of the goal earned as much; and what a teacher held right there (`recrl.episodes.data.Step`).

The last two need the failed episodes too, and several of each goal. Every builder says what it left out. An outcome is
the mean reward of the episodes that left a page by an action, each counted by its last departure from that page.
`recrl.preferences.data` has the pair itself and its row in a dataset.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from recrl.episodes.data import Episode, Step
from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import TrainedOn
from recrl.errors import ConfigError, NoPairsError
from recrl.preferences.data import Move, Preference
from recrl.progress import tracked
from recrl.webshop import actions
from recrl.webshop.pages import Page

LogProbs = Callable[[Sequence[Decision]], Sequence[np.ndarray]]  # decisions -> for each (actions,) log-probabilities
Shown = tuple[Any, ...]  # the goal, the observation and the valid actions


@dataclass
class PairSet:
    """What builders made.

    Attributes:
        pairs: in the order of the builders and, within one, of the episodes.
        left_out: reason -> how often.
        trained_on: the goals that they are about, which is what learning from them trains on.
    """

    pairs: list[Preference] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    trained_on: TrainedOn = ()


def _move(decision: Decision, action_index: int, log_probs: np.ndarray) -> Move:
    return Move(decision, action_index, float(log_probs[action_index]))


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


def _shown(episode: Episode, place: int) -> Shown:
    step = episode.steps[place]
    return _goal(episode), step.observation, step.valid_actions


def _departures(episodes: Iterable[Episode]) -> dict[Shown, dict[str, list[tuple[Episode, int]]]]:
    """Page -> action by which it was left for the last time -> the episodes and their steps, in order."""
    found: dict[Shown, dict[str, list[tuple[Episode, int]]]] = defaultdict(lambda: defaultdict(list))
    for episode in episodes:
        last = {_shown(episode, place): place for place in range(episode.num_steps)}
        for page, place in last.items():
            found[page][episode.steps[place].action].append((episode, place))
    return found


def _outcome(taken: Sequence[tuple[Episode, int]]) -> Fraction:
    """The mean reward, exact: a mean of floats would tell equal outcomes apart."""
    return sum((Fraction(episode.reward) for episode, _ in taken), Fraction()) / len(taken)


def _place(step: Step) -> Page:
    """The page of a step as if nothing had been clicked on it before."""
    page = step.page.without_marks()
    return replace(page, options=tuple(group._replace(clicked=()) for group in page.options))


def _taken_later(episode: Episode, place: int, action: str) -> bool:
    """Whether the episode takes the action after step ``place`` on an equal place, where it would have been as good.

    Only of the purchase this says nothing: bought too early, the rest is missing.
    """
    if action == actions.BUY_NOW:
        return False
    here = _place(episode.steps[place])
    return any(step.action == action and _place(step) == here for step in episode.steps[place + 1 :])


def _opened(step: Step, action: str) -> str | None:
    """The asin of the product that the action opens on the step's page; None if it opens none."""
    parsed = actions.parse(action)
    place = None if parsed is None else step.page.place_of(parsed.argument)
    return None if place is None else step.page.listing[place].asin


def _earned(episodes: Iterable[Episode]) -> dict[tuple[Any, str], Fraction]:
    """Goal and asin -> the best reward of the episodes that bought this product for this goal."""
    best: dict[tuple[Any, str], Fraction] = {}
    for episode in episodes:
        opened = [asin for step in episode.steps if (asin := _opened(step, step.action)) is not None]
        if episode.terminated and opened:
            bought = _goal(episode), opened[-1]
            best[bought] = max(best.get(bought, Fraction(0)), Fraction(episode.reward))
    return best


def _as_good(
    ways: Iterable[tuple[Episode, int]], action: str, outcome: Fraction, earned: dict[tuple[Any, str], Fraction]
) -> str | None:
    """Why an action is as good as the one that was chosen, for the counts of what is left out; None if it is not.

    Args:
        ways: the episodes that took the chosen action, and their steps on the same page.
        outcome: of the chosen action.
    """
    for episode, place in ways:
        step = episode.steps[place]
        if any(step.valid_actions[index] == action for index in step.right_actions):
            return "actions that a teacher holds right"
        if episode.reward >= outcome and _taken_later(episode, place, action):
            return "actions that the chosen way takes later"
        product = _opened(step, action)
        if product is not None and earned.get((_goal(episode), product), Fraction(-1)) >= outcome:
            return "products that earned as much in another episode"
    return None


def _decisions(places: Sequence[tuple[Episode, int]]) -> list[Decision]:
    """What was seen at steps of episodes."""
    seen: dict[int, list[Decision]] = {}
    for episode, _ in places:
        if id(episode) not in seen:
            seen[id(episode)] = list(episode.decisions())
    return [seen[id(episode)][place] for episode, place in places]


def _scored(decisions: Sequence[Decision], reference: LogProbs, batch_size: int) -> list[np.ndarray]:
    """(actions,) log-probabilities of each decision, a batch at a time."""
    starts = range(0, len(decisions), batch_size)
    return [
        log_probs
        for start in tracked(starts, "asking the reference policy", len(starts))
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
    reference: LogProbs,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> PairSet:
    """The paper's pairs: the trajectory's action against one drawn from the reference policy.

    Args:
        episodes: all of them, those below ``min_reward`` too: they say what was tried.
        reference: the reference policy's log-probabilities.
        rng: of the draws, one a pair, in the order of the steps; the result does not depend on ``batch_size``.
        min_reward: episodes below it are left out.
    """
    episodes = list(episodes)
    earned = _earned(episodes)
    tried = {
        page: {action: _outcome(taken) for action, taken in ways.items()}
        for page, ways in _departures(episodes).items()
    }
    found, places = PairSet(), []
    for episode in episodes:
        if episode.reward < min_reward:
            found.left_out["episodes below min_reward"] += 1
            continue
        for place, step in enumerate(episode.steps):
            if not step.accepted:
                found.left_out["written actions that the environment refused"] += 1
            elif len(set(step.valid_actions)) > 1:
                places.append((episode, place))
            else:
                found.left_out["pages without a choice"] += 1
    decisions = _decisions(places)
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
        outcomes = tried[_shown(episode, place)]
        # Where the episode came back to the page and left it otherwise, no last departure says what this action earned.
        outcome = outcomes.get(chosen.action, Fraction(episode.reward))
        if outcomes.get(rejected.action, Fraction(-1)) >= outcome:
            found.left_out["draws that were tried with no lower outcome"] += 1
            continue
        if (reason := _as_good([(episode, place)], rejected.action, outcome, earned)) is not None:
            found.left_out[reason] += 1
            continue
        known = outcomes.get(rejected.action)
        found.pairs.append(
            _preference(
                episode, [chosen], [rejected], chosen_outcome=float(outcome),
                rejected_outcome=None if known is None else float(known), origin="steps",
            )
        )  # fmt: skip
    return found


def contrast_preferences(
    episodes: Iterable[Episode],
    reference: LogProbs,
    rng: np.random.Generator,
    *,
    min_reward: float = 1.0,
    batch_size: int = 64,
) -> PairSet:
    """Pairs by outcome: episodes of one goal that left the same page by different actions.

    An action's outcome is the mean reward of the episodes whose last departure from the page it was. The one with the
    best outcome, which must be at least ``min_reward``, is chosen; each one with a lower outcome is rejected, unless it
    is as good. ``rng`` is not used: nothing is drawn.
    """
    episodes = list(episodes)
    earned = _earned(episodes)
    found, contrasts = PairSet(), []
    for ways in _departures(episodes).values():
        outcomes = {action: _outcome(taken) for action, taken in ways.items()}
        best = max(outcomes, key=outcomes.__getitem__)
        if float(outcomes[best]) < min_reward:
            found.left_out["contrasts without an action of min_reward"] += len(outcomes) - 1
            continue
        for action, outcome in outcomes.items():
            if action == best:
                continue
            if outcome == outcomes[best]:
                found.left_out["contrasts that tie"] += 1
            elif (reason := _as_good(ways[best], action, outcomes[best], earned)) is not None:
                found.left_out[reason] += 1
            else:
                contrasts.append((*ways[best][0], action, outcomes[best], outcome))
    decisions = _decisions([(episode, place) for episode, place, *_ in contrasts])
    for (episode, place, action, best_outcome, outcome), decision, log_probs in zip(
        contrasts, decisions, _scored(decisions, reference, batch_size), strict=True
    ):
        indices = episode.steps[place].action_index, decision.valid_actions.index(action)
        chosen, rejected = (_move(decision, index, log_probs) for index in indices)
        found.pairs.append(
            _preference(
                episode, [chosen], [rejected],
                chosen_outcome=float(best_outcome), rejected_outcome=float(outcome), origin="contrasts",
            )
        )  # fmt: skip
    return found


def trajectory_preferences(
    episodes: Iterable[Episode],
    reference: LogProbs,
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
    decisions = _decisions(places)
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


def check_builders(pairs: Sequence[str]) -> None:
    """Raises ConfigError unless these are names of builders, each once."""
    if not pairs or not set(pairs) <= set(PAIR_BUILDERS) or len(set(pairs)) < len(pairs):
        raise ConfigError(f"pairs={list(pairs)}: expected one or more of {', '.join(PAIR_BUILDERS)}, each once")


def build_preferences(
    episodes: Sequence[Episode],
    reference: LogProbs,
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
        ConfigError: a builder is unknown or named twice.
        NoPairsError: no pair is left.
    """
    check_builders(pairs)
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

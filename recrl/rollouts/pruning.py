"""Cutting the loops out of an episode."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from recrl.environments.protocols import Environment
from recrl.episodes.data import Episode, Step


def loop_free_places(pages: Sequence[Hashable]) -> list[int]:
    """Which steps are left when every way from a page back to the same page is cut out.

    Args:
        pages: (steps,) what identifies the page of each step.

    Returns:
        ascending places; each page among them once, and each followed by what came after its last visit.
    """
    last = {page: place for place, page in enumerate(pages)}
    kept, place = [], 0
    while place < len(pages):
        kept.append(last[pages[place]])
        place = kept[-1] + 1
    return kept


def prune_loops(episode: Episode, env: Environment, loops: str = "notes") -> Episode:
    """The episode without its loops, replayed, so that its observations are those of the shorter way.

    A page is known by what it shows, but for the marks of visited products, and by its valid actions. With ``loops``
    "notes" coming back to it is a loop only if nothing was learned on the way: what was seen of products is the same;
    with "pages" looking at a product and leaving it is a loop too. Two searches can show equal pages and lead on
    differently; if the shorter way does not end in the same purchase, the episode is
    returned as it is, and so is one that the step limit cut off: without its loops it would not have reached the limit.
    Log-probabilities, probabilities and values stay those of the collection.
    """
    if episode.truncated:
        return episode
    pages: list[Hashable] = [(step.page.without_marks(), step.offered_actions) for step in episode.steps]
    if loops == "notes":
        pages = [(page, decision.notes.known) for page, decision in zip(pages, episode.decisions(), strict=True)]
    places = loop_free_places(pages)
    if len(places) == len(pages):
        return episode
    observation, info = env.reset(options={"goal_index": episode.goal_index})
    steps: list[Step] = []
    reward, terminated = 0.0, False
    for number, step in enumerate(episode.steps[place] for place in places):
        right = [step.valid_actions[index] for index in step.right_actions]
        actions = (*info["valid_actions"], step.action) if step.written else info["valid_actions"]
        if not {step.action, *right} <= set(actions):
            return episode
        before = (observation, info["page"])
        observation, reward, terminated, _, info = env.step(step.action)
        index = len(actions) - 1 if step.written else actions.index(step.action)
        steps_left = env.max_steps - number
        right_indices = tuple(sorted(map(actions.index, right)))
        shown = (step.probabilities if actions == step.valid_actions else (), step.value)
        fields = (*before, actions, steps_left, index, step.log_prob, float(reward), right_indices, *shown)
        steps.append(Step(*fields, step.written))
    if reward != episode.reward or not terminated or info.get("reward_parts", {}) != episode.reward_parts:
        return episode
    return replace(episode, steps=tuple(steps))

"""Preference pairs: whom they are made of, and by which law."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preference_episodes import ACTIONS, EPISODES, built, by_text, episode, outcomes_of, uniform

from decision_data import colour_episode
from recrl.episodes.data import Episode, Step
from recrl.errors import ConfigError, DatasetError
from recrl.preferences.builders import (
    PAIR_BUILDERS,
    PairSet,
    build_preferences,
    contrast_preferences,
    rejected_probabilities,
    step_preferences,
    trajectory_preferences,
)
from recrl.preferences.counts import describe_preferences
from recrl.preferences.data import (
    dataset_to_preferences,
    preferences_to_dataset,
)
from recrl.webshop.pages import Listed, OptionGroup, Page


@settings(deadline=None, max_examples=200)
@given(EPISODES, st.sampled_from([0.0, 0.5, 0.7, 1.0]), st.integers(0, 3), st.booleans())
def test_no_pair_prefers_the_lower_outcome(
    episodes: list[Episode], min_reward: float, seed: int, weighted: bool
) -> None:
    """Nor holds two equal sides, nor mixes goals; on equal pages all builders agree."""
    for name in PAIR_BUILDERS:
        for pair in built(episodes, name, seed, min_reward, weighted=weighted).pairs:
            assert pair.chosen != pair.rejected
            assert pair.origin == name
            of_goal = [one for one in episodes if one.goal_index == pair.goal_index]
            assert pair.instruction == of_goal[0].instruction
            ways = {
                tuple(step.action for step in one.steps if len(set(step.valid_actions)) > 1): one for one in of_goal
            }
            known = None not in (pair.chosen_outcome, pair.rejected_outcome)
            assert pair.weight == (pair.chosen_outcome - pair.rejected_outcome if weighted and known else 1)
            if name == "trajectories":
                sides = [
                    ways[tuple(move.action for move in moves)] for moves in (pair.chosen_moves, pair.rejected_moves)
                ]
                assert pair.chosen_outcome == max(one.reward for one in of_goal) >= min_reward
                assert sides[0].goal_index == sides[1].goal_index
                continue
            [chosen], [rejected] = pair.chosen_moves, pair.rejected_moves
            assert chosen.decision == rejected.decision
            outcomes = outcomes_of(episodes, pair.goal_index, chosen)
            if rejected.action in outcomes:
                assert pair.rejected_outcome == float(outcomes[rejected.action])
                if chosen.action in outcomes:
                    assert outcomes[chosen.action] > outcomes[rejected.action]
            else:
                assert name == "steps"
                assert pair.rejected_outcome is None
            if name == "contrasts":
                assert pair.chosen_outcome == float(outcomes[chosen.action]) >= min_reward
                assert outcomes[chosen.action] == max(outcomes.values())


@settings(deadline=None, max_examples=50)
@given(EPISODES, st.integers(1, 5))
def test_pairs_do_not_depend_on_the_batch_size(episodes: list[Episode], batch_size: int) -> None:
    for builder in PAIR_BUILDERS.values():
        one, other = (
            builder(episodes, by_text, np.random.default_rng(1), min_reward=0.5, batch_size=size)
            for size in (batch_size, 64)
        )
        assert one == other


@settings(deadline=None, max_examples=100)
@given(EPISODES, st.sampled_from([0.0, 0.5, 1.0]))
def test_nothing_is_left_out_without_being_counted(episodes: list[Episode], min_reward: float) -> None:
    """Every page of the kept episodes; every action of every page but the best; every way to a goal but the best."""
    steps = built(episodes, "steps", 0, min_reward) if episodes else PairSet()
    if steps.pairs:  # else the error has the counts
        kept = [one for one in episodes if one.reward >= min_reward]
        below = steps.left_out["episodes below min_reward"]
        assert below == len(episodes) - len(kept)
        assert len(steps.pairs) + steps.left_out.total() - below == sum(one.num_steps for one in kept)
    contrasts = contrast_preferences(episodes, by_text, np.random.default_rng(0), min_reward=min_reward)
    departures: dict[tuple[Any, ...], set[str]] = {}
    for one in episodes:
        last = {(one.goal_index, step.observation, step.valid_actions): step.action for step in one.steps}
        for page, action in last.items():
            departures.setdefault(page, set()).add(action)
    assert len(contrasts.pairs) + contrasts.left_out.total() == sum(len(taken) - 1 for taken in departures.values())
    whole = trajectory_preferences(episodes, by_text, np.random.default_rng(0), min_reward=min_reward)
    first: dict[tuple[int, tuple[str, ...]], float] = {}
    for one in episodes:
        first.setdefault((one.goal_index, tuple(step.action for step in one.steps)), one.reward)
    solved = {goal for (goal, _), reward in first.items() if reward >= min_reward}
    assert len(whole.pairs) + whole.left_out.total() == len(first) - len(solved)


def test_each_choice_of_a_trajectory_gives_one_pair() -> None:
    episodes = [colour_episode(0), colour_episode(1)]
    made = step_preferences(episodes, uniform, np.random.default_rng(0))
    pairs = made.pairs
    steps = [step for one in episodes for step in one.steps if len(step.valid_actions) > 1]
    assert [pair.chosen for pair in pairs] == [step.action for step in steps]
    assert len(pairs) == 4
    assert made.left_out == {"pages without a choice": 2}  # the search pages
    assert pairs[1].chosen_moves[0].decision.previous_actions == tuple(step.action for step in episodes[0].steps[:2])
    assert {pair.origin for pair in pairs} == {"steps"}
    assert {pair.rejected_outcome for pair in pairs} == {None}


def test_the_rejected_action_has_the_law_of_redrawing() -> None:
    """Against the loop that the module's docstring describes: draw until it differs."""
    rng = np.random.default_rng(0)
    log_probs = np.log([0.6, 0.25, 0.1, 0.05])
    redrawn = np.zeros(4)
    for _ in range(20_000):
        draw = 0
        while draw == 0:
            draw = int(rng.choice(4, p=np.exp(log_probs)))
        redrawn[draw] += 1
    law = rejected_probabilities(log_probs, ("a", "b", "c", "d"), 0)
    np.testing.assert_allclose(law, [0, 0.625, 0.25, 0.125])
    np.testing.assert_allclose(redrawn / redrawn.sum(), law, atol=0.015)

    one = episode(0, [("red", ("click[a]", "click[b]", "click[c]", "click[d]"), 0)], 1.0)
    pairs = step_preferences([one] * 4000, lambda decisions: [log_probs] * len(decisions), rng).pairs
    drawn = np.bincount([pair.rejected_moves[0].action_index for pair in pairs], minlength=4) / len(pairs)
    np.testing.assert_allclose(drawn, law, atol=0.03)


def test_a_draw_that_did_no_worse_elsewhere_is_no_pair() -> None:
    """Red won once and lost once, blue won: steps may prefer blue to red, and red to nothing that blue is."""
    won, lost = (episode(0, [("", ("click[red]", "click[blue]"), 0)], reward) for reward in (1.0, 0.0))
    blue = episode(0, [("", ("click[red]", "click[blue]"), 1)], 1.0)
    made = step_preferences([won, lost, blue], uniform, np.random.default_rng(0))
    assert [(pair.chosen, pair.rejected, pair.chosen_outcome, pair.rejected_outcome) for pair in made.pairs] == [
        ("click[blue]", "click[red]", 1.0, 0.5)
    ]
    assert made.left_out == {"episodes below min_reward": 1, "draws that were tried with no lower outcome": 1}


def place_of(step: Step) -> Page:
    """The step's page without what was clicked on it; a plain loop."""
    groups = tuple(OptionGroup(group.name, group.values, ()) for group in step.page.options)
    listing = tuple(Listed(listed.asin, listed.title, listed.price_tag, False) for listed in step.page.listing)
    return replace(step.page, options=groups, listing=listing)


@settings(deadline=None, max_examples=200)
@given(EPISODES, st.integers(0, 5))
def test_no_step_pair_rejects_what_its_trajectory_needs(episodes: list[Episode], seed: int) -> None:
    """But for buying too early: the same action later on an equal place is as good."""
    for one in episodes:
        made = built([one], "steps", seed, 0.0)
        choices = [place for place, step in enumerate(one.steps) if len(set(step.valid_actions)) > 1]
        for pair in made.pairs:
            [move] = pair.rejected_moves
            place = next(
                place for place in choices if [*one.decisions()][place] == move.decision
            )  # the previous actions tell steps apart
            later = {step.action for step in one.steps[place + 1 :] if place_of(step) == place_of(one.steps[place])}
            assert move.action == "click[buy now]" or move.action not in later


def test_options_of_one_success_are_not_played_off_against_each_other() -> None:
    """Red and large are both needed, in any order; buying before both are set is not."""
    actions = ("click[red]", "click[blue]", "click[buy now]")
    way = [("", actions, 0), ("red", actions, 1), ("blue", actions, 2)]
    drawn: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    for seed in range(40):
        made = step_preferences([episode(0, way, 1.0)], uniform, np.random.default_rng(seed))
        drawn.update((pair.chosen, pair.rejected) for pair in made.pairs)
        left_out += made.left_out
    assert set(drawn) == {
        ("click[red]", "click[buy now]"), ("click[blue]", "click[red]"), ("click[blue]", "click[buy now]"),
        ("click[buy now]", "click[red]"), ("click[buy now]", "click[blue]"),
    }  # fmt: skip
    assert set(left_out) == {"actions that the chosen way takes later"}
    assert drawn.total() + left_out.total() == 3 * 40


@settings(deadline=None, max_examples=300)
@given(EPISODES, st.sampled_from([0.0, 0.5, 1.0]))
def test_no_contrast_rejects_what_the_winning_way_needs(episodes: list[Episode], min_reward: float) -> None:
    """By a plain loop over the episodes that left the page by the chosen action and earned its outcome."""
    for pair in built(episodes, "contrasts", 0, min_reward).pairs:
        [chosen], [rejected] = pair.chosen_moves, pair.rejected_moves
        for one in episodes:
            seen = [(step.observation, step.valid_actions) == chosen.seen for step in one.steps]
            if one.goal_index != pair.goal_index or not any(seen) or one.reward < pair.chosen_outcome:
                continue
            last = max(place for place, here in enumerate(seen) if here)
            if one.steps[last].action == chosen.action:
                here = place_of(one.steps[last])
                later = {step.action for step in one.steps[last + 1 :] if place_of(step) == here}
                assert rejected.action == "click[buy now]" or rejected.action not in later


def test_contrasts_do_not_play_options_of_one_success_off_against_each_other() -> None:
    """Red, then blue won; blue alone lost, and so did buying at once, which is worse."""
    actions = ("click[red]", "click[blue]", "click[buy now]")
    won = episode(0, [("", actions, 0), ("red", actions, 1), ("blue", actions, 2)], 1.0)
    blue = episode(0, [("", actions, 1), ("blue", actions, 2)], 0.5)
    bought = episode(0, [("", actions, 2)], 0.5)
    made = contrast_preferences([won, blue, bought], uniform, np.random.default_rng(0))
    assert [(pair.chosen, pair.rejected) for pair in made.pairs] == [("click[red]", "click[buy now]")]
    assert +made.left_out == {"actions that the chosen way takes later": 1}
    # A way that lost shows nothing, though it began as the winning one: blue after red may be why.
    spoilt = episode(0, [("", actions, 0), ("red", actions, 1), ("blue", actions, 2)], 0.75)
    clean = episode(0, [("", actions, 0), ("red", actions, 2)], 1.0)
    made = contrast_preferences([clean, spoilt, blue], uniform, np.random.default_rng(0), min_reward=0.5)
    assert ("click[red]", "click[blue]") in [(pair.chosen, pair.rejected) for pair in made.pairs]


def test_contrasts_do_not_reject_a_product_that_can_earn_as_much() -> None:
    """B2 won once and lost once; of B3 nothing better is known than what it earned."""
    ways = [(["B1"], 1.0), (["B2"], 1.0), (["B2"], 0.5), (["B3"], 0.5)]
    episodes = [shop_episode(products, reward) for products, reward in ways]
    made = contrast_preferences(episodes, uniform, np.random.default_rng(0))
    assert [(pair.chosen, pair.rejected) for pair in made.pairs] == [("click[b1]", "click[b3]")]
    assert +made.left_out == {"products that earned as much in another episode": 1}


@pytest.mark.parametrize("name", ["steps", "contrasts"])
def test_what_a_teacher_holds_right_is_not_rejected(name: str) -> None:
    """Rows with right actions and rows without them make pairs side by side."""
    actions = ("click[red]", "click[blue]", "click[buy now]")
    silent, lost = episode(0, [("", actions, 0)], 1.0), episode(0, [("", actions, 1)], 0.25)
    taught = replace(silent, steps=(replace(silent.steps[0], right_actions=(0, 1)),))
    rejected: dict[bool, set[str]] = {}
    for says, won in ((True, taught), (False, silent)):
        other = replace(silent, goal_index=1)  # a second goal, so that pairs are left
        made = [
            build_preferences(
                [won, lost, other, replace(lost, goal_index=1)], uniform, np.random.default_rng(seed), pairs=[name]
            )
            for seed in range(20)
        ]
        rejected[says] = {pair.rejected for one in made for pair in one.pairs if pair.goal_index == 0}
        assert any("actions that a teacher holds right" in one.left_out for one in made) == says
    assert "click[blue]" in rejected[False]
    assert "click[blue]" not in rejected[True]


def shop_episode(products: Sequence[str], reward: float) -> Episode:
    """Opens the products of one listing in turn, going back between them, and buys the last."""
    listing = [Listed(asin, f"shirt {asin}", "$9.0") for asin in ("B1", "B2", "B3")]
    links = ("click[b1]", "click[b2]", "click[b3]")
    steps: list[Step] = []
    for number, asin in enumerate(products):
        seen = products[:number]
        results = Page(
            "results", "goal", tuple(listed._replace(visited=listed.asin in seen) for listed in listing), 1, 3
        )
        steps.append(Step(f"results {seen}", results, links, 9, links.index(f"click[{asin.lower()}]"), -1.0, 0.0))
        leave = ("click[buy now]",) if number == len(products) - 1 else ("click[< prev]",)
        item = Page("item", "goal", title=f"shirt {asin}", price_tag="$9.0")
        steps.append(Step(f"item {asin}", item, leave, 9, 0, 0.0, reward if leave[0] == "click[buy now]" else 0.0))
    return replace(episode(0, [("", ACTIONS, 2)], reward), steps=tuple(steps))


def test_a_product_that_can_earn_as_much_is_not_rejected() -> None:
    """Whether another episode of the goal bought it, on whatever way, or the trajectory itself comes to it later."""
    first, second, third = shop_episode(["B1"], 1.0), shop_episode(["B3", "B2"], 1.0), shop_episode(["B3"], 0.5)
    rejected: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    for seed in range(60):
        made = step_preferences([first, second, third], uniform, np.random.default_rng(seed))
        rejected.update((pair.chosen, pair.rejected) for pair in made.pairs)
        left_out += made.left_out
    # B1 and B2 earned 1.0; opening B3 first led to 1.0 once and to 0.5 once.
    assert set(rejected) == {("click[b1]", "click[b3]"), ("click[b2]", "click[b3]")}
    assert left_out["products that earned as much in another episode"] > 0
    other_goal = replace(second, goal_index=9)
    made = [step_preferences([first, other_goal], uniform, np.random.default_rng(seed)) for seed in range(20)]
    assert any(pair.chosen == "click[b1]" and pair.rejected == "click[b2]" for one in made for pair in one.pairs)


def test_equal_outcomes_are_equal_whatever_their_number() -> None:
    """A float mean of three times 0.7 is below 0.7."""
    red, blue = (episode(0, [("", ("click[red]", "click[blue]"), index)], 0.7) for index in (0, 1))
    made = contrast_preferences([red, blue, blue, blue], uniform, np.random.default_rng(0), min_reward=0.7)
    assert made == PairSet([], Counter({"contrasts that tie": 1}))


def test_a_certain_reference_still_gives_a_rejected_action() -> None:
    log_probs = np.array([0.0, -800.0, -801.0])  # exp underflows to 0
    law = rejected_probabilities(log_probs, ("a", "b", "c"), 0)
    np.testing.assert_allclose(law, [0, 1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))])
    assert rejected_probabilities(np.array([0.0, -1.0]), ("a", "a"), 0).sum() == 0


def test_contrasts_compare_the_last_departure_from_a_page() -> None:
    search = ("", ("search[x]",), 0)
    won = episode(7, [search, ("red", ACTIONS, 0), ("red", ACTIONS, 1), ("blue", ACTIONS, 2)], 1.0)
    lost = episode(7, [search, ("red", ACTIONS, 2)], 0.25)
    other_goal = episode(8, [search, ("red", ACTIONS, 0)], 0.0)
    pairs = contrast_preferences([lost, won, other_goal], uniform, np.random.default_rng(0)).pairs
    assert [(pair.chosen, pair.rejected, pair.chosen_outcome, pair.rejected_outcome) for pair in pairs] == [
        ("click[blue]", "click[buy now]", 1.0, 0.25)
    ]
    assert pairs[0].chosen_moves[0].decision.previous_actions == ("search[x]", "click[red]")
    # A second loss by the winning action lowers its mean below what is asked for.
    lost_too = episode(7, [search, ("red", ACTIONS, 1), ("blue", ACTIONS, 2)], 0.5)
    none = contrast_preferences([lost, won, lost_too], uniform, np.random.default_rng(0))
    assert none == PairSet([], Counter({"contrasts without an action of min_reward": 1}))
    loose = contrast_preferences([lost, won, lost_too], uniform, np.random.default_rng(0), min_reward=0.5).pairs
    assert [(pair.chosen_outcome, pair.rejected_outcome) for pair in loose] == [(0.75, 0.25)]
    tie = episode(7, [search, ("red", ACTIONS, 0), ("blue", ACTIONS, 2)], 0.25)
    both = contrast_preferences([lost, tie], uniform, np.random.default_rng(0), min_reward=0.0)
    assert both == PairSet([], Counter({"contrasts that tie": 1}))


def test_the_best_episode_of_a_goal_against_each_worse_one() -> None:
    search = ("", ("search[x]",), 0)
    long = episode(7, [search, ("red", ACTIONS, 0), ("red", ACTIONS, 1), ("blue", ACTIONS, 2)], 1.0)
    short = episode(7, [search, ("", ACTIONS, 1), ("blue", ACTIONS, 2)], 1.0)
    half = episode(7, [search, ("", ACTIONS, 2)], 0.5)
    none = episode(7, [search, ("", ACTIONS, 0), ("red", ACTIONS, 2)], 0.0)
    alone = episode(8, [search, ("", ACTIONS, 2)], 0.5)
    made = trajectory_preferences([long, half, short, half, none, alone], uniform, np.random.default_rng(0))
    assert [(pair.chosen, pair.rejected, pair.chosen_outcome, pair.rejected_outcome) for pair in made.pairs] == [
        ("click[blue]\nclick[buy now]", "click[buy now]", 1.0, 0.5),
        ("click[blue]\nclick[buy now]", "click[red]\nclick[buy now]", 1.0, 0.0),
    ]
    assert made.left_out == {"episodes that tie with the best": 1, "episodes of goals without one of min_reward": 1}
    assert made.pairs[0].log_probs == pytest.approx((-2 * math.log(3), -math.log(3)))
    assert made.pairs[0].chosen_moves[1].decision.previous_actions == ("search[x]", "click[blue]")
    assert made.pairs[1].parting == made.pairs[1].chosen_moves[0]


def test_builders_are_chosen_by_name_and_nothing_left_is_an_error() -> None:
    rng = np.random.default_rng(0)
    won = episode(7, [("red", ACTIONS, 1)], 1.0)
    lost = episode(7, [("red", ACTIONS, 2)], 0.25)
    made = build_preferences([won, lost], uniform, rng, pairs=["steps", "contrasts", "trajectories"])
    assert [pair.origin for pair in made.pairs] == ["steps", "contrasts", "trajectories"]
    assert made.left_out == {"episodes below min_reward": 1}
    for wrong in (["outcomes"], [], ["steps", "steps"]):
        with pytest.raises(ConfigError, match=r"expected one or more of steps, contrasts, trajectories, each once"):
            build_preferences([won], uniform, rng, pairs=wrong)
    with pytest.raises(DatasetError, match=r"no preference pair is left of 1 episodes .*: 1 episodes below min_reward"):
        build_preferences([lost], uniform, rng)
    single = episode(1, [("", ("click[buy now]",), 0)], 1.0)
    with pytest.raises(DatasetError, match=r"no preference pair is left of 1 episodes .*: 1 pages without a choice"):
        build_preferences([single], uniform, rng)
    with pytest.raises(DatasetError, match=r"nothing to compare.*--rollouts_per_goal above 1"):
        build_preferences([won], uniform, rng, pairs=["trajectories"])


def test_counts_by_page_and_action() -> None:
    pairs = step_preferences([colour_episode(0), colour_episode(1)], uniform, np.random.default_rng(0)).pairs
    summary = describe_preferences(pairs)
    assert summary["num_pairs"] == 4
    assert summary["num_goals"] == 2
    assert summary["mean_chosen_probability"] == pytest.approx(1 / 12)
    assert summary["mean_margin"] is None
    assert summary["mean_moves"] == 1
    assert {kind: group["num_pairs"] for kind, group in summary["by_page"].items()} == {"item": 4}
    assert {kind: group["num_pairs"] for kind, group in summary["by_action"].items()} == {"option": 2, "buy": 2}


@settings(deadline=None, max_examples=30)
@given(EPISODES)
def test_pairs_survive_the_dataset(episodes: list[Episode]) -> None:
    for builder in PAIR_BUILDERS.values():
        pairs = builder(episodes, by_text, np.random.default_rng(0), min_reward=0.0).pairs
        if pairs:
            assert dataset_to_preferences(preferences_to_dataset(pairs)) == pairs

"""A teacher that labels the pages of another policy."""

from pathlib import Path

import numpy as np
import pytest

from recrl.episodes import Decision, load_episodes
from recrl.errors import PolicyError
from recrl.policies import load_policy
from recrl.policies.taught import Taught
from recrl.rollouts.collecting import generate_trajectories
from recrl.rollouts.config import TrajectoryConfig
from recrl.rollouts.rollout import rollout
from recrl.training.imitation import decisions_of
from recrl.webshop.catalog import load_catalog


def test_the_pages_are_the_learners_and_the_labels_the_teachers() -> None:
    """The same pages as without a teacher; on each the teacher is asked what it would do there."""
    catalog, teacher = load_catalog(), load_policy("planner")
    taught = list(rollout(Taught(load_policy("random"), teacher), catalog, range(10), seed=3))
    alone = list(rollout(load_policy("random"), catalog, range(10), seed=3))
    for ours, theirs in zip(taught, alone, strict=True):
        assert [step.action for step in ours.steps] == [step.action for step in theirs.steps]
        for decision, step in zip(ours.decisions(), ours.steps, strict=True):
            [choice] = teacher.act([decision], [np.random.default_rng(0)], greedy=True)
            assert choice.action_index in step.right_actions
    labelled = decisions_of(taught)
    assert any(step.action_index not in step.right_actions for episode in taught for step in episode.steps)
    assert {row.right_actions for row in labelled} <= {step.right_actions for one in taught for step in one.steps}


def test_a_learner_is_not_shown_the_goal_that_its_teacher_knows() -> None:
    class Curious:
        name, catalog_sha256 = "curious", None

        def act(self, decisions: list[Decision], rngs: list[np.random.Generator], *, greedy: bool = False) -> list:
            assert all(decision.env is None for decision in decisions)
            return load_policy("rule").act(decisions, rngs, greedy=greedy)

    taught = Taught(Curious(), load_policy("demonstrator"))
    assert taught.knows_goal
    [episode] = rollout(taught, load_catalog(), [0], seed=0)
    assert all(step.right_actions for step in episode.steps)


def test_who_goes_by_his_own_memory_is_no_teacher() -> None:
    with pytest.raises(PolicyError, match="reader:3 cannot be a teacher"):
        Taught(load_policy("random"), load_policy("reader:3"))


def test_collections_are_labelled(tmp_path: Path) -> None:
    config = TrajectoryConfig(
        policy="random",
        teacher="planner",
        num_trajectories=3,
        min_reward=0.0,
        prune=False,
        output_dir=str(tmp_path / "d"),
    )
    summary = generate_trajectories(config)
    assert summary["policy"] == "random taught by planner"
    assert all(step.right_actions for episode in load_episodes(tmp_path / "d") for step in episode.steps)


@pytest.mark.parametrize("goal_index", range(6))
def test_a_planner_by_a_judgement_holds_options_right_in_any_order(goal_index: int) -> None:
    """Where it clicks an option, every other option that is still wanted is as right."""
    from recrl.policies.planner import Planner, literal_judgement
    from recrl.policies.scripted import ScriptedPolicy
    from recrl.scoring.looks import options_left
    from recrl.scoring.wishes import read_wish

    planner = Planner(literal_judgement)
    [episode] = rollout(ScriptedPolicy("planner", planner.choose), load_catalog(), [goal_index], seed=0, max_steps=60)
    for decision, step in zip(episode.decisions(), episode.steps, strict=True):
        right = planner.right(decision)
        assert right[0] == step.action
        product = decision.notes.product
        left = [] if product is None else options_left(read_wish(episode.instruction), decision.notes, product)
        if step.action in {f"click[{value}]" for value in left}:
            assert set(right) == {f"click[{value}]" for value in left}
        else:
            assert len(right) == 1

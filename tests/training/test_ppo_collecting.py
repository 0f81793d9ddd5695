"""What PPO collects, and the minibatches that it is read in, against what happened."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_shop import ToyShop, config_for

from decision_data import colour_episode
from recrl.errors import ConfigError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.batches import ChoiceBatch
from recrl.scoring.checkpoints import load_scorer
from recrl.training.imitation import decisions_of
from recrl.training.ppo.buffer import Minibatch, RolloutBuffer
from recrl.training.ppo.collector import Collector
from recrl.training.ppo.update import minibatch_loss


def test_what_is_collected_is_what_happened() -> None:
    """Values are numbered in the order in which pages are looked at, so that each one's place can be told."""
    pages = [("red", "blue"), ("white", "grey", "black")]
    envs = [ToyShop(pages, [None, None], 0), ToyShop([("a", "b")] * 9, [None], 1, max_steps=2)]
    rngs = [np.random.default_rng(number) for number in range(2)]
    collector = Collector(envs, rngs, reward_scale=2.0, bootstrap_at_limit=True)
    seen: list[str] = []

    def outputs(decisions: Any) -> Any:
        seen.extend(decision.observation for decision in decisions)
        return [
            (
                np.log(np.full(len(one.valid_actions), 1 / len(one.valid_actions))),
                float(len(seen) - len(decisions) + place),
            )
            for place, one in enumerate(decisions)
        ]

    buffer, episodes = collector.collect(3, outputs)
    # Looked at: 0 1 | 2 3, then 4, the page where environment 1 was truncated | 5 6 | at the end 7 8
    assert buffer.values.tolist() == [[0, 1], [2, 3], [5, 6]]
    assert buffer.next_values.tolist() == [[2, 3], [0, 4], [7, 8]]
    assert buffer.terminated.tolist() == [[False, False], [True, False], [False, False]]
    assert buffer.truncated.tolist() == [[False, False], [False, True], [False, False]]
    assert buffer.rewards.tolist() == [[0, 0], [2, 0], [0, 0]]  # scaled
    assert [(one.reward, one.num_steps, one.truncated) for one in episodes] == [(1.0, 2, False), (0.0, 2, True)]
    assert buffer.page_log_probs[1][0].tolist() == pytest.approx([-math.log(3)] * 3)
    assert buffer.page_log_probs[1][1].tolist() == pytest.approx([-math.log(2)] * 2)
    assert [decision.previous_actions for decision in buffer.decisions[2]] == [(), ()]
    assert len(buffer.decisions[1][0].previous_actions) == 1
    assert [[decision.steps_left for decision in step] for step in buffer.decisions] == [[99, 2], [98, 1], [99, 2]]
    orders = [np.array([2, 0, 1]), np.array([1, 2, 0])]
    assert [batch.tolist() for batch in buffer.places(3, orders)] == [
        [[2, 0], [1, 1]], [[0, 0], [2, 1]], [[1, 0], [0, 1]],
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="num_steps=3 cannot be divided into num_minibatches=2"):
        list(buffer.places(2, orders))


PAGES = ("red", "blue"), ("white",), ("grey", "pink", "black")


def hand_made_buffer(*, reference: bool) -> RolloutBuffer:
    """Three steps of one environment: pages with two actions, one, and three."""
    shop = ToyShop(list(PAGES), [None], 0)
    collector = Collector([shop], [np.random.default_rng(0)])
    buffer = RolloutBuffer.empty(3, 1)
    for step, actions in enumerate(PAGES):
        buffer.decisions.append([collector.decision(0)])
        buffer.page_log_probs.append([np.log(np.full(len(actions), 1 / len(actions), np.float32))])
        if reference:
            first = np.array([0.5] + [0.5 / (len(actions) - 1)] * (len(actions) - 1) if len(actions) > 1 else [1.0])
            buffer.reference_log_probs.append([np.log(first).astype(np.float32)])
        observation, _, _, _, info = shop.step(f"click[{actions[-1]}]")
        collector.pages[0] = observation, info
        collector.actions[0].append(f"click[{actions[-1]}]")
        buffer.action_index[step] = len(actions) - 1
    buffer.values[:, 0], buffer.rewards[2, 0], buffer.terminated[2, 0] = [0.25, 0.5, 0.75], 1.0, True
    buffer.next_values[:, 0] = [0.5, 0.75, 9.0]
    buffer.finish(gamma=1.0, gae_lambda=1.0)
    return buffer


@pytest.mark.parametrize("demonstrated", [False, True])
def test_a_minibatch_holds_the_steps_at_its_places(tiny_scorer: Path, demonstrated: bool) -> None:
    """With lambda 1 the returns are the reward of the end, and the advantages what the values lacked of it."""
    model, tokenizer = load_scorer(tiny_scorer)
    demonstrations = decisions_of([colour_episode(1)])[:2] if demonstrated else []
    widest = max([3, *(len(row.decision.valid_actions) for row in demonstrations)])
    buffer = hand_made_buffer(reference=True)
    assert buffer.is_choice[:, 0].tolist() == [True, False, True]
    minibatch = buffer.minibatch(
        np.array([[2, 0], [0, 0], [1, 0]]), ScorerPolicy(model, tokenizer).collator, demonstrations
    )
    nothing = -math.inf
    logs = [[-math.log(3)] * 3, [-math.log(2)] * 2 + [nothing], [0.0, nothing, nothing]]
    expected = torch.tensor([row + [nothing] * (widest - 3) for row in logs])
    torch.testing.assert_close(minibatch.old_log_probs, expected)
    assert minibatch.reference_log_probs is not None
    assert minibatch.reference_log_probs.shape == (3, widest)
    assert minibatch.reference_log_probs[0, :3].exp().tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert minibatch.action_index.tolist() == [2, 1, 0]
    assert minibatch.is_choice.tolist() == [True, True, False]
    assert minibatch.old_values.tolist() == [0.75, 0.25, 0.5]
    assert minibatch.returns.tolist() == [1, 1, 1]
    assert minibatch.advantages.tolist() == [0.25, 0.75, 0.5]
    assert minibatch.demonstrated_mask.shape == (len(demonstrations), widest)
    assert minibatch.demonstrated_mask.nonzero().tolist() == [
        [number, index] for number, row in enumerate(demonstrations) for index in row.right_actions
    ]
    assert minibatch.inputs.right_mask is None  # the model computes no loss of its own
    output = model(**minibatch.to(model.device).inputs.tensors())
    assert output.log_probs.shape == (3 + len(demonstrations), widest)
    there = output.log_probs.isfinite().sum(-1).tolist()
    assert there == [3, 2, 1] + [len(row.decision.valid_actions) for row in demonstrations]


def test_a_minibatch_without_a_reference_has_none(tiny_scorer: Path) -> None:
    collator = ScorerPolicy(*load_scorer(tiny_scorer)).collator
    minibatch = hand_made_buffer(reference=False).minibatch(np.array([[0, 0], [1, 0]]), collator)
    assert minibatch.reference_log_probs is None
    assert minibatch.to("cpu").reference_log_probs is None
    assert minibatch.old_log_probs.shape == (2, 2)


def test_the_loss_of_a_minibatch_in_closed_form(tmp_path: Path) -> None:
    """Two choices, a page with one action, and a demonstration; the ratios are 1.5 (clipped) and 0.5 (not)."""
    nothing = -math.inf
    minibatch = Minibatch(
        inputs=ChoiceBatch(*[torch.empty(0)] * 9),  # read by the model alone
        action_index=torch.tensor([0, 1, 0]),
        is_choice=torch.tensor([True, True, False]),
        old_log_probs=torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log(),
        reference_log_probs=torch.tensor([[0.75, 0.25, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log(),
        advantages=torch.tensor([2.0, 1.0, 50.0]),
        returns=torch.tensor([1.0, 1.0, 1.0]),
        old_values=torch.tensor([0.0, 0.0, 0.0]),
        demonstrated_mask=torch.tensor([[False, True, True]]),
    )
    probabilities = [[0.75, 0.25, 0.0], [0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]]
    config = config_for(
        tmp_path, clip_range=0.2, value_clip_range=None, value_coef=0.5, kl_coef=0.1, entropy_coef=0.01,
        imitation_coef=0.3,
    )  # fmt: skip
    log_probs, values = torch.tensor(probabilities).log(), torch.tensor([0.0, 1.0, 2.0, nothing])
    loss = minibatch_loss(minibatch, log_probs, values, torch.tensor(2.0), config)
    surrogate = -(1.2 * 2 + 0.5 * 1) / 2
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    kl = (0 + 0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    imitation = -math.log(0.25 + 0.5)
    assert loss.policy.item() == pytest.approx(surrogate - 0.01 * entropy + 0.1 * kl + 0.3 * imitation)
    assert loss.value.item() == pytest.approx(0.5 * (0.5 + 0 + 0.5) / 3)
    assert loss.metrics == pytest.approx(
        {
            "policy/ratio": (1.5 + 0.5) / 2,
            "policy/clip_fraction": 1,
            "policy/kl_old": 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25),
            "policy/kl_reference": kl,
            "policy/entropy": entropy / math.log(2),
            "loss/policy": surrogate,
            "loss/value": (0.5 + 0 + 0.5) / 3,
            "loss/imitation": imitation,
        }
    )


def test_a_collection_goes_on_where_a_copy_was_restored() -> None:
    def collector() -> Collector:
        shops = [ToyShop([("red", "blue", "white")] * 5, ["red"], number) for number in range(2)]
        return Collector(shops, [np.random.default_rng(number) for number in range(2)])

    def outputs(decisions: Any) -> Any:
        return [(np.log(np.full(len(one.valid_actions), 1 / len(one.valid_actions))), 0.0) for one in decisions]

    one, other = collector(), collector()
    one.collect(7, outputs)
    other.restore(json.loads(json.dumps(one.state())))
    expected, found = one.collect(9, outputs)[0], other.collect(9, outputs)[0]
    assert found.decisions == expected.decisions
    assert found.action_index.tolist() == expected.action_index.tolist()

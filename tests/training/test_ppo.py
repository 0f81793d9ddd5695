"""PPO: its terms against closed forms and plain loops, and tasks with known answers that it must learn."""

import copy
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_data import colour_episode
from recrl.errors import ConfigError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.batches import ChoiceBatch
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.model import BertForChoiceScoring
from recrl.training.environment import EnvironmentArguments, MixedEnvironmentArguments, MixedEnvironments
from recrl.training.imitation import decisions_of
from recrl.training.ppo.advantages import explained_variance, generalized_advantages, goal_baselines, normalized
from recrl.training.ppo.buffer import Minibatch, RolloutBuffer
from recrl.training.ppo.checkpoints import resume_checkpoint
from recrl.training.ppo.collector import Collector
from recrl.training.ppo.config import PPOConfig
from recrl.training.ppo.loop import ppo_loop, train_ppo
from recrl.training.ppo.losses import (
    categorical_kl,
    clipped_policy_loss,
    clipped_value_loss,
    entropies,
    relative_entropies,
)
from recrl.training.ppo.metrics import METRICS
from recrl.training.ppo.state import PPOState
from recrl.training.ppo.update import minibatch_loss, update_model
from recrl.training.progress import Bar
from recrl.training.runs import last_checkpoint, training_metrics
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments
from recrl.webshop.reading import read_page

INSTRUCTION = "i want a green shirt, and price lower than 20.00 dollars"


class ToyShop:
    """Pages of buttons. ``right`` names the wanted button of each page, or None where any will do.

    The reward comes with the last page: 1 if all were right. After ``max_steps`` actions an episode is truncated.
    """

    def __init__(self, pages: list[tuple[str, ...]], right: list[str | None], seed: int, max_steps: int = 99) -> None:
        self.pages, self.right, self.max_steps, self.goal_index = pages, right, max_steps, 0
        self._rng = np.random.default_rng(seed)

    @property
    def np_random(self) -> np.random.Generator:
        return self._rng

    def reset(self, *, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        self.taken: list[str] = []
        return self._show()

    def _show(self) -> tuple[str, dict[str, Any]]:
        place = min(len(self.taken), len(self.pages) - 1)
        shown = "\n".join(f"  [button] {name} [button_]" for name in self.pages[place])
        text = f"Instruction:\n{INSTRUCTION}\n[button] Back to Search [button_]\n[button] < Prev [button_]\n"
        text += f"color\n{shown}\n"
        text += f"shirt number {place}\nPrice: $9.0\nRating: N.A.\n[button] Buy Now [button_]\n"
        return text, {
            "page": read_page(text),
            "valid_actions": tuple(f"click[{name}]" for name in self.pages[place]),
        }

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.taken.append(action.removeprefix("click[").removesuffix("]"))
        terminated = len(self.taken) == len(self.pages)
        right = all(wanted in (None, taken) for wanted, taken in zip(self.right, self.taken, strict=False))
        observation, info = self._show()
        if terminated:
            info["reward_parts"] = {"r_type": 1.0}
        truncated = not terminated and len(self.taken) >= self.max_steps
        return observation, float(terminated and right), terminated, truncated, info


def config_for(output_dir: Path, **changed: Any) -> PPOConfig:
    fields: dict[str, Any] = {
        "output_dir": str(output_dir), "use_cpu": True, "num_updates": 12, "num_envs": 4, "num_steps": 16,
        "num_minibatches": 4, "num_passes": 3, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "value_warmup": 1,
        "kl_coef": 0.0, "target_kl": None, "lr_scheduler_type": "constant", "eval_every": 0,
    }  # fmt: skip
    return PPOConfig(**(fields | changed))


def new_state(
    scorer: Path,
    shop: Any,
    output_dir: Path,
    *,
    demonstrations: Any = (),
    on_dev: Any = None,
    tuning: TuningArguments | None = None,
    **changed: Any,
) -> PPOState:
    torch.manual_seed(0)
    return PPOState.create(
        *load_scorer(scorer), shop, tuning or TuningArguments(), config_for(output_dir, **changed),
        demonstrations=demonstrations, on_dev=on_dev,
    )  # fmt: skip


def run(scorer: Path, shop: Any, output_dir: Path, **changed: Any) -> tuple[list[dict[str, float]], Path]:
    state = new_state(scorer, shop, output_dir, **changed)
    ppo_loop(state, Bar("ppo"))
    return state.log, output_dir


def shop_of(pages: list[tuple[str, ...]], right: list[str | None], **settings: Any) -> Any:
    return lambda number: ToyShop(pages, right, number, **settings)


ONE_PAGE = ([("red", "blue", "white", "grey")], ["white"])


def test_advantages_in_closed_form() -> None:
    """Three steps of one environment: the second terminates, the third is truncated with a value of 5 after it."""
    rewards, values = np.array([[1.0], [2.0], [3.0]]), np.array([[0.5], [0.25], [4.0]])
    found = generalized_advantages(
        rewards, values, np.array([[0.25], [99.0], [5.0]]), np.array([[False], [True], [False]]),
        np.array([[False], [False], [True]]), gamma=0.9, gae_lambda=0.8,
    )  # fmt: skip
    second, third = 2 - 0.25, 3 + 0.9 * 5 - 4
    first = 1 + 0.9 * 0.25 - 0.5 + 0.9 * 0.8 * second
    assert found[:, 0].tolist() == pytest.approx([first, second, third])


@pytest.mark.parametrize("bootstrap", [False, True])
def test_the_step_limit_is_an_end_that_pays_nothing(bootstrap: bool) -> None:
    """Fifteen useless clicks at V = 0.7: the last lacks 0.7 of its value; with bootstrapping none lacks anything."""
    shop = ToyShop([("red", "blue")] * 99, [None], 0, max_steps=15)
    collector = Collector([shop], [np.random.default_rng(0)], bootstrap_at_limit=bootstrap)
    buffer, [episode] = collector.collect(15, lambda pages: [(np.log([0.5, 0.5]), 0.7) for _ in pages])
    assert episode.truncated
    buffer.finish(gamma=1.0, gae_lambda=0.95)
    expected = [0.0 if bootstrap else -0.7 * 0.95 ** (14 - step) for step in range(15)]
    assert buffer.advantages[:, 0].tolist() == pytest.approx(expected)
    assert buffer.returns[:, 0].tolist() == pytest.approx([0.7 + advantage for advantage in expected])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 8), gamma=st.floats(0.1, 1), gae_lambda=st.floats(0, 1))
def test_advantages_equal_the_plain_sum(seed: int, steps: int, gamma: float, gae_lambda: float) -> None:
    """A_t is the sum of (gamma lambda)^k delta_(t+k) up to the end of the episode."""
    rng = np.random.default_rng(seed)
    rewards, values, after = rng.normal(size=(3, steps, 2))
    ends = rng.integers(0, 4, (steps, 2))  # 1: terminated, 2: truncated
    found = generalized_advantages(rewards, values, after, ends == 1, ends == 2, gamma=gamma, gae_lambda=gae_lambda)
    for env in range(2):
        for start in range(steps):
            total, weight = 0.0, 1.0
            for step in range(start, steps):
                alive = 0.0 if ends[step, env] == 1 else 1.0
                total += weight * (rewards[step, env] + gamma * alive * after[step, env] - values[step, env])
                if ends[step, env] in (1, 2):
                    break
                weight *= gamma * gae_lambda
            assert found[start, env] == pytest.approx(total, abs=1e-9)


def test_goal_baselines_in_closed_form() -> None:
    """Two groups of two environments. In the first, goal 7 begins in both at once and once more later; in the second,
    the goals differ, and one episode goes on from an earlier collection."""
    advantages = np.arange(12, dtype=float).reshape(3, 4)
    begins = np.array([[True, True, True, False], [False, True, False, True], [True, False, False, False]])
    goals = np.array([[7, 7, 1, 7], [7, 5, 1, 2], [7, 5, 1, 2]])
    found = goal_baselines(advantages, begins, goals, 2)
    # goal 7 in the first group: first steps' advantages 0 (two steps long), 1 (one step), 8 (one step)
    assert found[:, 0].tolist() == [4.5, 4.5, 0.5]
    assert found[:, 1].tolist() == [4.0, 0.0, 0.0]
    assert not found[:, 2:].any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 8), group=st.sampled_from([1, 2, 4]))
def test_goal_baselines_equal_the_plain_mean(seed: int, steps: int, group: int) -> None:
    """Each step's baseline is the mean over the goal's other episodes of the group, and no step of one episode
    depends on that episode itself.
    """
    rng = np.random.default_rng(seed)
    advantages, begins = rng.normal(size=(steps, 4)), rng.random((steps, 4)) < 0.4
    drawn = rng.integers(0, 2, (steps, 4))
    goals = np.zeros((steps, 4), int)
    for env in range(4):
        for step in range(steps):
            goes_on = step > 0 and not begins[step, env]
            goals[step, env] = goals[step - 1, env] if goes_on else drawn[step, env]
    found = goal_baselines(advantages, begins, goals, group)
    for env in range(4):
        for step in range(steps):
            begun = [at for at in range(step + 1) if begins[at, env]]
            others = [
                advantages[at, other]
                for other in range(env // group * group, env // group * group + group)
                for at in range(steps)
                if begun
                and begins[at, other]
                and goals[at, other] == goals[step, env]
                and (at, other) != (begun[-1], env)
            ]
            assert found[step, env] == pytest.approx(np.mean(others) if others else 0.0, abs=1e-9)


def test_episodes_of_a_goal_are_a_baseline_for_one_another(tiny_scorer: Path, tmp_path: Path) -> None:
    """What the values miss of a goal does not reach its advantages: they are 0 where both episodes end alike."""
    shops = [ToyShop(*ONE_PAGE, number) for number in range(2)]
    collector = Collector(shops, [np.random.default_rng(number) for number in range(2)])
    buffer, _ = collector.collect(40, lambda pages: [(np.log(np.full(4, 0.25)), 0.5) for _ in pages])
    buffer.finish(1.0, 0.95, envs_per_goal=2)
    assert buffer.begins.all()  # episodes of one step
    mean = buffer.rewards.mean()
    assert buffer.advantages == pytest.approx((buffer.rewards - mean) * 80 / 79)  # the leave-one-out mean
    assert buffer.returns == pytest.approx(buffer.rewards)  # the values are fitted as without
    log, _ = run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", envs_per_goal=2)
    assert log[-1]["episode/success"] > 95


def test_explained_variance_in_closed_form() -> None:
    targets = np.array([0.0, 1.0, 2.0])
    assert explained_variance(targets, targets) == 1
    assert explained_variance(np.full(3, 7.0), targets) == 0
    assert math.isnan(explained_variance(targets, np.ones(3)))


def test_normalised_advantages_in_closed_form() -> None:
    advantages = np.array([[1.0, 100.0], [3.0, 5.0]])
    choices = np.array([1.0, 3.0])  # mean 2, deviation 1
    np.testing.assert_allclose(normalized(advantages, choices), [[-1, 98], [1, 3]], atol=1e-5)
    assert normalized(advantages, np.array([])).tolist() == advantages.tolist()


def test_relative_entropies_are_1_where_all_actions_are_alike() -> None:
    probabilities = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert relative_entropies(probabilities.log()).tolist() == pytest.approx([1, 1, 0])


def test_the_losses_and_their_gradients_equal_plain_loops() -> None:
    """Every branch of both clips occurs."""
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.normal(size=(40, 5)), requires_grad=True)
    values = torch.tensor(rng.normal(size=40), requires_grad=True)
    mask = torch.tensor(rng.random((40, 5)) < 0.7)
    mask[:, 0] = True
    taken = torch.tensor([int(rng.choice(np.flatnonzero(row))) for row in mask.numpy()])
    log_probs = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)
    old_all = torch.tensor(rng.normal(size=(40, 5))).masked_fill(~mask, -torch.inf).log_softmax(-1)
    old, advantages = old_all.gather(1, taken[:, None])[:, 0], torch.tensor(rng.normal(size=40))
    old_values, returns = torch.tensor(rng.normal(size=40)), torch.tensor(rng.normal(size=40))

    new = log_probs.gather(1, taken[:, None])[:, 0]
    ours = (
        clipped_policy_loss(new, old, advantages, 0.2)
        + clipped_value_loss(values, old_values, returns, 0.3)
        + 0.1 * categorical_kl(log_probs, old_all)
        - 0.2 * entropies(log_probs)
    )
    gradients = torch.autograd.grad(ours.mean(), [scores, values])

    total = torch.zeros(())
    for row in range(40):
        there = [place for place in range(5) if mask[row, place]]
        logs = scores[row, there] - torch.logsumexp(scores[row, there], 0)
        at = there.index(int(taken[row]))
        ratio = torch.exp(logs[at] - old[row])
        limited = min(max(ratio, torch.tensor(0.8)), torch.tensor(1.2))
        policy = -min(ratio * advantages[row], limited * advantages[row])
        change = min(max(values[row] - old_values[row], torch.tensor(-0.3)), torch.tensor(0.3))
        value = 0.5 * max((values[row] - returns[row]) ** 2, (old_values[row] + change - returns[row]) ** 2)
        kl = sum(torch.exp(log) * (log - old_all[row, place]) for log, place in zip(logs, there, strict=True))
        entropy = -sum(torch.exp(log) * log for log in logs)
        assert ours[row].item() == pytest.approx((policy + value + 0.1 * kl - 0.2 * entropy).item())
        total = total + (policy + value + 0.1 * kl - 0.2 * entropy) / 40
    for found, expected in zip(gradients, torch.autograd.grad(total, [scores, values]), strict=True):
        torch.testing.assert_close(found, expected)


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


def test_it_solves_a_page(tiny_scorer: Path, tmp_path: Path) -> None:
    log, folder = run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run")
    assert log[0]["episode/success"] < 60
    model, tokenizer = load_scorer(folder)
    collector = Collector([ToyShop(*ONE_PAGE, 0)], [np.random.default_rng(0)])
    [(log_probs, value)] = ScorerPolicy(model, tokenizer).outputs([collector.decision(0)])
    assert math.exp(log_probs[2]) > 0.95
    explained = log[-1]["value/explained_variance"]  # None where the returns do not vary
    assert explained is None or explained > -1
    assert value == pytest.approx(1, abs=0.25)


def test_it_learns_that_the_first_action_decides(tiny_scorer: Path, tmp_path: Path) -> None:
    """Two more pages lie between the action and its reward."""
    pages = [("red", "blue"), ("white", "grey"), ("black", "pink")]
    log, _ = run(
        tiny_scorer, shop_of(pages, ["blue", None, None]), tmp_path / "run", num_steps=24, num_updates=12,
        learning_rate=5e-4, head_learning_rate=5e-3, lr_scheduler_type="linear", target_kl=0.1,
    )  # fmt: skip
    assert log[0]["episode/success"] < 80
    assert log[-1]["episode/success"] > 95


def test_the_first_minibatch_has_a_ratio_of_one_and_every_number_is_explained(
    tiny_scorer: Path, tmp_path: Path
) -> None:
    demonstrations = decisions_of([colour_episode(number) for number in range(4)])
    log, _ = run(
        tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", num_updates=3, kl_coef=0.1, imitation_coef=0.5,
        demonstrations=demonstrations,
    )  # fmt: skip
    for entry in log:
        assert entry["policy/ratio_first"] == pytest.approx(1, abs=1e-5)
        assert set(entry) - set(METRICS) == {"update"}
    assert log[-1]["loss/imitation"] < log[1]["loss/imitation"]
    assert log[0]["policy/kl_reference"] < log[-1]["policy/kl_reference"]
    assert log[0]["policy/clip_fraction"] == 0  # only the values were fitted
    assert log[1]["policy/kl_old"] > 0


def test_the_policy_waits_for_the_values(tiny_scorer: Path, tmp_path: Path) -> None:
    log, folder = run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", num_updates=2, value_warmup=2)
    before, after = load_scorer(tiny_scorer)[0].state_dict(), load_scorer(folder)[0].state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved
    assert all(name.startswith("value_head.") for name in moved)
    assert [entry["policy/kl_old"] for entry in log] == pytest.approx([0, 0], abs=1e-9)
    assert log[1]["loss/value"] < log[0]["loss/value"]


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_the_warm_up_brings_the_values_to_the_returns(tiny_scorer: Path, tmp_path: Path, start: float) -> None:
    """With gamma 0.5 pages are worth 1/4, 1/2 and 1, however far from that the head begins."""
    shop = shop_of([("red", "blue"), ("white", "grey"), ("black", "pink")], [None] * 3, max_steps=3)
    state = new_state(
        tiny_scorer, shop, tmp_path / "run", num_updates=2, num_steps=24, num_minibatches=12, value_warmup=1, gamma=0.5,
        gae_lambda=1.0,
    )  # fmt: skip
    with torch.no_grad():
        state.policy.model.value_head[2].bias.fill_(start)
    ppo_loop(state, Bar("ppo"))
    assert state.log[0]["policy/passes"] == 10
    assert state.log[1]["policy/passes"] == 3
    first, second = state.log
    assert abs(second["value/mean"] - second["value/return"]) < 0.25 < abs(first["value/mean"] - first["value/return"])
    assert second["value/explained_variance"] > 0.5  # of the values before that update


def test_the_value_reads_the_steps_that_are_left(tiny_scorer: Path, tmp_path: Path) -> None:
    """Two shops show the same page; in one the limit comes before the reward."""
    pages = [("red", "blue")] * 3

    def shop(number: int) -> ToyShop:
        return ToyShop(pages, [None] * 3, number, max_steps=9 if number % 2 else 2)

    log, _ = run(
        tiny_scorer, shop, tmp_path / "run", num_updates=2, num_steps=24, value_warmup=1, gae_lambda=1.0,
    )  # fmt: skip
    assert log[1]["value/explained_variance"] > 0.5


def test_the_optimizer_remembers_nothing_of_a_policy_that_waited(tiny_scorer: Path, tmp_path: Path) -> None:
    """With weights for every term of the loss, an update of the warm-up is a step on the values' loss alone."""
    demonstrations = decisions_of([colour_episode(number) for number in range(4)])
    settings: dict[str, Any] = {"num_updates": 2, "num_passes": 1, "value_warmup": 1, "num_steps": 4}
    terms = {"kl_coef": 0.1, "entropy_coef": 0.1, "imitation_coef": 0.5, "demonstrations": demonstrations}
    states = [
        new_state(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / str(number), **settings, **more)
        for number, more in enumerate([terms, {}])
    ]
    for state in states:
        state.update = 1
        buffer, _ = state.collector.collect(4, state.policy.outputs, state.reference and state.reference.outputs)
        buffer.finish(1.0, 0.95)
        update_model(state, buffer)
        moved = {name for name, one in state.model.named_parameters() if one in state.optimizer.state}
        of_layers = {f"value_head.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}
        assert moved == of_layers | {"value_head.steps_left"}
    for (name, one), (_, other) in zip(*(state.model.named_parameters() for state in states), strict=True):
        assert torch.equal(one, other), name


def test_an_update_ends_when_the_policy_has_moved_enough(tiny_scorer: Path, tmp_path: Path) -> None:
    log, _ = run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", num_updates=3, num_passes=8, target_kl=1e-4)
    assert log[0]["policy/passes"] == 10  # the policy waited
    assert log[1]["policy/passes"] < 8


def test_the_penalty_keeps_it_near_the_start(tiny_scorer: Path, tmp_path: Path) -> None:
    free, held = (
        run(tiny_scorer, shop_of(*ONE_PAGE), tmp_path / str(coefficient), num_updates=6, kl_coef=coefficient)[0][-1]
        for coefficient in (1e-6, 10.0)
    )
    assert held["policy/kl_reference"] < free["policy/kl_reference"] / 3


class _Stop(Exception):
    """Stands for a kill."""


def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny_scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "num_updates": 5, "save_every": 2, "lr_scheduler_type": "linear", "num_envs": 2, "kl_coef": 0.1,
        "imitation_coef": 0.1, "demonstrations": decisions_of([colour_episode(number) for number in range(4)]),
    }  # fmt: skip
    shop = shop_of([("red", "blue", "white")] * 5, ["red", None, "blue"])
    whole, folder = run(tiny_scorer, shop, tmp_path / "whole", **settings)

    def stops(state: PPOState, buffer: RolloutBuffer) -> dict[str, float]:
        if state.update == 4:
            raise _Stop
        return update_model(state, buffer)

    monkeypatch.setattr("recrl.training.ppo.loop.update_model", stops)
    with pytest.raises(_Stop):
        run(tiny_scorer, shop, tmp_path / "cut", **settings)
    monkeypatch.undo()
    checkpoint = last_checkpoint(tmp_path / "cut")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-2"
    state = new_state(tiny_scorer, shop, tmp_path / "cut", **settings)
    resume_checkpoint(state, checkpoint)
    before = state.log[-1]["train/minutes"]
    ppo_loop(state, Bar("ppo"))
    log = state.log
    assert log[2]["train/minutes"] > before > 0
    left_out = {"train/steps_per_second", "train/minutes"}
    for one, other in zip(whole, log, strict=True):
        assert {k: v for k, v in one.items() if k not in left_out} == pytest.approx(
            {k: v for k, v in other.items() if k not in left_out}, nan_ok=True
        )
    expected = load_scorer(folder)[0].state_dict()
    for name, tensor in load_scorer(tmp_path / "cut")[0].state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=0, rtol=0)


def test_the_best_on_dev_goals_is_kept_even_if_it_is_the_start(tiny_scorer: Path, tmp_path: Path) -> None:
    scores = iter([50.0, 40.0, 45.0])
    state = new_state(
        tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", num_updates=2, eval_every=1, value_warmup=0,
        on_dev=lambda policy: {"dev/score": next(scores), "dev/success": 1.0},
    )  # fmt: skip
    ppo_loop(state, Bar("ppo"))
    assert (state.best_update, state.best_score) == (0, 50.0)
    assert [entry["dev/score"] for entry in state.log] == [40.0, 45.0]
    before = load_scorer(tiny_scorer)[0].state_dict()
    for name, tensor in load_scorer(tmp_path / "run")[0].state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


@pytest.mark.parametrize("better", [False, True])
def test_a_run_that_gives_back_its_start_says_so(
    tiny_scorer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    better: bool,
) -> None:
    scores = iter([50.0, 60.0 if better else 50.0])

    class Scored:
        success_rate, num_episodes = 1.0, 4

        def __init__(self) -> None:
            self.score = next(scores)

    monkeypatch.setattr(EnvironmentArguments, "evaluate_on_dev", lambda *_: Scored())
    config = config_for(tmp_path / "run", num_updates=1, num_steps=2, num_minibatches=1, num_passes=1, eval_every=1)
    arguments = PPOArguments(model_name_or_path=str(tiny_scorer))
    train_ppo(arguments, MixedEnvironmentArguments(max_episode_steps=4), TuningArguments(), config)
    metrics = training_metrics(tmp_path / "run")
    assert (metrics["best_update"], metrics["start_given_back"]) == (int(better), not better)
    assert ("no update beat the start on dev goals: the start is given back" in caplog.text) is not better


def test_it_runs_on_the_embedded_catalogue(tiny_scorer: Path, tmp_path: Path) -> None:
    config = config_for(
        tmp_path / "run", num_updates=2, num_steps=4, num_minibatches=2, num_passes=1, eval_every=1
    )  # fmt: skip
    arguments = PPOArguments(model_name_or_path=str(tiny_scorer))
    environment = MixedEnvironmentArguments(max_episode_steps=4, num_dev_episodes=3)
    train_ppo(arguments, environment, TuningArguments(use_peft=True), config)
    metrics = training_metrics(tmp_path / "run")
    assert (metrics["method"], metrics["num_environment_steps"]) == ("ppo", 2 * 4 * 4)
    assert metrics["protocol"] == "embedded-unseen"
    ended = sum(entry["episode/count"] for entry in metrics["log_history"])
    assert metrics["num_episodes_played"] == {"training": ended, "dev": 3 * 3}  # the start's and both updates'
    assert metrics["start_on_dev"]["dev/episodes"] == 3
    minutes = [entry["train/minutes"] for entry in metrics["log_history"]]
    assert 0 < minutes[0] < minutes[1]
    assert not (tmp_path / "run" / "best").exists()
    trained = load_scorer(tmp_path / "run")[0].config
    assert trained.catalog_sha256 == metrics["catalog_sha256"]
    assert trained.values_learned is (metrics["best_update"] > 0)  # the start's value head knows nothing
    (tmp_path / "run" / "best").mkdir()  # as if killed after its result
    train_ppo(arguments, environment, TuningArguments(use_peft=True), config)  # does not train again
    assert training_metrics(tmp_path / "run") == metrics
    assert not (tmp_path / "run" / "best").exists()


def test_environments_of_a_group_draw_the_same_goals(
    tiny_scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make_env = MixedEnvironments.make_env

    def recording(shops: MixedEnvironments, number: int, rng: np.random.Generator) -> Any:
        made.append((number, copy.deepcopy(rng).random()))
        return make_env(shops, number, rng)

    monkeypatch.setattr(MixedEnvironments, "make_env", recording)
    config = config_for(tmp_path / "run", num_updates=1, num_steps=4, envs_per_goal=2)
    environment = MixedEnvironmentArguments(max_episode_steps=4)
    train_ppo(PPOArguments(model_name_or_path=str(tiny_scorer)), environment, TuningArguments(), config)
    assert [number for number, _ in made] == [0, 0, 1, 1]
    assert made[0] == made[1] != made[2] == made[3]


def test_what_the_model_cannot_do_is_refused_before_the_folder_is_claimed(tiny_scorer: Path, tmp_path: Path) -> None:
    arguments = PPOArguments(model_name_or_path=str(tiny_scorer))
    with pytest.raises(ConfigError, match="num_frozen_layers=9, but the encoder has 2 layers"):
        train_ppo(
            arguments, MixedEnvironmentArguments(), TuningArguments(num_frozen_layers=9), config_for(tmp_path / "run")
        )
    assert not (tmp_path / "run").exists()


def test_training_the_heads_alone_encodes_no_text_twice(
    tiny_scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collector, reference and updates share what a frozen encoder says; the ratio of the first minibatch is 1."""
    encoded: Counter[tuple[int, ...]] = Counter()
    encode = BertForChoiceScoring.encode_texts

    def counting(model: BertForChoiceScoring, texts: Any) -> Any:
        encoded.update(texts)
        return encode(model, texts)

    monkeypatch.setattr(BertForChoiceScoring, "encode_texts", counting)
    log, _ = run(
        tiny_scorer, shop_of(*ONE_PAGE), tmp_path / "run", tuning=TuningArguments(num_frozen_layers=2),
        num_updates=2, value_warmup=0, kl_coef=0.1, num_passes=2,
    )  # fmt: skip
    assert encoded
    assert set(encoded.values()) == {1}
    assert [entry["policy/ratio_first"] for entry in log] == pytest.approx([1, 1], abs=1e-6)
    trained = load_scorer(tmp_path / "run")[0].state_dict()
    for name, tensor in load_scorer(tiny_scorer)[0].state_dict().items():
        assert torch.equal(tensor, trained[name]) == name.startswith("bert."), name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_minibatches": 3}, "num_minibatches=3 must divide num_steps=16"),
        ({"num_envs": 0}, "num_envs=0, expected at least 1"),
        ({"envs_per_goal": 3}, "envs_per_goal=3 must divide num_envs=4"),
        ({"gamma": 0.0}, "gamma=0.0"),
        ({"num_train_epochs": 2}, "num_train_epochs=2 has no meaning for PPO; set num_updates and num_passes"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_for(tmp_path, **changed)


def test_an_imitation_term_needs_demonstrations(tiny_scorer: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"imitation_coef=0\.5 and demonstrations=None: expected both or neither"):
        train_ppo(
            PPOArguments(model_name_or_path=str(tiny_scorer)),
            MixedEnvironmentArguments(),
            TuningArguments(),
            config_for(tmp_path, imitation_coef=0.5),
        )

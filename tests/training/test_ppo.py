"""PPO on tasks with known answers that it must learn, its resuming, and what it refuses."""

import copy
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_shop import ONE_PAGE, ToyShop, config_for, new_state, run, shop_of

from decision_data import colour_episode
from recrl.errors import ConfigError
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.model import BertForChoiceScoring
from recrl.training.environment import EnvironmentArguments, MixedEnvironmentArguments, MixedEnvironments
from recrl.training.imitation import decisions_of
from recrl.training.ppo.buffer import RolloutBuffer
from recrl.training.ppo.checkpoints import resume_checkpoint
from recrl.training.ppo.collector import Collector
from recrl.training.ppo.loop import ppo_loop, train_ppo
from recrl.training.ppo.metrics import METRICS
from recrl.training.ppo.state import PPOState
from recrl.training.ppo.update import update_model
from recrl.training.progress import Bar
from recrl.training.runs import last_checkpoint, training_metrics
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments


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
    far, near = (abs(log["value/mean"] - log["value/return"]) for log in (first, second))
    assert near < max(0.25, 0.1 * far)
    assert far > 0.25
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

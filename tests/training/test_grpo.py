"""GRPO in the shop: what the environment tells TRL, the budget of tokens, and a few real steps."""

import json
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from given_answers import given_answers
from launching import launch
from transformers import TrainerCallback

from language_model import make_language_model
from recrl.errors import ConfigError
from recrl.language.chat import Chat, with_template
from recrl.language.conversation import TOOL_TASK, opening, tool_calls, user
from recrl.language.tools import TOOLS, call_of, tool_schemas
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import load_policy
from recrl.preferences.exporting import tokenizer_of
from recrl.publishing.push import push_run
from recrl.rollouts.rollout import rollout
from recrl.training.grpo import LanguageGRPOConfig, train_grpo
from recrl.training.runs import training_metrics
from recrl.training.settings.grpo import GRPOArguments, GRPOShop
from recrl.training.settings.language import AdapterArguments
from recrl.training.webshop_spec import WebShopSpec, WebShopToolEnv


@pytest.fixture(scope="module")
def spec() -> WebShopSpec:
    return WebShopSpec(num_goals=4, max_episode_steps=6, most_words=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("language") / "tiny", context=8192)


def tools_chat(model: Path) -> Chat:
    tokenizer = tokenizer_of(str(model))
    with_template(tokenizer, "qwen2_5")
    return Chat(tokenizer, tools=tool_schemas())


def demonstrated(spec: WebShopSpec) -> Any:
    [episode] = rollout(load_policy("demonstrator"), spec.shop, spec.goal_indices[:1], seed=0)
    return episode


def play(env: WebShopToolEnv, actions: list[str]) -> list[str]:
    calls = [call_of(action) for action in actions]
    return [getattr(env, call["name"])(**call["arguments"]) for call in calls]


def test_an_episode_by_calls_of_tools_has_the_reward_of_the_environment(spec: WebShopSpec) -> None:
    episode, env = demonstrated(spec), spec.environment_factory()
    told = env.reset(goal_index=episode.goal_index, prompt="ignored")
    assert episode.instruction in told
    pages = play(env, [step.action for step in episode.steps])
    assert env.get_reward() == episode.reward == 1.0
    assert pages[-1] == "You bought it."
    for page, step in zip(pages, episode.steps[1:], strict=False):
        assert all(product.asin.lower() in page for product in step.page.listing)
        assert "click[" not in page
    with pytest.raises(ValueError, match="the product is bought"):
        env.search("more")
    assert env.reset(goal_index=episode.goal_index) == told
    assert env.get_reward() == 0.0


def test_refused_calls_and_the_last_step_say_so(spec: WebShopSpec) -> None:
    env = spec.environment_factory()
    env.reset(goal_index=spec.goal_indices[0])
    with pytest.raises(ValueError, match=r".+"):
        env.open_product("b000000000")
    for _ in range(spec.max_episode_steps - 1):
        env.search("shirt")
    with pytest.raises(ValueError, match="the steps are used up"):
        env.buy()
    assert env.get_reward() == 0.0


def test_trl_finds_the_tools_and_nothing_else(spec: WebShopSpec) -> None:
    import inspect

    found = {name for name, _ in inspect.getmembers(WebShopToolEnv, inspect.isfunction) if not name.startswith("_")}
    assert found == {*TOOLS, "reset", "get_reward"}


def test_environments_share_a_catalogue_and_their_factory_can_be_pickled(spec: WebShopSpec) -> None:
    factory = pickle.loads(pickle.dumps(spec.environment_factory))
    one, other = factory(), spec.environment_factory()
    assert one._env.catalog is other._env.catalog
    episode = demonstrated(spec)
    actions = [step.action for step in episode.steps]

    def shop(_: int) -> float:
        env = factory()
        env.reset(goal_index=episode.goal_index)
        play(env, actions)
        return env.get_reward()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shop, range(16))) == [1.0] * 16


def test_rows_name_training_goals(spec: WebShopSpec) -> None:
    rows = spec.train_dataset
    assert rows["goal_index"] == spec.goal_indices
    assert set(spec.goal_indices) <= set(spec.shop.split("train", "product").tolist())
    assert rows[0]["prompt"][0]["role"] == "user"


def test_a_budget_without_room_for_an_episode_is_refused_with_the_arithmetic(spec: WebShopSpec, model: Path) -> None:
    chat = tools_chat(model)
    needed = spec.check_budget(chat, 100_000, None)
    assert needed["completion_tokens"] > needed["page_tokens"] > 0
    with pytest.raises(
        ConfigError, match=rf"max_completion_length=512 is too small: .* {needed['completion_tokens']} "
    ):
        spec.check_budget(chat, 512, None)
    with pytest.raises(ConfigError, match="the model's context holds 4096 tokens, but the prompt takes"):
        spec.check_budget(chat, max(4000, needed["completion_tokens"]), 4096)


def test_a_turn_has_room_for_the_longest_call(spec: WebShopSpec, model: Path) -> None:
    chat = tools_chat(model)
    longest = spec.check_budget(chat, 100_000, None)["turn_tokens"]
    calls = [tool_calls(call_of(step.action)) for step in demonstrated(spec).steps]
    asked = [user("?")]
    taken = [len(chat.prompt_ids([*asked, call], answer=False)) - len(chat.prompt_ids(asked)) for call in calls]
    assert max(taken) <= longest
    assert spec.check_budget(chat, 100_000, None, longest)["turn_tokens"] == longest
    with pytest.raises(ConfigError, match=f"max_turn_tokens={longest - 1} is too small: .* takes {longest} tokens"):
        spec.check_budget(chat, 100_000, None, longest - 1)
    with pytest.raises(ConfigError, match="max_turn_tokens=0"):
        GRPOArguments("m", max_turn_tokens=0)


@pytest.mark.slow
def test_an_answer_without_an_end_is_cut_at_the_bound(model: Path, tmp_path: Path) -> None:
    """An untrained model never ends an answer; every episode is then one turn of as many tokens as a turn may have."""
    seen: list[dict[str, float]] = []

    class Logs(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            seen.append(dict(logs))

    train_grpo(
        GRPOArguments(str(model), chat_template="qwen2_5", num_goals=1, most_words=4, max_turn_tokens=600),
        GRPOShop(max_episode_steps=8),
        AdapterArguments(),
        LanguageGRPOConfig(output_dir=str(tmp_path / "grpo"), use_cpu=True, max_steps=1, num_generations=2,
                           per_device_train_batch_size=2, max_completion_length=4000, logging_steps=1,
                           disable_tqdm=True, seed=0),
        callbacks=[Logs()],
    )  # fmt: skip
    assert (seen[0]["completions/max_length"], seen[0]["tools/call_frequency"]) == (600, 0)


@pytest.mark.slow
def test_real_steps_with_given_answers_have_the_rewards_of_the_shop(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL plays its tool loop, scores, and updates; what is generated is given, so that calls and rewards are known."""
    from trl import GRPOTrainer

    episode = demonstrated(WebShopSpec(num_goals=1, seed=0))
    actions = [step.action for step in episode.steps]
    answers, asked = given_answers(actions), []

    def answer(trainer: Any, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
        asked.append(prompt_ids[0])
        return answers(trainer, prompt_ids, *rest, **named)

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", answer)
    seen: list[dict[str, float]] = []

    class Logs(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            seen.append(dict(logs))

    run = train_grpo(
        GRPOArguments(str(model), chat_template="qwen2_5", num_goals=1, most_words=4, max_turn_tokens=600),
        GRPOShop(max_episode_steps=8),
        AdapterArguments(),
        LanguageGRPOConfig(output_dir=str(tmp_path / "grpo"), use_cpu=True, max_steps=2, num_generations=4,
                           per_device_train_batch_size=4, max_completion_length=2000, learning_rate=1e-3,
                           logging_steps=1, disable_tqdm=True, seed=0),
        callbacks=[Logs()],
    )  # fmt: skip
    for log in seen[:2]:
        assert log["reward"] == pytest.approx(0.5)  # half of the episodes bought the right thing
        assert log["tools/call_frequency"] == pytest.approx(len(actions) / 2)
        assert log["tools/failure_frequency"] == 0
        assert log["completions/mean_length"] > 0
    told = user(TOOL_TASK + opening(episode.instruction, 8))
    assert asked[0] == tools_chat(model).prompt_ids([told])  # as SFT and the policy tell it
    policy = load_policy(str(run))
    assert isinstance(policy, LanguagePolicy)
    assert (policy.answers, policy.record.most_words) == ("tools", 4)  # it plays as it was taught, and sees as much
    assert policy.prompt.max_prompt_tokens > 2000  # the prompt and max_completion_length
    goal = [episode.goal_index]
    assert len(list(rollout(policy, WebShopSpec().shop, goal, seed=0, max_steps=2, greedy=True))) == 1
    card = card_of(run)
    assert "Group relative policy optimisation" in card
    assert "- acts by: calls of tools, in a conversation whose pages have 4 words of each text" in card
    assert "- max_turn_tokens: 600" in card
    assert "- max_episode_steps: 8" in card


def card_of(run: Path) -> str:
    push_run(LanguageGRPOConfig(output_dir=str(run), use_cpu=True))
    return (run / "README.md").read_text()


SCRIPT = """
import json, sys
from pathlib import Path
from transformers import TrainerCallback
from trl import GRPOTrainer
from given_answers import given_answers
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.training.grpo import LanguageGRPOConfig, train_grpo
from recrl.training.recipe import run_recipe
from recrl.training.settings.grpo import GRPOArguments, GRPOShop
from recrl.training.settings.language import AdapterArguments
from recrl.training.webshop_spec import WebShopSpec

model, folder = sys.argv[1:]

class Weights(TrainerCallback):
    def on_train_end(self, args, state, control, model=None, **kwargs):
        lora = {name: one.detach().sum().item() for name, one in model.named_parameters() if one.requires_grad}
        Path(f"{folder}-{args.process_index}.json").write_text(json.dumps(lora))

def main():
    spec = WebShopSpec(num_goals=1, seed=0)
    [episode] = rollout(load_policy("demonstrator"), spec.shop, spec.goal_indices, seed=0)
    GRPOTrainer._generate_single_turn = given_answers([step.action for step in episode.steps])
    config = LanguageGRPOConfig(output_dir=folder, use_cpu=True, max_steps=2, num_generations=4, learning_rate=1e-3,
                                per_device_train_batch_size=2, max_completion_length=2000, logging_steps=1,
                                disable_tqdm=True, seed=0)
    arguments = GRPOArguments(model, chat_template="qwen2_5", num_goals=1, most_words=4, max_turn_tokens=600)
    train_grpo(arguments, GRPOShop(max_episode_steps=8), AdapterArguments(), config, callbacks=[Weights()])

run_recipe(main)
"""


@pytest.mark.slow
def test_two_processes_share_a_group_and_its_gradients(model: Path, tmp_path: Path) -> None:
    """A group of four episodes lies half in each process; both end with the same weights, which have moved."""
    script, folder = tmp_path / "script.py", tmp_path / "grpo"
    script.write_text(SCRIPT)
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
    result = launch(
        [sys.executable, *launcher, str(script), str(model), str(folder)],
        timeout=600,
        ACCELERATE_USE_CPU="true",
        CUDA_VISIBLE_DEVICES="",
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    )
    assert result.returncode == 0, result.stderr[-4000:]
    metrics = training_metrics(folder)
    assert (metrics["num_processes"], metrics["global_step"], metrics["num_episodes"]) == (2, 2, 8)
    assert [log["reward"] for log in metrics["log_history"] if "reward" in log] == pytest.approx([0.5, 0.5])
    first, second = (json.loads(Path(f"{folder}-{rank}.json").read_text()) for rank in (0, 1))
    assert first == pytest.approx(second)
    assert any(value for name, value in first.items() if "lora_B" in name)  # they are 0 at the start

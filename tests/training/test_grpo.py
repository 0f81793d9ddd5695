"""GRPO in the shop: what the environment tells TRL, the budget of tokens, and a few real steps."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from language_model import make_language_model
from recrl.episodes.data import episodes_to_dataset
from recrl.errors import ConfigError
from recrl.language.chat import Chat
from recrl.language.tools import TOOLS, call_of, tool_schemas
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import load_policy
from recrl.preferences.exporting import load_tokenizer
from recrl.rollouts.rollout import rollout
from recrl.training.grpo import LanguageGRPOConfig, train_grpo
from recrl.training.language import with_template
from recrl.training.settings.grpo import GRPOArguments, GRPOShop
from recrl.training.settings.language import AdapterArguments
from recrl.training.settings.sft import SFTArguments
from recrl.training.sft import LanguageSFTConfig, train_sft
from recrl.training.webshop_spec import WebShopSpec, WebShopToolEnv


@pytest.fixture(scope="module")
def spec() -> WebShopSpec:
    return WebShopSpec(num_goals=4, max_episode_steps=6, most_words=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("language") / "tiny", context=8192)


def tools_chat(model: Path) -> Chat:
    tokenizer = load_tokenizer(str(model))
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


@pytest.mark.slow
def test_a_model_that_was_taught_the_calls_shops_and_learns(spec: WebShopSpec, model: Path, tmp_path: Path) -> None:
    """SFT on one demonstrated episode until it is known by heart, then real GRPO steps on its goal."""
    episode = demonstrated(spec)
    episodes_to_dataset([episode] * 8).save_to_disk(str(tmp_path / "demonstrations"))
    data = [str(tmp_path / "demonstrations")]
    start = train_sft(
        SFTArguments(str(model), data, unit="episode", tools=True, chat_template="qwen2_5"),
        AdapterArguments(use_peft=False, max_prompt_tokens=4096),
        LanguageSFTConfig(output_dir=str(tmp_path / "sft"), use_cpu=True, num_train_epochs=60, learning_rate=5e-3,
                          per_device_train_batch_size=8, max_length=8192, disable_tqdm=True),
    )  # fmt: skip
    seen: list[dict[str, float]] = []

    from transformers import TrainerCallback

    class Logs(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            seen.append(dict(logs))

    run = train_grpo(
        GRPOArguments(str(start), num_goals=1, most_words=None),
        GRPOShop(max_episode_steps=8),
        AdapterArguments(max_prompt_tokens=4096),
        LanguageGRPOConfig(output_dir=str(tmp_path / "grpo"), use_cpu=True, max_steps=2, num_generations=4,
                           per_device_train_batch_size=4, max_completion_length=6000, temperature=0.7,
                           logging_steps=1, disable_tqdm=True, seed=0),
        callbacks=[Logs()],
    )  # fmt: skip
    assert [log["tools/call_frequency"] > 0 for log in seen[:2]] == [True, True]
    assert all(0 <= log["reward"] <= 1 for log in seen[:2])
    assert all(log["completions/mean_length"] > 0 for log in seen[:2])
    assert isinstance(load_policy(str(run), answers="tools"), LanguagePolicy)

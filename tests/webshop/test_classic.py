"""The original's names and signatures over our environment."""

import gymnasium as gym
import pytest
from gymnasium.error import ResetNeeded

import recrl  # noqa: F401  (registers the environment)
from recrl.errors import CatalogError
from recrl.webshop.classic import WebAgentTextEnv


def test_an_old_agents_loop_runs_and_sees_what_the_new_one_sees() -> None:
    old = WebAgentTextEnv(observation_mode="text", num_prev_actions=1)
    new = gym.make("recrl/WebShop-v0", split="all", observation_mode="text", num_prev_actions=1, max_steps=99)
    observation, nothing = old.reset(session=7)
    expected, info = new.reset(options={"goal_index": 7})
    assert (observation, nothing, old.session) == (expected, None, 7)
    assert old.get_instruction_text() == old.instruction_text == info["instruction"]
    done = False
    while not done:
        available = old.get_available_actions()
        assert (available["has_search_bar"], available["clickables"]) == (info["has_search_bar"], info["clickables"])
        if available["has_search_bar"]:
            action = f"search[{old.instruction_text}]"
        elif "buy now" in available["clickables"]:
            action = "click[buy now]"
        else:
            action = f"click[{available['clickables'][2]}]"
        observation, reward, done, nothing = old.step(action)
        expected, expected_reward, terminated, _, info = new.step(action)
        assert (observation, reward, done, nothing) == (expected, expected_reward, terminated, None)
        assert old.observation == observation
    assert 0 < reward <= 1
    assert old.state == {"url": old.state["url"], "instruction_text": info["instruction"]}
    assert old.state["url"].startswith("http://127.0.0.1:3000/done/7/")
    with pytest.raises(ResetNeeded):
        old.step("click[buy now]")


def test_there_is_no_step_limit_and_any_goal_may_come() -> None:
    env = WebAgentTextEnv()
    env.reset()
    assert 0 <= env.session < 4645
    assert not any(env.step("search[hat]")[2] for _ in range(200))
    assert env.render().startswith("Instruction:")
    env.close()


@pytest.mark.parametrize("session", ["7", -1, True, 10**7, "fixed_3"])
def test_what_is_no_goal_is_refused(session: object) -> None:
    with pytest.raises(CatalogError, match=r"session=|goal_index="):
        WebAgentTextEnv().reset(session=session)  # type: ignore[arg-type]

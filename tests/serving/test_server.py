"""The OpenEnv server over the loopback, with OpenEnv's own client: episodes, tasks, limits, what clients do wrong."""

import contextlib
import functools
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("openenv", reason="needs `pip install 'recrl[openenv]'`")

from openenv.core.generic_client import GenericEnvClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from recrl.cli import main
from recrl.episodes.data import Episode
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.serving.config import ServerConfig
from recrl.serving.server import RequestError, ShopAction, ShopEnvironment, make_server
from recrl.webshop.catalog import Catalog, load_catalog

SESSIONS = 16


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(None)


@contextlib.contextmanager
def serving(max_sessions: int, **settings: Any) -> Iterator[str]:
    config = ServerConfig(port=free_port(), max_sessions=max_sessions, **settings)
    server = make_server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"127.0.0.1:{config.port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(SESSIONS) as found:
        yield found


def demonstrations(catalog: Catalog, number: int) -> list[Episode]:
    goals = [int(goal) for goal in catalog.split("test", "product")[:number]]
    return list(rollout(load_policy("demonstrator"), catalog, goals, seed=0))


def post(address: str, path: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"http://{address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request))


def play(address: str, index: int, episode: Episode) -> Any:
    """Plays a demonstration of the test goal at ``index`` and returns the last result."""
    with GenericEnvClient(base_url=f"http://{address}").sync() as env:
        result = env.reset(split="test", index=index)
        for step in episode.steps:
            assert result.observation["text"] == step.observation
            assert tuple(result.observation["valid_actions"]) == step.valid_actions
            result = env.step({"action": step.action})
        return result


def test_an_episode_is_that_of_the_environment(address: str, catalog: Catalog) -> None:
    [episode] = demonstrations(catalog, 1)
    result = play(address, 0, episode)
    assert (result.done, result.reward) == (True, episode.reward)
    assert result.observation["goal_index"] == episode.goal_index
    assert result.observation["reward_parts"] == {name: float(x) for name, x in episode.reward_parts.items()}


def test_health_and_tasks(address: str, catalog: Catalog) -> None:
    assert json.load(urllib.request.urlopen(f"http://{address}/health"))["status"] == "healthy"
    splits = json.load(urllib.request.urlopen(f"http://{address}/webshop/splits"))
    assert "test" in json.dumps(splits)
    goals = catalog.split("test", "product")
    assert post(address, "/webshop/num_tasks", split="test") == {"num_tasks": len(goals)}
    task = json.dumps(post(address, "/webshop/task", split="test", index=3))
    goal = catalog.goals[int(goals[3])]
    assert json.dumps(goal.instruction)[1:-1] in task
    assert goal.asin not in task  # what is meant stays hidden


def test_sessions_side_by_side_do_not_touch_one_another(address: str, catalog: Catalog) -> None:
    episodes = demonstrations(catalog, 8)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda one: play(address, *one), enumerate(episodes)))
    assert [result.reward for result in results] == [episode.reward for episode in episodes]


def test_what_the_shop_refuses_changes_nothing_and_says_why(address: str) -> None:
    with GenericEnvClient(base_url=f"http://{address}").sync() as env:
        before = env.reset(split="test", index=0)
        after = env.step({"action": "click[nothing]"})
        assert after.observation["text"] == before.observation["text"]
        assert after.observation["invalid_action"]
        assert after.observation["steps_left"] == before.observation["steps_left"] - 1
        with pytest.raises(RuntimeError, match="index=100000, but the test split holds"):
            env.reset(split="test", index=100000)
        with pytest.raises(RuntimeError, match="split='exam', expected one of train, dev, test"):
            env.reset(split="exam", index=0)


def test_junk_is_answered_and_the_session_goes_on(address: str) -> None:
    with connect(f"ws://{address}/ws") as socket_:

        def answer(text: str) -> Any:
            socket_.send(text)
            return json.loads(socket_.recv())

        assert answer("not json")["data"]["code"] == "INVALID_JSON"
        assert answer('{"type": "dance"}')["data"]["code"] == "UNKNOWN_TYPE"
        assert "reset first" in answer('{"type": "step", "data": {"action": "click[buy now]"}}')["data"]["message"]
        assert answer('{"type": "step", "data": {"action": 7}}')["data"]["code"] == "VALIDATION_ERROR"
        assert answer('{"type": "reset", "data": {"split": "test", "index": 0}}')["type"] == "observation"
        long = json.dumps({"type": "step", "data": {"action": "x" * 5000}})
        assert "5000 characters, expected at most 4000" in answer(long)["data"]["message"]
        named = answer('{"type": "reset", "data": {"split": "test", "index": "x"}}')["data"]["message"]
        assert named.startswith("index='x', but the test split holds")
        assert answer('{"type": "reset", "data": {"split": "test", "index": 0}}')["type"] == "observation"


def test_a_task_that_is_not_there_is_a_bad_request(address: str) -> None:
    for body, expected in (
        ({"split": "exam", "index": 0}, "split='exam', expected one of train, dev, test"),
        ({"split": "test", "index": 100000}, "index=100000, but the test split holds"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(address, "/webshop/task", **body)
        assert refused.value.code == 400
        assert expected in json.load(refused.value)["detail"]


def test_a_session_that_was_closed_plays_no_more(catalog: Catalog) -> None:
    """As the server closes one whose client was silent for longer than ``session_timeout``."""
    session = ShopEnvironment(catalog, "product", 15)
    shown = session.reset(split="test", index=0)
    session.close()
    for ask in (session.reset, functools.partial(session.step, ShopAction(action=shown.valid_actions[0]))):
        with pytest.raises(RequestError, match="closed, because it was silent for too long; connect again"):
            ask()


@pytest.mark.slow
def test_a_client_that_was_silent_for_too_long_plays_no_more() -> None:
    """The server looks every five seconds."""
    with serving(1, session_timeout=1.0) as address, connect(f"ws://{address}/ws") as socket_:
        reset = '{"type": "reset", "data": {"split": "test", "index": 0}}'
        socket_.send(reset)
        assert json.loads(socket_.recv())["type"] == "observation"
        time.sleep(8)
        socket_.send(reset)
        assert "silent for too long; connect again" in json.loads(socket_.recv())["data"]["message"]


def test_a_client_that_vanishes_leaves_its_place(address: str) -> None:
    """Twice as many as there is room for come one after the other, and each goes without a word."""
    served = 0
    while served < 2 * SESSIONS:
        with contextlib.suppress(ConnectionError, ConnectionClosed), connect(f"ws://{address}/ws") as socket_:
            socket_.send('{"type": "reset", "data": {"split": "test", "index": 0}}')
            served += json.loads(socket_.recv())["type"] == "observation"  # or it is told to come again later
            socket_.socket.close()


def test_a_client_too_many_is_refused_with_the_numbers(address: str) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(4 * SESSIONS):
            socket_ = opened.enter_context(connect(f"ws://{address}/ws"))
            with contextlib.suppress(ConnectionClosed):  # a refused session may be closed before; its answer is there
                socket_.send('{"type": "state"}')
            answer = json.loads(socket_.recv())
            if answer["type"] == "error":
                break
    assert (answer["data"]["code"], answer["data"]["max_sessions"]) == ("CAPACITY_REACHED", SESSIONS)


def test_bad_settings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for flags, expected in (
            (["--port", str(taken.getsockname()[1])], "nothing can listen at 127.0.0.1:"),
            (["--port", "0"], "port=0, expected 1 to 65535"),
            (["--max_sessions", "0"], "max_sessions=0"),
        ):
            with pytest.raises(SystemExit) as ended:
                main(["serve-environment", *flags])
            assert ended.value.code == 2
            assert expected in capsys.readouterr().err


@pytest.mark.exhaustive
def test_load(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    """64 sessions at once, each with ten episodes, every page and reward checked; prints what it took."""
    import psutil

    episodes = demonstrations(catalog, 64)
    process = psutil.Process()
    memory, started = process.memory_info().rss, time.monotonic()

    with serving(64) as address, ThreadPoolExecutor(64) as pool:

        def session(index: int) -> int:
            return sum(play(address, index, episodes[index]).done for _ in range(10))

        finished = sum(pool.map(session, range(64)))
    seconds, steps = time.monotonic() - started, 10 * sum(episode.num_steps for episode in episodes)
    assert finished == 640
    with capsys.disabled():
        grown = (process.memory_info().rss - memory) / 2**20
        print(
            f"\n640 episodes, {steps} steps in {seconds:.1f} s: {steps / seconds:.0f} steps/s; memory +{grown:.0f} MB"
        )

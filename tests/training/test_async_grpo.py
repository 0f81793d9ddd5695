"""TRL's asynchronous rollouts in the shop: its worker process, our environments, and a server of given answers."""

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from given_answers import answer_of

from language_model import make_language_model
from recrl.language.chat import with_template
from recrl.policies.loading import load_policy
from recrl.preferences.exporting import tokenizer_of
from recrl.rollouts.rollout import rollout
from recrl.training.webshop_spec import WebShopSpec, WebShopToolEnv

GROUP = 4


class Server(ThreadingHTTPServer):
    """Answers ``/v1/completions`` as vLLM's server does. Every other conversation follows a demonstration."""

    def __init__(self, tokenizer: Any, actions: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Completions)
        self.tokenizer, self.actions = tokenizer, actions
        self.begun, self.lock = 0, threading.Lock()

    def answer(self, prompt: list[int]) -> list[int]:
        done = self.tokenizer.decode(prompt).count("<tool_response>")
        with self.lock:
            self.begun += not done
            follows = bool(done) or self.begun % 2 == 0
        return answer_of(self.tokenizer, self.actions, done, follows=follows)


class Completions(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ids = self.server.answer(asked["prompt"])
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": [-0.5] * len(ids)}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def spec() -> WebShopSpec:
    return WebShopSpec(num_goals=1, max_episode_steps=8, most_words=4)


@pytest.fixture
def server(spec: WebShopSpec, tmp_path: Path) -> Iterator[Server]:
    tokenizer = tokenizer_of(str(make_language_model(tmp_path / "model", context=8192)))
    with_template(tokenizer, "qwen2_5")
    [episode] = rollout(load_policy("demonstrator"), spec.shop, spec.goal_indices, seed=0)
    with Server(tokenizer, [step.action for step in episode.steps]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.slow
def test_the_worker_of_asynchronous_grpo_shops(
    spec: WebShopSpec, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it puts into TRL's buffer has the shop's rewards, the calls that were made, and advantages of the group."""
    pytest.importorskip("aiohttp", reason="TRL's asynchronous worker speaks to its server with aiohttp")
    from accelerate.state import PartialState
    from trl.experimental.async_grpo import async_rollout_worker

    PartialState()  # as the trainer, without which the worker's log cannot be written
    monkeypatch.setattr(async_rollout_worker, "is_vllm_available", lambda: True)  # the server stands for it
    worker = async_rollout_worker.AsyncRolloutWorker(
        model_name="given",
        dataset=spec.train_dataset,
        reward_funcs=spec.reward_funcs,
        environment_factory=spec.environment_factory,
        processing_class=server.tokenizer,
        eos_token_ids=[server.tokenizer.convert_tokens_to_ids("<|im_end|>")],
        num_generations=GROUP,
        max_inflight_tasks=GROUP,
        max_tokens=200,
        vllm_server_url=f"http://127.0.0.1:{server.server_port}",
        max_tool_calling_iterations=spec.max_episode_steps,
    )
    worker.start()
    try:
        samples = []
        while len(samples) < GROUP:
            worker.check_health(stale_after_s=600)
            try:
                samples.append(worker.rollout_buffer.get(timeout=5))
            except queue.Empty:
                continue
    finally:
        worker.stop()
    assert len({sample.group_id for sample in samples}) == 1
    assert sorted(sample.metrics["reward"] for sample in samples) == [0, 0, 1, 1]
    for sample in samples:
        bought = sample.metrics["reward"] == 1
        assert sample.metrics[f"rewards/{WebShopToolEnv.__name__}"] == sample.metrics["reward"]
        assert sample.metrics["tools/call_frequency"] == (len(server.actions) if bought else 0)
        assert sample.metrics["tools/failure_frequency"] == 0
        assert sample.advantage == pytest.approx(1 if bought else -1, abs=1e-6)
        assert 0 < sample.completion_mask.sum() < len(sample.input_ids)  # pages are not learned from

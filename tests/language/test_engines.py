"""The engines of a language model. vLLM itself needs a GPU: in its place stands a module with its interface that
answers with transformers, so that what is asked of it and what is made of its answers can be compared.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from language_model import make_language_model
from recrl.cli import main
from recrl.episodes.data import Episode
from recrl.episodes.decisions import Decision
from recrl.errors import PolicyError
from recrl.language.models import load_language_model
from recrl.language.writing import write_answers
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import load_policy


class SamplingParams(SimpleNamespace):
    """`vllm.SamplingParams`."""


class LLM:
    """`vllm.LLM`: token ids and parameters go in; token ids and the log-probabilities of each come out."""

    made: dict[str, Any]

    def __init__(self, **settings: Any) -> None:
        LLM.made = settings
        self.base, self.adapters = settings["model"], {}
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=4096))

    def _model(self, adapter: Any) -> Any:
        source = self.base if adapter is None else adapter.lora_path
        return self.adapters.setdefault(source, load_language_model(source, device="cpu", dtype=torch.float32)[0])

    def generate(self, prompts: Any, params: Any, *, use_tqdm: bool, lora_request: Any) -> list[Any]:
        assert not use_tqdm
        model = self._model(lora_request)
        return [self._one(model, one["prompt_token_ids"], its) for one, its in zip(prompts, params, strict=True)]

    def _one(self, model: Any, ids: list[int], params: Any) -> Any:
        with torch.inference_mode():
            chances = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        if getattr(params, "prompt_logprobs", None) is not None:
            told = [{token: SimpleNamespace(logprob=float(chances[at, token]))} for at, token in enumerate(ids[1:])]
            return SimpleNamespace(prompt_logprobs=[None, *told], outputs=[])
        rng = np.random.default_rng(params.seed)
        settings = {"max_new_tokens": params.max_tokens, "temperature": params.temperature or None}
        [written] = write_answers(model, [ids], [rng], stop_ids=params.stop_token_ids, **settings)
        ended = len(written.ids) < params.max_tokens
        tokens = [*written.ids, *([params.stop_token_ids[0]] if ended else [])]
        each = [{token: SimpleNamespace(logprob=written.log_prob / len(tokens))} for token in tokens]
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens, logprobs=each)])


class LoRARequest:
    """`vllm.lora.request.LoRARequest`."""

    def __init__(self, lora_name: str, lora_int_id: int, lora_path: str) -> None:
        self.lora_name, self.lora_int_id, self.lora_path = lora_name, lora_int_id, lora_path


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module, importable for a while."""
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request")}
    vars(modules["vllm"]).update(LLM=LLM, SamplingParams=SamplingParams)
    vars(modules["vllm.lora.request"]).update(LoRARequest=LoRARequest)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def decisions(episodes: list[Episode]) -> list[Decision]:
    return [one for one in episodes[0].decisions() if len(one.valid_actions) > 1]


def both(source: Path, **settings: Any) -> list[LanguagePolicy]:
    found = [load_policy(str(source), max_prompt_tokens=1000, engine=name, **settings) for name in (None, "vllm")]
    assert all(isinstance(one, LanguagePolicy) for one in found)
    return found  # type: ignore[return-value]


def test_vllm_scores_actions_as_transformers_does(
    vllm: None, tiny_language_model: Path, decisions: list[Decision]
) -> None:
    plain, other = (one.text_log_probs(decisions) for one in both(tiny_language_model))
    for expected, found in zip(plain, other, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert LLM.made["trust_remote_code"] is False
    assert "enable_lora" not in LLM.made


@pytest.mark.parametrize("greedy", [True, False])
def test_vllm_writes_up_to_the_end_of_the_turn(
    vllm: None, tiny_language_model: Path, decisions: list[Decision], greedy: bool
) -> None:
    plain, other = both(tiny_language_model, answers="text")
    for decision in decisions[:2]:
        choices = [one.act([decision], [np.random.default_rng(3)], greedy=greedy)[0] for one in (plain, other)]
        assert choices[1].log_prob < 0
        if greedy:
            assert choices[0].action_index == choices[1].action_index
            assert choices[0].text == choices[1].text
            assert choices[0].log_prob == pytest.approx(choices[1].log_prob, rel=1e-5)


def test_vllm_plays_an_adapter_on_its_base(vllm: None, tmp_path: Path, decisions: list[Decision]) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = make_language_model(tmp_path / "base")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    adapted.save_pretrained(tmp_path / "adapter")
    plain, other = (one.text_log_probs(decisions[:1])[0] for one in both(tmp_path / "adapter"))
    np.testing.assert_allclose(other, plain, atol=1e-4)
    assert LLM.made["enable_lora"] is True
    assert LLM.made["model"] == str(base)


def test_without_vllm_one_line_says_what_to_install(
    tiny_language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    result = tmp_path / "result.json"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--policy", str(tiny_language_model), "--engine", "vllm", "--output_json", str(result)])
    assert ended.value.code == 2
    assert "engine 'vllm' needs vLLM" in capsys.readouterr().err
    assert not result.exists()
    with pytest.raises(PolicyError, match="engine='mlx', expected one of transformers, vllm"):
        load_policy(str(tiny_language_model), engine="mlx")
    with pytest.raises(PolicyError, match="device='cpu' is for transformers"):
        load_policy(str(tiny_language_model), engine="vllm", device="cpu")
    with pytest.raises(PolicyError, match="engine are for language models; 'random' is a scripted policy"):
        load_policy("random", engine="vllm")

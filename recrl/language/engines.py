"""What runs a language model: transformers, in this process, or vLLM where it is installed.

Both give exact log-probabilities of answers and write answers of their own; `recrl.policies.language` does not know
which of them it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from recrl.errors import CheckpointError, PolicyError
from recrl.language.likelihood import answer_log_probs
from recrl.language.models import context_length, find_weights, tokenizer_for
from recrl.language.writing import Written, write_answers
from recrl.pretrained import load_config, refused

MOST_LORA_RANK = 256  # of an adapter under vLLM, which keeps room for it


@runtime_checkable
class Engine(Protocol):
    """Runs a causal language model.

    Attributes:
        context: the most tokens that it can attend to; None if that is not known.
    """

    context: int | None

    def log_probs(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]]
    ) -> list[np.ndarray]:
        """For each prompt (answers,) float32, the log-probability of each of its answers, as token ids, behind it."""
        ...

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rngs: Sequence[np.random.Generator],
        *,
        stop_ids: Sequence[int],
        max_new_tokens: int,
        temperature: float | None,
    ) -> list[Written]:
        """An answer to each prompt, see `recrl.language.writing.write_answers`."""
        ...


@dataclass
class TransformersEngine:
    """A model of transformers, with or without an adapter of PEFT.

    Attributes:
        model: the model; pad_token_id: what stands where texts of a batch are shorter.
    """

    model: Any
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        self.model = self.model.eval()
        self.context = context_length(self.model)

    def log_probs(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]]
    ) -> list[np.ndarray]:
        """See `Engine`."""
        found = answer_log_probs(self.model, prompts, answers, pad_token_id=self.pad_token_id)
        return [one.numpy() for one in found]

    def write(self, prompts: Any, rngs: Any, **settings: Any) -> list[Written]:
        """See `Engine`; what is written does not depend on what is written beside it."""
        return write_answers(self.model, prompts, rngs, pad_token_id=self.pad_token_id, **settings)


class VLLMEngine:
    """A model that vLLM (arXiv:2309.06180) runs.

    Answers are scored as the log-probabilities of a prompt's last tokens. A sampled answer has a seed of its own, drawn
    from its generator.

    Args:
        source: the folder or Hub id of a model, or of a LoRA adapter, whose base is found as for transformers.
        dtype: of the weights; "auto" is that in which they are stored.
        settings: of ``vllm.LLM``, such as ``gpu_memory_utilization`` or ``tensor_parallel_size``.

    Raises:
        PolicyError: vLLM is not installed.
        CheckpointError: the model is nowhere.
    """

    def __init__(self, source: str | Path, *, dtype: str = "auto", **settings: Any) -> None:
        try:
            import vllm
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise PolicyError(
                f"engine 'vllm' needs vLLM ({error}); install it with `pip install 'recrl[vllm]'`, or leave the engine "
                "out to run the model with transformers"
            ) from error
        base, adapter = find_weights(source)
        room = {} if adapter is None else {"enable_lora": True, "max_lora_rank": MOST_LORA_RANK}
        self._llm = vllm.LLM(
            model=base,
            tokenizer=base,
            dtype=dtype,
            trust_remote_code=False,
            logprobs_mode="processed_logprobs",  # of the tempered distribution, as `Written` has them
            **room | settings,
        )
        self._params, self._adapter = vllm.SamplingParams, None
        if adapter is not None:
            self._adapter = LoRARequest(Path(adapter).name, 1, str(adapter))
        self.context = int(self._llm.llm_engine.model_config.max_model_len)

    def _generate(self, prompts: Sequence[Sequence[int]], params: Sequence[Any]) -> Any:
        given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        return self._llm.generate(given, list(params), use_tqdm=False, lora_request=self._adapter)

    def log_probs(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]]
    ) -> list[np.ndarray]:
        """See `Engine`."""
        texts = [[*prompt, *answer] for prompt, own in zip(prompts, answers, strict=True) for answer in own]
        params = self._params(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        scored = iter(self._generate(texts, [params] * len(texts)))
        found = []
        for prompt, own in zip(prompts, answers, strict=True):
            values = []
            for answer in own:
                chances = next(scored).prompt_logprobs[len(prompt) :]
                values.append(sum(one[token].logprob for one, token in zip(chances, answer, strict=True)))
            found.append(np.array(values, dtype=np.float32))
        return found

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rngs: Sequence[np.random.Generator],
        *,
        stop_ids: Sequence[int],
        max_new_tokens: int,
        temperature: float | None,
    ) -> list[Written]:
        """See `Engine`."""
        params = [
            self._params(
                max_tokens=max_new_tokens,
                temperature=temperature or 0.0,
                seed=None if temperature is None else int(rng.integers(2**31)),
                stop_token_ids=list(stop_ids),
                ignore_eos=True,  # the tokens that stop are all among stop_ids
                logprobs=0,
                detokenize=False,
            )
            for rng in rngs
        ]
        written = [output.outputs[0] for output in self._generate(prompts, params)]
        return [_written(one, stop_ids) for one in written]


def _written(output: Any, stop_ids: Sequence[int]) -> Written:
    """What vLLM wrote, without the token that stopped it."""
    ids = tuple(output.token_ids)
    log_prob = sum(chances[token].logprob for chances, token in zip(output.logprobs, ids, strict=True))
    return Written(ids[:-1] if ids and ids[-1] in stop_ids else ids, min(0.0, float(log_prob)))


def load_vllm(source: str | Path, *, dtype: str = "auto", **settings: Any) -> tuple[VLLMEngine, Any]:
    """The engine and the tokenizer of a model; arguments and errors as of `VLLMEngine`."""
    engine = VLLMEngine(source, dtype=dtype, **settings)
    base, adapter = find_weights(source)
    with refused(CheckpointError, f"the tokenizer of {source}"):
        return engine, tokenizer_for(base, adapter, load_config(base).get_text_config().vocab_size)

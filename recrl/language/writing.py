"""Writing answers freely, token by token, each with a random generator of its own.

`transformers`' ``generate`` draws from one global generator, so that what is written would depend on what is written
beside it; here it does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recrl.language.likelihood import cache_argument, cache_of, padded, positions_of

MAX_NEW_TOKENS = 96  # of an answer that a policy writes


@dataclass(frozen=True)
class Written:
    """An answer: its tokens without the one that ended it, and the log-probability of all of them.

    An answer that came to ``max_new_tokens`` has no end.
    """

    ids: tuple[int, ...]
    log_prob: float


@torch.inference_mode()
def write_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rngs: Sequence[np.random.Generator],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    temperature: float | None,
    pad_token_id: int = 0,
) -> list[Written]:
    """An answer to each prompt.

    Args:
        temperature: of each token; None takes the most probable one. ``log_prob`` is that of the tempered tokens.
    """
    ids, mask = padded(prompts, pad_token_id, model.device, in_front=True)
    positions = positions_of(mask)
    cache: Any = None
    answers: list[list[int]] = [[] for _ in prompts]
    log_probs, running = [0.0] * len(prompts), [True] * len(prompts)
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1,
            **({} if cache is None else {cache_argument(model): cache}),
        )  # fmt: skip
        cache = cache_of(output)
        tokens = (output.logits[:, -1].float() / (temperature or 1.0)).log_softmax(-1).cpu()  # (prompts, vocabulary)
        following = [pad_token_id] * len(prompts)
        for place, rng in enumerate(rngs):
            if not running[place]:
                continue
            token = int(tokens[place].argmax()) if temperature is None else _draw(tokens[place].numpy(), rng)
            log_probs[place] += float(tokens[place, token])
            if token in stop_ids:
                running[place] = False
            else:
                answers[place].append(token)
                following[place] = token
        if not any(running):
            break
        ids = torch.tensor(following, device=mask.device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return [Written(tuple(one), min(0.0, value)) for one, value in zip(answers, log_probs, strict=True)]


def _draw(log_probs: np.ndarray, rng: np.random.Generator) -> int:
    cumulative = np.exp(log_probs.astype(np.float64)).cumsum()
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))

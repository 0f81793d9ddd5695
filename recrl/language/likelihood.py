"""Exact log-probabilities of answers under a causal language model, with each prompt encoded once.

Prompts of similar length are encoded together, padded in front; their answers then go on from copies of the prompts'
key-value cache. This works with every model whose cache transformers can copy by rows, sliding windows included.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

MOST_PROMPT_TOKENS = 8192  # of prompts that are encoded together, padding included
MOST_PADDING = 0.1  # the share of padding among them
MOST_CACHED_TOKENS = 65536  # of the caches of answers that go on together
MOST_ANSWER_TOKENS = 1024  # of those answers, padding included: their logits are (tokens, vocabulary)


@torch.inference_mode()
def answer_log_probs(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]], *, pad_token_id: int = 0
) -> list[torch.Tensor]:
    """The log-probability of each answer behind its prompt.

    Args:
        prompts: token ids; answers: for each prompt, the token ids of its answers, each at least one.

    Returns:
        for each prompt (answers,) fp32 on the CPU: sum over an answer's tokens of log p(token | prompt, tokens before).
    """
    found: list[torch.Tensor] = [torch.zeros(len(one)) for one in answers]
    for group in _groups([len(prompt) for prompt in prompts]):
        ids, mask = padded([prompts[i] for i in group], pad_token_id, model.device, in_front=True)
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions_of(mask), use_cache=True, logits_to_keep=1
        )
        cache = cache_of(output)
        first = output.logits[:, -1].float().log_softmax(-1)  # (prompts, vocabulary)
        rows = [(place, number) for place, i in enumerate(group) for number in range(len(answers[i]))]
        for place, number in rows:
            found[group[place]][number] = first[place, answers[group[place]][number][0]]
        longer = [(place, number) for place, number in rows if len(answers[group[place]][number]) > 1]
        longer.sort(key=lambda row: len(answers[group[row[0]]][row[1]]))
        for chunk in _chunks(longer, [len(answers[group[place]][number]) for place, number in longer], ids.shape[1]):
            texts = [answers[group[place]][number] for place, number in chunk]
            rest = _rest(model, cache, mask, [place for place, _ in chunk], texts, pad_token_id)
            for (place, number), value in zip(chunk, rest, strict=True):
                found[group[place]][number] += value
    return found


def _rest(
    model: Any, cache: Any, mask: torch.Tensor, places: list[int], answers: Sequence[Sequence[int]], pad_token_id: int
) -> torch.Tensor:
    """(answers,) the log-probability of all tokens but the first of answers behind the prompts at ``places``."""
    index = torch.tensor(places, device=mask.device)
    cache = _copied(cache)
    cache.batch_select_indices(index)
    ids, ids_mask = padded([answer[:-1] for answer in answers], pad_token_id, mask.device)
    targets, _ = padded([answer[1:] for answer in answers], 0, mask.device)
    positions = mask[index].sum(-1, keepdim=True) + torch.arange(ids.shape[1], device=mask.device)
    logits = model(
        input_ids=ids,
        attention_mask=torch.cat([mask[index], ids_mask], dim=1),
        position_ids=positions,
        use_cache=True,
        **{cache_argument(model): cache},
    ).logits.float()  # (answers, tokens, vocabulary)
    chosen = logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)
    return (chosen * ids_mask).sum(-1).cpu()


def cache_argument(model: Any) -> str:
    """What the model's ``forward`` calls its cache: ``past_key_values`` until transformers 5.23, then ``cache``."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "cache" if "cache" in inspect.signature(inner.forward).parameters else "past_key_values"


def cache_of(output: Any) -> Any:
    """The cache in a model's output, by either name."""
    return output["cache"] if "cache" in output else output["past_key_values"]


def _copied(cache: Any) -> Any:
    """A copy whose rows can be selected without changing the cache; the tensors themselves are shared."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    return copied


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of prompts to encode together, shortest first."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        padding = sum(lengths[place] - lengths[earlier] for earlier in group)
        most = (len(group) + 1) * lengths[place]
        if group and (most > MOST_PROMPT_TOKENS or padding > MOST_PADDING * most):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _chunks(rows: Sequence[Any], lengths: Sequence[int], prompt_length: int) -> Iterator[list[Any]]:
    """Rows, sorted by their lengths, to go on together."""
    chunk: list[Any] = []
    for row, length in zip(rows, lengths, strict=True):
        number = len(chunk) + 1
        if chunk and (number * length > MOST_ANSWER_TOKENS or number * (prompt_length + length) > MOST_CACHED_TOKENS):
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def padded(
    texts: Sequence[Sequence[int]], pad: int, device: torch.device, *, in_front: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(texts, tokens) ids and a mask that is 1 at tokens."""
    width = max(map(len, texts))
    ids = torch.full((len(texts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        place = slice(width - len(text), width) if in_front else slice(0, len(text))
        ids[row, place], mask[row, place] = torch.tensor(text, dtype=torch.long), 1
    return ids.to(device), mask.to(device)


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)

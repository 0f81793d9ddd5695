"""Encodings of texts, kept for as long as the encoder stays as it is, so that hardly any text is encoded twice."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

KEPT_TOKENS = 1_000_000  # about 1.5 GB at 384 floats a token
Text = tuple[int, ...]  # token ids


class EncodingCache:
    """Encodes what it does not know yet, and forgets the longest unused beyond its size.

    Args:
        encode: texts -> (tokens, hidden) of each.
        max_tokens: of all kept texts; those of one call are kept even beyond it.
    """

    def __init__(
        self, encode: Callable[[Sequence[Text]], Sequence[torch.Tensor]], max_tokens: int = KEPT_TOKENS
    ) -> None:
        self.encode, self.max_tokens = encode, max_tokens
        self._hidden: OrderedDict[Text, torch.Tensor] = OrderedDict()
        self._num_tokens = 0

    def __call__(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """(tokens, hidden) of each text."""
        needed = dict.fromkeys(texts)
        for text in needed:
            if text in self._hidden:
                self._hidden.move_to_end(text)
        absent = [text for text in needed if text not in self._hidden]
        for text, hidden in zip(absent, self.encode(absent) if absent else [], strict=True):
            self._hidden[text] = hidden
            self._num_tokens += len(hidden)
        while self._num_tokens > self.max_tokens and len(self._hidden) > len(needed):
            self._num_tokens -= len(self._hidden.popitem(last=False)[1])
        return [self._hidden[text] for text in texts]

    def clear(self) -> None:
        """Forgets all, because the encoder has changed."""
        self._hidden.clear()
        self._num_tokens = 0

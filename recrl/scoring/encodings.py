"""Encodings of texts, kept for as long as the encoder stays as it is, so that hardly any text is encoded twice."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from recrl.scoring.encoding_store import EncodingStore, Text, encoder_key

KEPT_TOKENS = 1_000_000  # about 1.5 GB at 384 floats a token
Encode = Callable[[Sequence[Text]], Sequence[torch.Tensor]]  # texts -> (tokens, hidden) of each


class EncodingCache:
    """Encodes what it does not know yet, and forgets the longest unused beyond its size.

    Args:
        encode: texts -> (tokens, hidden) of each.
        max_tokens: of all kept texts; those of one call are kept even beyond it.
    """

    def __init__(self, encode: Encode, max_tokens: int = KEPT_TOKENS) -> None:
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


class _Stored:
    """Encodes what the disk does not hold, and writes it there.

    Args:
        store: the file.
        encoder: tells the key of the encoder as it is now, None where its encodings are not to be kept on the disk.
        kind: a word for what ``encode`` makes with it.
    """

    def __init__(self, encode: Encode, store: EncodingStore, encoder: Callable[[], str | None], kind: str) -> None:
        self.encode, self.store, self.encoder, self.kind = encode, store, encoder, kind

    def __call__(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """(tokens, hidden) of each text."""
        encoder = self.encoder()
        if encoder is None:
            return list(self.encode(texts))
        key = f"{encoder} {self.kind}"
        found = {text: torch.from_numpy(rows) for text, rows in self.store.read(key, texts).items()}
        absent = [text for text in texts if text not in found]
        if absent:
            made = dict(zip(absent, self.encode(absent), strict=True))
            self.store.write(key, {text: hidden.numpy() for text, hidden in made.items()})
            found |= made
        return [found[text] for text in texts]


class KeptEncodings:
    """The encodings of states and those of action texts, which a scorer may pool.

    Args:
        encoder: whose encodings they are.
        states: encodes states; actions: encodes action texts, None where they are encoded as states are.
        store: a file for both, beside the memory; used only where an encoding does not depend on the texts that are
            encoded with it, which is on a CPU, and in float32.
    """

    def __init__(
        self, encoder: PreTrainedModel, states: Encode, actions: Encode | None, store: EncodingStore | None = None
    ) -> None:
        self._encoder, self._key = encoder, ""
        if store is not None:
            states = _Stored(states, store, self._current_key, "tokens")
            actions = None if actions is None else _Stored(actions, store, self._current_key, "mean")
        self.states = EncodingCache(states)
        self.actions = self.states if actions is None else EncodingCache(actions)

    def _current_key(self) -> str | None:
        """The encoder's key, made when it is first asked for and after every change; None see above."""
        if self._encoder.device.type != "cpu" or self._encoder.dtype != torch.float32:
            return None
        self._key = self._key or encoder_key(self._encoder)
        return self._key

    def clear(self) -> None:
        """Forgets all, because the encoder has changed."""
        self._key = ""
        self.states.clear()
        self.actions.clear()

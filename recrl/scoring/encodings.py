"""Encodings of texts, kept for as long as the encoder stays as it is, so that hardly any text is encoded twice."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from recrl.scoring.encoding_store import EncodingStore, Text, encoder_key

if TYPE_CHECKING:
    from recrl.scoring.model import BertForChoiceScoring

KEPT_TOKENS = 1_000_000  # about 1.5 GB at 384 floats a token


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


class _Stored:
    """Encodes what the disk does not hold, and writes it there.

    Args:
        encode: texts -> (tokens, hidden) of each, float32 on the CPU.
        store: the file; key: of the encoder as it is now and of what ``encode`` does with it.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Text]], Sequence[torch.Tensor]],
        store: EncodingStore,
        key: Callable[[], str],
    ) -> None:
        self.encode, self.store, self.key = encode, store, key

    def __call__(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """(tokens, hidden) of each text."""
        key = self.key()
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
        model: whose encodings they are.
        store: a file for them, beside the memory: of action texts if the scorer pools them, of states if they are the
            instruction alone, which come back. Nothing else is worth its place on the disk.
    """

    states: EncodingCache
    actions: EncodingCache

    def __init__(self, model: "BertForChoiceScoring", store: EncodingStore | None = None) -> None:
        self._encoder: str | None = None  # the encoder's key, made when it is first asked for
        config, bert = model.config, model.bert

        def key(kind: str) -> Callable[[], str]:
            def current() -> str:
                if self._encoder is None:
                    self._encoder = encoder_key(bert)
                return f"{self._encoder} {kind}"

            return current

        states: Callable[[Sequence[Text]], Sequence[torch.Tensor]] = model.encode_texts
        actions: Callable[[Sequence[Text]], Sequence[torch.Tensor]] = model.encode_actions
        if store is not None and config.state_form == "instruction":
            states = _Stored(states, store, key("tokens"))
        if store is not None and config.pool_actions:
            actions = _Stored(actions, store, key("mean"))
        self.states = EncodingCache(states)
        self.actions = EncodingCache(actions) if config.pool_actions else self.states

    def clear(self) -> None:
        """Forgets all, because the encoder has changed."""
        self._encoder = None
        self.states.clear()
        self.actions.clear()

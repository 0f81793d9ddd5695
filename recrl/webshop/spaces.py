"""A Gymnasium space of any text."""

import multiprocessing
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector.utils.shared_memory import create_shared_memory, read_from_shared_memory, write_to_shared_memory

LONGEST_SAMPLE = 60
_RANGES = ((0x20, 0x7F), (0xA0, 0x250), (0x370, 0x400), (0x4E00, 0x4E80), (0x1F600, 0x1F640))


class UnicodeText(Space[str]):
    """Every Python string without lone surrogates. Gymnasium's own Text needs a list of allowed characters."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=(), dtype=np.str_, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short text of Latin, Greek, Han and emoji characters; a mask or probability has no meaning here."""
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        ranges = self.np_random.integers(len(_RANGES), size=int(self.np_random.integers(LONGEST_SAMPLE + 1)))
        return "".join(chr(int(self.np_random.integers(*_RANGES[place]))) for place in ranges)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a text that can be encoded."""
        return isinstance(x, str) and not any("\ud800" <= character <= "\udfff" for character in x)

    @property
    def is_np_flattenable(self) -> bool:
        """A text has no array form."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "UnicodeText()"


# What `gymnasium.vector.AsyncVectorEnv` shares between processes: each environment's text, its length before it.
SHARED_BYTES = 2**18
_LENGTH_BYTES = 4


@create_shared_memory.register(UnicodeText)
def _create(space: UnicodeText, n: int = 1, ctx: Any = multiprocessing) -> Any:
    return ctx.Array("B", n * SHARED_BYTES)


@write_to_shared_memory.register(UnicodeText)
def _write(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    encoded = value.encode("utf-8")
    if len(encoded) > SHARED_BYTES - _LENGTH_BYTES:
        raise ValueError(
            f"a text of {len(encoded)} bytes is longer than what asynchronous environments share, {SHARED_BYTES}; "
            'make them with vector_kwargs={"shared_memory": False}'
        )
    start = index * SHARED_BYTES
    content = len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded
    memoryview(shared_memory.get_obj()).cast("B")[start : start + len(content)] = content


@read_from_shared_memory.register(UnicodeText)
def _read(space: UnicodeText, shared_memory: Any, n: int = 1) -> tuple[str, ...]:
    content = memoryview(shared_memory.get_obj()).cast("B")
    texts = []
    for start in range(0, n * SHARED_BYTES, SHARED_BYTES):
        length = int.from_bytes(content[start : start + _LENGTH_BYTES], "little")
        texts.append(bytes(content[start + _LENGTH_BYTES : start + _LENGTH_BYTES + length]).decode("utf-8"))
    return tuple(texts)

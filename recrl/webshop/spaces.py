"""A Gymnasium space of any text."""

from typing import Any

import numpy as np
from gymnasium import Space

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

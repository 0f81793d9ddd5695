"""Long sequences whose items are made when they are asked for."""

import abc
import functools
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """A sequence of which the last few thousand items that were asked for are remembered.

    Args:
        length: of the sequence; kept: how many items are remembered; what: an item's name in errors.
    """

    def __init__(self, length: int, *, kept: int, what: str) -> None:
        self._length, self._what = length, what
        self._made = functools.lru_cache(maxsize=kept)(self._make)

    @abc.abstractmethod
    def _make(self, place: int) -> Item:
        """The item at a place from 0."""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):  # an index or a slice, as in any sequence
        if isinstance(index, slice):
            return [self._made(place) for place in range(*index.indices(self._length))]
        place = int(index)
        if not -self._length <= place < self._length:
            raise IndexError(f"{self._what} {place} of {self._length}")
        return self._made(place % self._length)

    def __iter__(self) -> Iterator[Item]:
        """All items in order, without remembering them."""
        return (self._make(place) for place in range(self._length))

"""Converts arrays of the user into the arrays of a trace, with checks of type and range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmcore._errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Numbering", "TraceArrays", "flags", "integers", "numbered"]

#: Accesses sorted at a time: sorting needs several times the memory of the sorted array.
_STRETCH = 1 << 22


class TraceArrays(NamedTuple):
    """The accesses of a trace: three arrays of one dimension, one entry for each access.

    Attributes:
        ids: the page id.
        writes: 1 for a write, 0 for a read.
        threads: the thread.
    """

    ids: NDArray[np.uint32]
    writes: NDArray[np.uint8]
    threads: NDArray[np.uint16]

    def filled(self, footprint: int) -> TraceArrays:
        """The same accesses, with a write for the first access to each page that is never written.

        A page that a program only reads has got its content before: from a file, or before the
        trace began. Anonymous memory that is only read is the page of zeroes: it takes no frame,
        and no migration moves it. A trace of reads alone would then have no memory.

        Args:
            footprint: the number of distinct pages; ids are 0, 1, 2, ... by first access.
        """
        written = np.zeros(footprint, np.bool_)
        written[self.ids[self.writes != 0]] = True
        if written.all():
            return self
        # The first access to a page has a larger id than all accesses before it.
        highest = np.maximum.accumulate(self.ids)
        first = np.ones(len(self.ids), np.bool_)
        np.greater(highest[1:], highest[:-1], out=first[1:])
        writes = self.writes | (first & ~written[self.ids])
        return self._replace(writes=writes)


def integers(
    name: str, values: ArrayLike, dtype: type[np.unsignedinteger], limit: int
) -> NDArray[Any]:
    """Converts values to a new one-dimensional array of `dtype`.

    Args:
        name: the name of the values, for errors.
        values: an array, or a sequence of integers.
        dtype: the unsigned type of the result.
        limit: the largest value allowed.

    Raises:
        InputError: if the values are not integers from 0 to `limit` in one dimension.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{name}: not an array of integers: {error}") from None
    if array.ndim != 1:
        raise InputError(f"{name}: one dimension is needed, not {array.ndim}")
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype.kind not in "ui":
        raise InputError(f"{name}: integers are needed, not {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > limit:
        raise InputError(f"{name}: {low if low < 0 else high} is not between 0 and {limit}")
    return array.astype(dtype)


def flags(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """Converts values to a new one-dimensional array of booleans.

    Raises:
        InputError: if the values are not booleans, or integers 0 and 1, in one dimension.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{name}: not an array of booleans: {error}") from None
    if array.dtype != np.bool_:
        array = integers(name, values, np.uint8, 1)
    elif array.ndim != 1:
        raise InputError(f"{name}: one dimension is needed, not {array.ndim}")
    return array.astype(np.bool_)


class Numbering:
    """Numbers the distinct values of a long array 0, 1, 2, ... by their first occurrence.

    The array comes in stretches. Each call of `add` takes time in proportion to the values known so
    far, so that short stretches are slow.
    """

    def __init__(self) -> None:
        # The values known so far, sorted, and their numbers.
        self._known, self._ranks = np.empty(0, np.uint64), np.empty(0, np.uint32)
        self._in_order = [self._known]

    def __len__(self) -> int:
        """The number of distinct values so far."""
        return len(self._known)

    def add(self, stretch: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Returns the number of each value of the next stretch."""
        distinct, first, inverse = np.unique(stretch, return_index=True, return_inverse=True)
        place = np.searchsorted(self._known, distinct)
        there = place < len(self._known)
        there[there] = self._known[place[there]] == distinct[there]
        new = np.flatnonzero(~there)
        by_first_access = new[np.argsort(first[new])]
        number = np.empty(len(distinct), np.uint32)
        number[there] = self._ranks[place[there]]
        begin = len(self._known)
        number[by_first_access] = np.arange(begin, begin + len(new), dtype=np.uint32)
        self._in_order.append(distinct[by_first_access])
        self._known = np.insert(self._known, place[new], distinct[new])
        self._ranks = np.insert(self._ranks, place[new], number[new])
        return number[inverse]

    @property
    def values(self) -> NDArray[np.uint64]:
        """The value of each number."""
        return np.concatenate(self._in_order)


def numbered(pages: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Numbers the distinct pages 0, 1, 2, ... by their first access.

    Returns:
        The number of the page of each access (uint32), and the page of each number (uint64).
    """
    ids = np.empty(len(pages), np.uint32)
    numbering = Numbering()
    for begin in range(0, len(pages), _STRETCH):
        ids[begin : begin + _STRETCH] = numbering.add(pages[begin : begin + _STRETCH])
    return ids, numbering.values

"""The result of a reader of traces, and the accesses that the reader gathers until then."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import InputError
from mmcore._trace.archive import too_many
from mmcore._trace.arrays import Numbering

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PAGE_SHIFT", "Found", "Gathering", "Pieces"]

#: Bytes in a page, as a power of two.
PAGE_SHIFT = 12

#: The first byte behind the address space.
_END = 1 << 64

#: The most threads of a trace: their numbers have 16 bits.
_MOST_THREADS = 1 << 16

#: Accesses whose pages are numbered at a time.
_STRETCH = 1 << 20


@dataclass
class Found:
    """The arrays of a trace file.

    Attributes:
        source: the name of the file.
        pages: the page number of each access; if there are `ids`, the page number of each id.
        writes: whether each access wrote.
        threads: the thread of each access; None if the file has none.
        ids: the page id of each access; None for an archive.
    """

    source: str
    pages: NDArray[np.uint64]
    writes: NDArray[Any]
    threads: NDArray[Any] | None = None
    ids: NDArray[np.uint32] | None = None


class Pieces:
    """The arrays of a trace, piece by piece; 7 bytes are kept for each access.

    Args:
        source: the name of the file, for errors.
        most: the most accesses.
    """

    def __init__(self, source: str, most: int) -> None:
        self.source = source
        self.most = most
        self._accesses = 0
        self._pages = Numbering()
        self._pieces: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def make_room(self, accesses: int) -> None:
        """Counts further accesses before they take memory.

        Raises:
            InputError: if there are more than `most` in all.
        """
        self._accesses += accesses
        if self._accesses > self.most:
            raise InputError(f"{self.source}: {too_many(self.most)}")

    def add(
        self, pages: NDArray[np.uint64], writes: NDArray[np.bool_], threads: NDArray[np.uint16]
    ) -> None:
        """Takes the next accesses, which `make_room` has counted."""
        if len(pages):
            self._pieces.append((self._pages.add(pages), writes, threads))

    def found(self) -> Found:
        """Returns all accesses.

        Raises:
            InputError: if there are none.
        """
        if not self._pieces:
            raise InputError(f"{self.source}: the trace has no data access")
        ids, writes, threads = map(np.concatenate, zip(*self._pieces, strict=True))
        return Found(self.source, self._pages.values, writes, threads, ids)


class Gathering:
    """Gathers accesses one by one, as the lines of a text give them.

    Args:
        source: the name of the file, for errors.
        most: the most accesses.
    """

    def __init__(self, source: str, most: int) -> None:
        self._pieces = Pieces(source, most)
        self._threads_by_name: dict[bytes | None, int] = {}
        self._pages, self._writes, self._threads = array("Q"), bytearray(), array("H")

    def add(self, address: int, size: int, write: bool, thread: bytes | None) -> None:
        """Takes an access; if it touches several pages, as one access to each of them.

        Raises:
            InputError: if it reaches beyond the address space, or is one access or thread too many.
        """
        end = address + max(size, 1)
        if end > _END:
            raise InputError(f"{address:#x} and {size} bytes lie beyond the address space")
        number = self._threads_by_name.setdefault(thread, len(self._threads_by_name))
        if number == _MOST_THREADS:
            raise InputError(f"more than {_MOST_THREADS:,} threads")
        first, last = address >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT
        count = last - first + 1
        self._pieces.make_room(count)
        if count == 1:
            self._pages.append(first)
            self._writes.append(write)
            self._threads.append(number)
        else:
            self._pages.extend(range(first, last + 1))
            self._writes.extend(bytes([write]) * count)
            self._threads.extend([number] * count)
        if len(self._pages) >= _STRETCH:
            self._flush()

    def found(self) -> Found:
        """Returns all accesses.

        Raises:
            InputError: if there are none.
        """
        self._flush()
        return self._pieces.found()

    def _flush(self) -> None:
        self._pieces.add(
            np.array(self._pages, np.uint64),
            np.frombuffer(bytes(self._writes), np.bool_),
            np.array(self._threads, np.uint16),
        )
        self._pages, self._writes, self._threads = array("Q"), bytearray(), array("H")

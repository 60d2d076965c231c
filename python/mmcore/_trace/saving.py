"""The progress of the writing of an archive."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["WriteProgress"]

#: Bytes that are compressed between two calls of `progress`: a tenth of a second.
_PIECE = 1 << 20


class WriteProgress:
    """Counts the bytes that go into an archive, and reports them to the caller.

    Args:
        total: the number of bytes in all; the heads of the members add a little.
        progress: called with the bytes so far and their number in all; None to report nothing.
    """

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0

    def through(self, member: IO[bytes]) -> IO[bytes]:
        """A file that writes to a member of the archive, piece by piece."""
        return cast("IO[bytes]", _Counted(member, self))

    def add(self, number: int) -> None:
        """Counts further bytes."""
        self._done += number
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


class _Counted:
    """The part of a file that `numpy.lib.format.write_array` uses."""

    def __init__(self, member: IO[bytes], progress: WriteProgress) -> None:
        self._member = member
        self._progress = progress

    def write(self, data: Buffer) -> int:
        """Writes all of the data."""
        whole: memoryview[Any] = memoryview(data).cast("B")
        for begin in range(0, len(whole), _PIECE):
            piece = whole[begin : begin + _PIECE]
            self._member.write(piece)
            self._progress.add(len(piece))
        return len(whole)

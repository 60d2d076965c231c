"""The summary of a trace: its pages, the distances of their accesses, writes and threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmcore._units import PAGE_SIZE, format_size
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mmcore._trace.arrays import TraceArrays
    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["Reuse", "TraceSummary", "TraceThread", "summary_of"]

#: The number of accesses in one pass over a part of a trace.
_STRETCH = 1 << 20

#: Threads that the text lists; the JSON document has all.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Reuse:
    """One class of reuse distances, with the number of accesses in it.

    The distance of an access is the number of accesses since the previous one to the same page.

    Attributes:
        least: the least distance: 1 if the accesses follow one another.
        most: the largest distance: twice `least`, less one.
        accesses: the number of accesses at these distances.
    """

    least: int
    most: int
    accesses: int


@dataclass(frozen=True, slots=True)
class TraceThread:
    """The accesses of one thread.

    Attributes:
        thread: the number of the thread.
        accesses: the number of its accesses.
        writes: the number of its accesses that write.
        pages: the number of distinct pages that it accesses.
    """

    thread: int
    accesses: int
    writes: int
    pages: int


@dataclass(frozen=True, slots=True)
class TraceSummary(Result):
    """The result of `Trace.summary`: `print` it, or take its parts.

    Attributes:
        source: the origin of the trace.
        digest: the hash by which reports identify the trace.
        accesses: the number of accesses.
        pages: the number of distinct pages.
        writes: the number of accesses that write.
        written: the number of distinct pages that are written.
        reuse: the distances between accesses to the same page, in classes of powers of two. The
            first access to each page is in no class.
        threads: the threads, by number.
        command: the command line or call that makes the summary again.
    """

    kind: ClassVar[str] = "trace"

    source: str
    digest: str
    accesses: int
    pages: int
    writes: int
    written: int
    reuse: tuple[Reuse, ...]
    threads: tuple[TraceThread, ...]
    command: str = "mmcore.Trace.load(...).summary()"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each class of distances: least, most, accesses and their share."""
        return [
            {
                "least": each.least,
                "most": each.most,
                "accesses": each.accesses,
                "share": each.accesses / self.accesses,
            }
            for each in self.reuse
        ]

    @property
    def verdict(self) -> str:
        """Accesses, pages, writes and threads on one line."""
        threads = len(self.threads)
        return (
            f"{self.accesses:,} accesses to {self.pages:,} pages"
            f" ({format_size(self.pages * PAGE_SIZE)}), {self.writes / self.accesses:.0%} writes,"
            f" {threads} thread{'' if threads == 1 else 's'}"
        )

    @property
    def status(self) -> Status:
        """Always `clean`: a trace has no findings."""
        return "clean"

    def content(self) -> dict[str, Any]:
        """All attributes as plain data for JSON."""
        threads = [
            {
                "thread": each.thread,
                "accesses": each.accesses,
                "writes": each.writes,
                "pages": each.pages,
            }
            for each in self.threads
        ]
        return {
            "trace": {
                "source": self.source,
                "accesses": self.accesses,
                "pages": self.pages,
                "digest": self.digest,
            },
            "reads": self.accesses - self.writes,
            "writes": self.writes,
            "written": self.written,
            "reuse": self.table,
            "threads": threads,
        }

    def parts(self) -> Iterator[Part]:
        """Source, the distances between accesses to the same page, and the threads."""
        yield self.source
        yield ""
        yield f"reads {self.accesses - self.writes:,}, writes {self.writes:,}"
        yield f"pages {self.pages:,}, of them written {self.written:,}"
        yield ""
        rows = [("first access", f"{self.pages:,}", _percent(self.pages, self.accesses))]
        rows += [
            (_range(each), f"{each.accesses:,}", _percent(each.accesses, self.accesses))
            for each in self.reuse
        ]
        yield Grid(columns("accesses since the page's last", ">accesses", ">share"), tuple(rows))
        if len(self.threads) > 1:
            shown = [
                (str(each.thread), f"{each.accesses:,}", f"{each.writes:,}", f"{each.pages:,}")
                for each in self.threads[:_SHOWN]
            ]
            yield ""
            yield Grid(columns(">thread", ">accesses", ">writes", ">pages"), tuple(shown))
            if len(self.threads) > _SHOWN:
                yield f"and {len(self.threads) - _SHOWN:,} more threads"
        yield ""
        yield self.verdict


def summary_of(facts: dict[str, Any], arrays: TraceArrays) -> TraceSummary:
    """Looks through the arrays of a trace.

    Args:
        facts: source, digest and sizes, as `Trace.facts` gives them.
        arrays: the accesses.
    """
    wrote = arrays.writes.astype(np.bool_)
    written = np.zeros(facts["pages"], np.bool_)
    written[arrays.ids[wrote]] = True
    return TraceSummary(
        **facts,
        writes=int(wrote.sum()),
        written=int(written.sum()),
        reuse=_reuse(arrays.ids, facts["pages"]),
        threads=tuple(_threads(arrays, wrote)),
    )


def _reuse(ids_of_all: NDArray[np.uint32], footprint: int) -> tuple[Reuse, ...]:
    counts = np.zeros(64, np.int64)
    # The place of the last access to each page so far; -1 before the first.
    last = np.full(footprint, -1, np.int64)
    for begin in range(0, len(ids_of_all), _STRETCH):
        ids = ids_of_all[begin : begin + _STRETCH]
        # The accesses are sorted by page, and those to one page by their place.
        order = np.argsort(ids, kind="stable")
        sorted_ids, places = ids[order], order + begin
        is_first = np.ones(len(ids), np.bool_)
        is_first[1:] = sorted_ids[1:] != sorted_ids[:-1]
        before = np.where(is_first, last[sorted_ids], np.roll(places, 1))
        distances = (places - before)[before >= 0]
        # frexp gives the exponent of the least power of two above a number. The class of the number
        # is one less. Distances are exact as floats.
        counts += np.bincount(np.frexp(distances.astype(np.float64))[1] - 1, minlength=64)
        is_last = np.roll(is_first, -1)
        is_last[-1] = True
        last[sorted_ids[is_last]] = places[is_last]
    powers = np.flatnonzero(counts)
    return tuple(
        Reuse(1 << power, (2 << power) - 1, int(counts[power]))
        for power in range(int(powers[-1]) + 1 if len(powers) else 0)
    )


def _threads(arrays: TraceArrays, wrote: NDArray[np.bool_]) -> Iterator[TraceThread]:
    numbers = np.bincount(arrays.threads)
    writes = np.bincount(arrays.threads[wrote], minlength=len(numbers))
    # Distinct pairs of thread and page; each stretch is added to those found so far.
    pairs = np.empty(0, np.uint64)
    for begin in range(0, len(wrote), _STRETCH):
        part = slice(begin, begin + _STRETCH)
        found = arrays.threads[part].astype(np.uint64) << np.uint64(32) | arrays.ids[part]
        pairs = np.union1d(pairs, found)
    pages = np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=len(numbers))
    for thread in np.flatnonzero(numbers).tolist():
        counted = (int(each[thread]) for each in (numbers, writes, pages))
        yield TraceThread(thread, *counted)


def _range(reuse: Reuse) -> str:
    if reuse.least == reuse.most:
        return f"{reuse.least:,}"
    return f"{reuse.least:,} to {reuse.most:,}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"

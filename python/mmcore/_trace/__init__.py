"""Memory traces: the page, the kind (read or write) and the thread of each access."""

from __future__ import annotations

import hashlib
import zipfile
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mmcore import _output
from mmcore._arguments import number
from mmcore._errors import InputError
from mmcore._trace import made
from mmcore._trace.arrays import TraceArrays, flags, integers, numbered
from mmcore._trace.crowd import MOST_PROCESSES, interleaved
from mmcore._trace.reading import MOST_ACCESSES, NO_MEMORY, open_trace
from mmcore._trace.saving import WriteProgress
from mmcore._trace.summary import Reuse, TraceSummary, TraceThread, summary_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from mmcore._trace.gathering import Found

__all__ = ["Reuse", "Trace", "TraceSummary", "TraceThread"]

#: The last page number: addresses have 64 bits and pages 4096 bytes.
LAST_PAGE = 2**52 - 1

#: The limit of `max_accesses`: more accesses than any memory holds.
_MOST_INDEX = 1 << 48

#: The program whose trace is `Trace.sample()`; `benches/record_sample.py` records it again.
SAMPLE_PROGRAM = "sqlite3"


class Trace:
    """A sequence of page accesses, immutable.

    Args:
        pages: the page number of each access (address // 4096): integers from 0 to 2**52 - 1, in
            one dimension.
        writes: whether each access wrote: booleans, or 0 and 1; as many as pages.
        threads: the thread of each access: integers from 0 to 65,535, as many as pages; all 0 when
            left out.
        source: the origin of the trace, for reports.

    Raises:
        InputError: if there is no access, an array has no or several dimensions, the arrays differ
            in length, or a value is out of range.

    Attributes:
        ids: the page id of each access (uint32); ids are 0, 1, 2, ... by first access.
        writes: whether each access wrote (bool).
        threads: the thread of each access (uint16).
        page_numbers: the page number of each id (uint64), one for each distinct page.
        source: the origin of the trace: a path, or words.
        sample_of: the number of processes, if this is the trace that mmcore ships; else 0.
    """

    ids: NDArray[np.uint32]
    writes: NDArray[np.bool_]
    threads: NDArray[np.uint16]
    page_numbers: NDArray[np.uint64]
    source: str
    sample_of: int = 0
    _digest: str | None = None

    def __init__(
        self,
        pages: ArrayLike,
        writes: ArrayLike,
        threads: ArrayLike | None = None,
        *,
        source: str = "arrays",
    ) -> None:
        ids, numbers = numbered(integers("pages", pages, np.uint64, LAST_PAGE))
        self._fill(ids, writes, threads, numbers, source)

    def _fill(
        self,
        ids: NDArray[np.uint32],
        writes: ArrayLike,
        threads: ArrayLike | None,
        page_numbers: NDArray[np.uint64],
        source: str,
    ) -> None:
        if len(ids) == 0:
            raise InputError(f"{source}: the trace is empty")
        self.ids = ids
        self.writes = flags("writes", writes)
        if threads is None:
            self.threads = np.zeros(len(ids), np.uint16)
        else:
            self.threads = integers("threads", threads, np.uint16, 0xFFFF)
        self.page_numbers = page_numbers
        self.source = source
        for name, length in (("writes", len(self.writes)), ("threads", len(self.threads))):
            if length != len(ids):
                raise InputError(
                    f"{source}: {len(ids)} pages but {length} {name}: give one of each per access"
                )
        for array in (self.ids, self.writes, self.threads, self.page_numbers):
            array.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes the arrays of a pickle, and aligns them: Dask hands over parts of its messages."""
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value = np.require(value, requirements=["C", "ALIGNED"])
                value.flags.writeable = False
            setattr(self, name, value)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        max_accesses: int = MOST_ACCESSES,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Self:
        """Reads a trace from a file, or from the standard input for `-`.

        The format is recognised by the content, not by the name: an `.npz` archive with the arrays
        `pages`, `writes` and optionally `threads`, or what valgrind's lackey, drmemtrace's view,
        `perf script`, pinatrace, damo (JSON) or libCacheSim (oracleGeneral, CSV) print, plain or
        compressed with gzip or zstd. docs/traces.md says what each of them becomes. Data accesses
        are taken; an access that touches several pages counts as one access to each of them.
        Instruction fetches are left out.

        Args:
            path: the file.
            max_accesses: refuse a trace of more accesses, and data of more than 256 bytes for each
                access allowed. Reading needs about 16 bytes of memory per access and 40 per page.
            progress: called from time to time with the bytes read, and their total or None; not
                called for an archive.

        Raises:
            InputError: if the content is no trace, or a trace of too many accesses; the message
                names the file, and the line of a text.
            MissingExtraError: if the data is compressed with zstd and `zstandard` is missing.
            OSError: if the file cannot be read.
        """
        most = number("max_accesses", max_accesses, 1, _MOST_INDEX)
        found = open_trace(path, most, progress)
        if found.ids is None:
            try:
                return cls(found.pages, found.writes, found.threads, source=found.source)
            except InputError as error:
                reason = str(error).removeprefix(f"{found.source}: ")
                raise InputError(f"{found.source}: {reason}") from None
            except MemoryError:
                raise InputError(f"{found.source}: {NO_MEMORY}") from None
        return cls._of(found)

    @classmethod
    def sequential(
        cls, pages: int, accesses: int, *, writes: float = 0.3, threads: int = 1, seed: int = 0
    ) -> Self:
        """Makes a trace that passes over all pages in order, again and again.

        The same arguments make the same trace, with every version of NumPy.

        Args:
            pages: the number of pages; 2**28 at most.
            accesses: the number of accesses; 2**28 at most.
            writes: the share of accesses that write.
            threads: the number of threads; each access is made by a drawn one.
            seed: the seed of all that is drawn.

        Raises:
            InputError: if a value is out of range.
        """
        common = {"writes": writes, "threads": threads, "seed": seed}
        return cls._of(made.sequential(pages, accesses, **common))

    @classmethod
    def uniform(
        cls, pages: int, accesses: int, *, writes: float = 0.3, threads: int = 1, seed: int = 0
    ) -> Self:
        """Makes a trace that accesses each page with the same probability.

        Args:
            pages: the number of pages to draw from; 2**28 at most.
            accesses: the number of accesses; 2**28 at most.
            writes: the share of accesses that write.
            threads: the number of threads; each access is made by a drawn one.
            seed: the seed of all that is drawn, as for `sequential`.

        Raises:
            InputError: if a value is out of range.
        """
        common = {"writes": writes, "threads": threads, "seed": seed}
        return cls._of(made.uniform(pages, accesses, **common))

    @classmethod
    def zipf(
        cls,
        pages: int,
        accesses: int,
        *,
        exponent: float = 1.0,
        writes: float = 0.3,
        threads: int = 1,
        seed: int = 0,
    ) -> Self:
        """Makes a trace with few hot pages and many cold ones, by Zipf's law.

        Args:
            pages: the number of pages to draw from; 2**28 at most.
            accesses: the number of accesses; 2**28 at most.
            exponent: the page of rank `k` is accessed with a probability in proportion to
                `1 / k**exponent`; 0 is uniform, 16 the most. Ranks are drawn, so that hot pages are
                no neighbours.
            writes: the share of accesses that write.
            threads: the number of threads; each access is made by a drawn one.
            seed: the seed of all that is drawn, as for `sequential`.

        Raises:
            InputError: if a value is out of range.
        """
        common = {"writes": writes, "threads": threads, "seed": seed}
        return cls._of(made.zipf(pages, accesses, exponent=exponent, **common))

    @classmethod
    def phases(
        cls,
        pages: int,
        accesses: int,
        *,
        phases: int = 4,
        share: float = 0.25,
        writes: float = 0.3,
        threads: int = 1,
        seed: int = 0,
    ) -> Self:
        """Makes a trace whose working set changes: one set of pages, then another, and so on.

        Args:
            pages: the number of pages to draw from; 2**28 at most.
            accesses: the number of accesses; 2**28 at most.
            phases: the number of phases, which have equally many accesses.
            share: the share of the pages that a phase uses. The pages of each phase are drawn, and
                all of them are accessed with the same probability.
            writes: the share of accesses that write.
            threads: the number of threads; each access is made by a drawn one.
            seed: the seed of all that is drawn, as for `sequential`.

        Raises:
            InputError: if a value is out of range.
        """
        common = {"writes": writes, "threads": threads, "seed": seed}
        return cls._of(made.phases(pages, accesses, phases=phases, share=share, **common))

    @classmethod
    def _of(cls, found: Found) -> Self:
        """Makes a trace of arrays whose pages are numbered."""
        assert found.ids is not None
        trace = cls.__new__(cls)
        trace._fill(found.ids, found.writes, found.threads, found.pages, found.source)
        return trace

    @classmethod
    def sample(cls, processes: int = 1) -> Self:
        """The small real trace that mmcore ships, recorded from sqlite3 under valgrind.

        Args:
            processes: the number of processes that run the program at the same time. Each has pages
                of its own, and begins at another place of the program. With more than one process,
                the program is shortened: of each 10,000 accesses in a row, the first one to each
                page is kept. It is a write if any of the 10,000 writes to the page.

        Raises:
            InputError: if the number of processes is out of range.
        """
        processes = number("processes", processes, 1, MOST_PROCESSES)
        with resources.as_file(resources.files("mmcore._trace") / "sample.npz") as path:
            trace = cls.load(path)
        trace.source = f"the shipped trace of {SAMPLE_PROGRAM}"
        if processes > 1:
            source = f"{processes} processes of {trace.source}"
            trace = cls(*interleaved(trace.arrays(), trace.footprint, processes), source=source)
        trace.sample_of = processes
        return trace

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Writes the trace as a compressed `.npz` archive, which `load` reads.

        Args:
            path: the file.
            progress: called from time to time with the bytes compressed, and their number in all.

        Raises:
            OSError: if the file cannot be written; an earlier file at `path` keeps its content.
        """
        ids = self.ids.astype(np.uint16) if self.footprint <= 1 << 16 else self.ids
        arrays: dict[str, Any] = {
            "pages": ids,
            "page_numbers": self.page_numbers,
            "writes": self.writes,
        }
        if self.threads.any():
            arrays["threads"] = self.threads
        # The archive is that of np.savez_compressed, but at level 7 instead of 6: a program's trace
        # takes a sixth less. Level 9 needs ten times as long for accesses without a pattern.
        written = WriteProgress(sum(array.nbytes for array in arrays.values()), progress)
        with (
            _output.replacing(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=7) as archive,
        ):
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(written.through(member), array, allow_pickle=False)

    @property
    def pages(self) -> NDArray[np.uint64]:
        """The page number of each access (uint64)."""
        return self.page_numbers[self.ids]

    @property
    def footprint(self) -> int:
        """The number of distinct pages."""
        return len(self.page_numbers)

    def arrays(self) -> TraceArrays:
        """The page ids, writes and threads of the accesses, as the core replays them."""
        return TraceArrays(self.ids, self.writes.view(np.uint8), self.threads)

    @property
    def digest(self) -> str:
        """A hash of the content, by which reports identify the trace: 16 hexadecimal digits."""
        # Computed once, as equality and hash use it often; the arrays are read-only.
        if self._digest is None:
            digest = hashlib.sha256()
            for array in (self.ids, self.writes, self.threads, self.page_numbers):
                digest.update(array.tobytes())
            self._digest = digest.hexdigest()[:16]
        return self._digest

    def summary(self) -> TraceSummary:
        """Looks through the trace: writes, distances between accesses to a page, threads."""
        return summary_of(self.facts(), self.arrays())

    def facts(self) -> dict[str, Any]:
        """The source, sizes and digest of the trace, as plain data for JSON."""
        return {
            "source": self.source,
            "accesses": len(self),
            "pages": self.footprint,
            "digest": self.digest,
        }

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The accesses as an Arrow stream, with the columns ``page``, ``write`` and ``thread``.

        Raises:
            MissingExtraError: if nanoarrow is not installed.
        """
        columns = {"page": self.pages, "write": self.writes, "thread": self.threads}
        # Imported here and not above: only tables that leave mmcore need it.
        from mmcore.reporting._arrow import stream_of

        return stream_of(columns, requested_schema)

    def _repr_html_(self) -> str:
        """The source and the sizes, as a notebook shows them."""
        from mmcore._notebook import of_trace

        return of_trace(self)

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        writes = int(self.writes.sum())
        return (
            f"<Trace of {len(self)} accesses ({writes} writes) to {self.footprint} pages,"
            f" from {self.source}>"
        )

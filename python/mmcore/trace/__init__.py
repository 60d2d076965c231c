"""Memory traces of real programs: which page each access touched, and whether it wrote."""

from __future__ import annotations

import hashlib
import zipfile
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mmcore import _output
from mmcore.arguments import number
from mmcore.errors import InputError
from mmcore.trace.arrays import flags, integers, numbered
from mmcore.trace.reading import MOST_ACCESSES, NO_MEMORY, open_trace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Trace"]

#: Addresses have 64 bits and pages 4096 bytes.
LAST_PAGE = 2**52 - 1

#: More accesses than any memory holds.
_MOST_INDEX = 1 << 48

#: The program behind `Trace.sample()`; `benches/record_sample.py` records it once more.
SAMPLE_PROGRAM = "sqlite3"


class Trace:
    """A sequence of page accesses, immutable.

    Args:
        pages: the page number of each access (address // 4096).
        writes: whether each access wrote.
        threads: the thread of each access; all 0 when left out.
        source: where the trace comes from, for reports.

    Attributes:
        ids: the page of each access, numbered densely by first access (uint32).
        writes: whether each access wrote (bool).
        threads: the thread of each access (uint16).
        page_numbers: the page number of each id (uint64).
        source: where it comes from: a path, or words.
        is_sample: whether it is the trace that mmcore ships.
    """

    ids: NDArray[np.uint32]
    writes: NDArray[np.bool_]
    threads: NDArray[np.uint16]
    page_numbers: NDArray[np.uint64]
    source: str
    is_sample: bool = False
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
                raise InputError(f"{source}: {len(ids)} pages but {length} {name}")
        for array in (self.ids, self.writes, self.threads, self.page_numbers):
            array.flags.writeable = False

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        max_accesses: int = MOST_ACCESSES,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Self:
        """Reads a trace from a file; `-` is the standard input.

        The content decides what it is, not the name: an `.npz` archive with arrays `pages`,
        `writes` and perhaps `threads`, or the text that `valgrind --tool=lackey --trace-mem=yes`
        prints, plain or compressed with gzip or zstd. Of that text the data accesses are kept, an
        access across a page boundary as two; instruction fetches are not.

        Args:
            path: the file.
            max_accesses: a trace with more is refused, whatever it is compressed to, and so is a
                text of more than 256 bytes for each of them. The memory that reading needs is
                about 16 bytes an access, and 40 more for each page of the trace.
            progress: called now and then with the bytes read and, if known, their total.

        Raises:
            InputError: if the content is not a trace, or a longer one; the message names the file,
                and of a text the line.
            OSError: if the file cannot be read.
        """
        most = number("max_accesses", max_accesses, 1, _MOST_INDEX)
        found = open_trace(path, most, progress)
        if found.ids is None:
            try:
                return cls(found.pages, found.writes, found.threads, source=found.source)
            except InputError as error:
                told = str(error).removeprefix(f"{found.source}: ")
                raise InputError(f"{found.source}: {told}") from None
            except MemoryError:
                raise InputError(f"{found.source}: {NO_MEMORY}") from None
        trace = cls.__new__(cls)
        trace._fill(found.ids, found.writes, found.threads, found.pages, found.source)
        return trace

    @classmethod
    def sample(cls) -> Self:
        """The small real trace that mmcore ships, recorded from sqlite3 under valgrind."""
        with resources.as_file(resources.files("mmcore.trace") / "sample.npz") as path:
            trace = cls.load(path)
        trace.source = f"the shipped trace of {SAMPLE_PROGRAM}"
        trace.is_sample = True
        return trace

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a compressed `.npz` archive that `load` reads; `path` is replaced as a whole.

        Raises:
            OSError: if it cannot be written; what was at `path` is there still.
        """
        ids = self.ids.astype(np.uint16) if self.footprint <= 1 << 16 else self.ids
        arrays: dict[str, Any] = {
            "pages": ids,
            "page_numbers": self.page_numbers,
            "writes": self.writes,
        }
        if self.threads.any():
            arrays["threads"] = self.threads
        # As np.savez_compressed, at a higher level: a trace repeats itself, and it is read more
        # often than written.
        with (
            _output.replacing(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        ):
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    @property
    def pages(self) -> NDArray[np.uint64]:
        """The page number of each access."""
        return self.page_numbers[self.ids]

    @property
    def footprint(self) -> int:
        """How many distinct pages are touched."""
        return len(self.page_numbers)

    def arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint16]]:
        """Page ids, writes as 0 or 1, and threads: what the compiled core replays."""
        return self.ids, self.writes.view(np.uint8), self.threads

    @property
    def digest(self) -> str:
        """A hash of the content, to say in a report which trace it was."""
        # Kept: equality and hash ask for it, and the arrays cannot be written to.
        if self._digest is None:
            digest = hashlib.sha256()
            for array in (self.ids, self.writes, self.threads, self.page_numbers):
                digest.update(array.tobytes())
            self._digest = digest.hexdigest()[:16]
        return self._digest

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

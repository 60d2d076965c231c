"""Reads trace files: recognises the format by the content, and returns the arrays."""

from __future__ import annotations

import io
import os
import sys
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmcore._errors import InputError
from mmcore._input import STANDARD_INPUT, path_text
from mmcore._trace.archive import pages_of, read_archive
from mmcore._trace.damon import read_damon
from mmcore._trace.gathering import Found
from mmcore._trace.lackey import is_lackey, read_lackey
from mmcore._trace.lines import format_of, quoted, read_lines
from mmcore._trace.objects import columns_of, looks_like_oracle, read_csv, read_oracle
from mmcore._trace.unpacking import CHUNK, DamagedError, unpacked
from mmcore._units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MOST_ACCESSES", "NO_MEMORY", "open_trace"]

#: The most accesses of a trace by default. An access takes 5 to 9 bytes while the trace is read,
#: and three times as many when all has been read.
MOST_ACCESSES = 1 << 28

#: The error text for a trace that does not fit into memory.
NO_MEMORY = "there is not enough memory for the trace"

#: The bytes of text that may be read for each access of the limit. They are many, because a text
#: also has a line for each instruction fetch, and a program fetches several instructions for each
#: access.
TEXT_PER_ACCESS = 256

#: Bytes from which the format is recognised.
_HEAD = 1 << 16

ZIP = b"PK\x03\x04"

#: The formats, for the error about a file that is of none.
_KNOWN = (
    "an .npz archive, or what is printed by valgrind's lackey, drmemtrace's view, perf script,"
    " pinatrace, damo (JSON) or libCacheSim (oracleGeneral, CSV)"
)


def open_trace(
    path: str | os.PathLike[str],
    most: int,
    progress: Callable[[int, int | None], None] | None,
) -> Found:
    """Reads the trace at `path`, or from the standard input for `-`.

    Args:
        path: the file.
        most: the limit of accesses.
        progress: called from time to time with the bytes of a text file read, and their total or
            None; not called for an archive.

    Raises:
        InputError: if the content is no trace, has more than `most` accesses, or does not fit into
            the memory of the host.
        MissingExtraError: if the text is compressed with zstd and `zstandard` is missing.
        OSError: if the file cannot be opened or read.
    """
    name = path_text(path)
    if name == "-":
        if sys.stdin is None:
            raise InputError("the standard input is closed: name a file instead of -")
        return _read(_peekable(sys.stdin.buffer), STANDARD_INPUT, None, most, progress)
    with Path(name).open("rb") as file:
        # The size of a pipe is unknown.
        size = os.fstat(file.fileno()).st_size if file.seekable() else None
        return _read(file, name, size, most, progress)


def _peekable(stream: IO[bytes]) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    # Tests replace the standard input by a stream without `peek`.
    return io.BufferedReader(io.BytesIO(stream.read()))


def _read(
    file: io.BufferedReader,
    source: str,
    total: int | None,
    most: int,
    progress: Callable[[int, int | None], None] | None,
) -> Found:
    try:
        magic = file.peek(4)[:4]
        if not magic:
            raise InputError(f"{source}: the trace is empty")
        if magic == ZIP:
            arrays = read_archive(file, source, most)
            pages = pages_of(arrays, source)
            return Found(source, pages, arrays["writes"], arrays.get("threads"))
        chunks = unpacked(magic, _chunks(file, total, progress))
        return _read_unpacked(_limited(chunks, source, most), source, most)
    except DamagedError as error:
        raise InputError(f"{source}: {error}") from None
    except MemoryError:
        raise InputError(f"{source}: {NO_MEMORY}") from None


def _read_unpacked(chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads a trace in a format without a magic number."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    whole = chain([head], chunks)
    begin = head[:_HEAD]
    if b"\0" in begin:
        if looks_like_oracle(begin):
            return read_oracle(whole, source, most)
        raise InputError(f"{source}: not a trace: expected {_KNOWN}")
    if begin.lstrip()[:1] in (b"{", b"["):
        return read_damon(whole, source, most)
    first, *others = begin.split(b"\n")
    columns = columns_of(first.rstrip(b"\r"))
    if columns is not None:
        return read_csv(columns, whole, source, most)
    for line in (first, *others):
        if is_lackey(line):
            return read_lackey(whole, source, most)
        form = format_of(line)
        if form is not None:
            return read_lines(form, whole, source, most)
    raise InputError(f"{source}: line 1: no line of a trace: {quoted(first)} (expected {_KNOWN})")


def _limited(chunks: Iterator[bytes], source: str, most: int) -> Iterator[bytes]:
    """Passes chunks on, and refuses data of too many bytes.

    Without the check, an endless text without accesses would never be refused.

    Raises:
        InputError: at the chunk that exceeds the limit.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most * TEXT_PER_ACCESS:
            limit = format_size(most * TEXT_PER_ACCESS)
            raise InputError(
                f"{source}: more than {limit} of text: record a shorter run,"
                " or raise the limit with max_accesses (--max-accesses)"
            )
        yield chunk


def _chunks(
    file: io.BufferedReader, total: int | None, progress: Callable[[int, int | None], None] | None
) -> Iterator[bytes]:
    done = 0
    while chunk := file.read(CHUNK):
        yield chunk
        done += len(chunk)
        if progress is not None:
            progress(done, total)

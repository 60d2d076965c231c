"""Reads trace files: recognises the format by the content, and returns the arrays."""

from __future__ import annotations

import io
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmcore import _mmcore
from mmcore._errors import InputError
from mmcore._extras import need
from mmcore._input import STANDARD_INPUT, path_text
from mmcore._trace.archive import pages_of, read_archive, too_many
from mmcore._units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

#: Bytes passed to the parser at a time: large enough that the cost of the calls vanishes.
CHUNK = 1 << 20

#: The most accesses of a trace by default. Reading takes 5 bytes for each access, and about 16 when
#: the arrays are made at the end.
MOST_ACCESSES = 1 << 28

#: The error text for a trace that does not fit into memory.
NO_MEMORY = "there is not enough memory for the trace"

#: Bytes of text allowed for each access allowed: a text also has the instruction fetches, which are
#: longer lines and several times as many.
TEXT_PER_ACCESS = 256

#: Bytes of zstd data decompressed at a time. The library returns their whole expansion at once, and
#: 4 bytes can expand to 128 KiB.
ZSTD_CHUNK = 1 << 10

ZIP, GZIP, ZSTD = b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass
class Found:
    """The arrays of a trace file.

    All arrays have one dimension; those of an archive have the types that the file gives them.

    Attributes:
        source: the name of the file.
        pages: the page number of each access; if there are `ids`, the page number of each id.
        writes: whether each access wrote; bool, or 0 and 1.
        threads: the thread of each access; None if the file has none.
        ids: the page id of each access, numbered by first access; None for an archive.
    """

    source: str
    pages: NDArray[np.uint64]
    writes: NDArray[Any]
    threads: NDArray[Any] | None = None
    ids: NDArray[np.uint32] | None = None


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
        OSError: if the file cannot be opened.
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
        return _read_text(file, magic, source, total, most, progress)
    except MemoryError:
        raise InputError(f"{source}: {NO_MEMORY}") from None


def _read_text(
    file: io.BufferedReader,
    magic: bytes,
    source: str,
    total: int | None,
    most: int,
    progress: Callable[[int, int | None], None] | None,
) -> Found:
    chunks = _chunks(file, total, progress)
    try:
        if magic[:2] == GZIP:
            chunks = _gunzip(chunks)
        elif magic == ZSTD:
            chunks = _unzstd(chunks)
        return _read_lackey(_limited(chunks, source, most), source, most)
    except _DamagedError as error:
        raise InputError(f"{source}: {error}") from None


def _limited(chunks: Iterator[bytes], source: str, most: int) -> Iterator[bytes]:
    """Passes chunks on, and refuses a text of too many accesses or too many bytes.

    Without the check, an endless text would fill the memory before it is refused. The lines of data
    accesses begin with a space, those of instruction fetches and remarks do not. One line may be an
    access to two pages: up to twice the limit passes here, and is refused at the end of reading.

    Raises:
        InputError: at the chunk that exceeds a limit.
    """
    accesses = size = 0
    for chunk in chunks:
        size += len(chunk)
        accesses += chunk.count(b"\n ")
        if accesses > most:
            raise InputError(f"{source}: {too_many(most)}")
        if size > most * TEXT_PER_ACCESS:
            limit = format_size(most * TEXT_PER_ACCESS)
            raise InputError(
                f"{source}: more than {limit} of text: record a shorter run,"
                " or raise the limit with max_accesses (--max-accesses)"
            )
        yield chunk


class _DamagedError(Exception):
    """Compressed data that cannot be decompressed."""


def _chunks(
    file: io.BufferedReader, total: int | None, progress: Callable[[int, int | None], None] | None
) -> Iterator[bytes]:
    done = 0
    while chunk := file.read(CHUNK):
        yield chunk
        done += len(chunk)
        if progress is not None:
            progress(done, total)


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    def decompress(stream: Any, data: bytes) -> Iterator[bytes]:
        while data:
            yield stream.decompress(data, CHUNK)
            data = stream.unconsumed_tail

    try:
        yield from _inflate(chunks, lambda: zlib.decompressobj(wbits=31), decompress)
    except zlib.error as error:
        raise _DamagedError(f"damaged gzip data: {error}") from None


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    zstandard = need("zstandard", "reading a .zst trace")

    def decompress(stream: Any, data: bytes) -> Iterator[bytes]:
        yield stream.decompress(data)

    pieces = (
        chunk[at : at + ZSTD_CHUNK] for chunk in chunks for at in range(0, len(chunk), ZSTD_CHUNK)
    )
    try:
        yield from _inflate(
            pieces, lambda: zstandard.ZstdDecompressor().decompressobj(), decompress
        )
    except zstandard.ZstdError as error:
        raise _DamagedError(f"damaged zstd data: {error}") from None


def _inflate(
    chunks: Iterator[bytes],
    new_stream: Callable[[], Any],
    decompress: Callable[[Any, bytes], Iterator[bytes]],
) -> Iterator[bytes]:
    """Decompresses one stream or several in sequence, which gzip and zstd allow in one file.

    The readers of the libraries end without an error where zstd data is cut off: the beginning of a
    trace would pass for the whole trace.
    """
    stream = new_stream()
    for chunk in chunks:
        data = chunk
        while data:
            if stream.eof:
                stream = new_stream()
            yield from decompress(stream, data)
            data = stream.unused_data
    if not stream.eof:
        raise _DamagedError("damaged: the compressed data ends too early")


def _read_lackey(chunks: Iterator[bytes], source: str, most: int) -> Found:
    parser = _mmcore.LackeyParser()
    try:
        for chunk in chunks:
            parser.feed(chunk)
        accesses, footprint = parser.finish()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"{source}: {error} (expected what valgrind --tool=lackey --trace-mem=yes prints;"
            " record with --log-file=FILE to keep the program's own output out of it)"
        ) from None
    if accesses == 0:
        raise InputError(f"{source}: the trace has no data access; record with --trace-mem=yes")
    if accesses > most:
        raise InputError(f"{source}: {too_many(most)}")
    ids = np.empty(accesses, np.uint32)
    writes = np.empty(accesses, np.uint8)
    pages = np.empty(footprint, np.uint64)
    parser.take(ids, writes, pages)
    return Found(source, pages, writes.view(np.bool_), ids=ids)

"""Reading traces: what kind of content is it, and which arrays are in it."""

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
from mmcore._extras import need
from mmcore._input import STANDARD_INPUT, path_text
from mmcore._units import format_size
from mmcore.errors import InputError
from mmcore.trace.archive import pages_of, read_archive, too_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

#: Bytes handed to the parser at a time: large enough that the calls cost nothing.
CHUNK = 1 << 20

#: Accesses that a trace may have, if nobody says more: 5 bytes each, three times that at the end of
#: reading.
MOST_ACCESSES = 1 << 28

#: Why a trace is refused that would fit into more memory than there is.
NO_MEMORY = "there is not enough memory for the trace"

#: Bytes of text for each access that a trace may have: fetches are longer than data accesses, and
#: several times as many.
TEXT_PER_ACCESS = 256

#: Bytes of zstd data handed over at a time. The library returns all that they expand to at once,
#: and 4 bytes can stand for 128 KiB.
ZSTD_CHUNK = 1 << 10

ZIP, GZIP, ZSTD = b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass
class Found:
    """The arrays of a trace file.

    `pages` are the pages of the accesses; or, where `ids` is there, the page of each id.
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
    """Reads the trace at `path` (`-`: the standard input), of at most `most` accesses."""
    name = path_text(path)
    if name == "-":
        if sys.stdin is None:
            raise InputError(f"{STANDARD_INPUT}: it is closed")
        return _read(_peekable(sys.stdin.buffer), STANDARD_INPUT, None, most, progress)
    with Path(name).open("rb") as file:
        # Of a pipe nobody knows the size.
        size = os.fstat(file.fileno()).st_size if file.seekable() else None
        return _read(file, name, size, most, progress)


def _peekable(stream: IO[bytes]) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    # A test's stand-in for the standard input.
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
    """Refuses a text that has more accesses than a trace may have, or no end.

    The lines of data accesses begin with a space, those of fetches and remarks do not. An access
    of two pages is one line: what this lets pass is twice the limit, and refused at the end.
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
    """Decompresses streams that follow each other, as both formats allow.

    The readers of the libraries end silently where zstd data is cut off; a trace that is not whole
    must not pass for a short one.
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
        raise InputError(f"{source}: no data access in it; record with --trace-mem=yes")
    if accesses > most:
        raise InputError(f"{source}: {too_many(most)}")
    ids = np.empty(accesses, np.uint32)
    writes = np.empty(accesses, np.uint8)
    pages = np.empty(footprint, np.uint64)
    parser.take(ids, writes, pages)
    return Found(source, pages, writes.view(np.bool_), ids=ids)

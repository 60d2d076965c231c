"""Reading traces: what kind of content is it, and which arrays are in it."""

from __future__ import annotations

import io
import os
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmcore import _mmcore
from mmcore._extras import need
from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

#: Bytes handed to the parser at a time: large enough that the calls cost nothing.
CHUNK = 1 << 20

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
    path: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None
) -> Found:
    """Reads the trace at `path` (`-`: the standard input)."""
    name = os.fspath(path)
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input: it is closed")
        return _read(_peekable(sys.stdin.buffer), "standard input", None, progress)
    with Path(name).open("rb") as file:
        return _read(file, name, os.fstat(file.fileno()).st_size, progress)


def _peekable(stream: IO[bytes]) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(io.BytesIO(stream.read()))


def _read(
    file: io.BufferedReader,
    source: str,
    total: int | None,
    progress: Callable[[int, int | None], None] | None,
) -> Found:
    magic = file.peek(4)[:4]
    if not magic:
        raise InputError(f"{source}: the trace is empty")
    if magic == ZIP:
        return _read_npz(file, source)
    chunks = _chunks(file, total, progress)
    try:
        if magic[:2] == GZIP:
            chunks = _gunzip(chunks)
        elif magic == ZSTD:
            chunks = _unzstd(chunks)
        return _read_lackey(chunks, source)
    except _DamagedError as error:
        raise InputError(f"{source}: {error}") from None


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
    try:
        yield from _inflate(chunks, lambda: zlib.decompressobj(wbits=31))
    except zlib.error as error:
        raise _DamagedError(f"damaged gzip data: {error}") from None


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    zstandard = need("zstandard", "reading a .zst trace")
    try:
        yield from _inflate(chunks, lambda: zstandard.ZstdDecompressor().decompressobj())
    except zstandard.ZstdError as error:
        raise _DamagedError(f"damaged zstd data: {error}") from None


def _inflate(chunks: Iterator[bytes], new_stream: Callable[[], Any]) -> Iterator[bytes]:
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
            yield stream.decompress(data)
            data = stream.unused_data
    if not stream.eof:
        raise _DamagedError("damaged: the compressed data ends too early")


def _read_lackey(chunks: Iterator[bytes], source: str) -> Found:
    parser = _mmcore.LackeyParser()
    try:
        for chunk in chunks:
            parser.feed(chunk)
        accesses, footprint = parser.finish()
    except ValueError as error:
        raise InputError(
            f"{source}: {error} (expected what valgrind --tool=lackey --trace-mem=yes prints;"
            " record with --log-file=FILE to keep the program's own output out of it)"
        ) from None
    if accesses == 0:
        raise InputError(f"{source}: no data access in it; record with --trace-mem=yes")
    ids = np.empty(accesses, np.uint32)
    writes = np.empty(accesses, np.uint8)
    pages = np.empty(footprint, np.uint64)
    parser.take(ids, writes, pages)
    return Found(source, pages, writes.view(np.bool_), ids=ids)


def _read_npz(file: io.BufferedReader, source: str) -> Found:
    try:
        # An archive needs to seek, which a pipe cannot.
        with np.load(file if file.seekable() else io.BytesIO(file.read())) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError) as error:
        raise InputError(f"{source}: damaged .npz archive: {error}") from None
    for name in ("pages", "writes"):
        if name not in arrays:
            raise InputError(f"{source}: no array {name!r} in the archive (pages, writes, threads)")
    pages, writes, threads = arrays["pages"], arrays["writes"], arrays.get("threads")
    if "page_numbers" in arrays:
        # Written by `Trace.save`: pages are positions in `page_numbers`.
        try:
            pages = arrays["page_numbers"][pages]
        except (IndexError, TypeError):
            raise InputError(f"{source}: 'pages' points outside of 'page_numbers'") from None
    return Found(source, pages, writes, threads)

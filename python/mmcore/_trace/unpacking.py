"""Decompresses gzip and zstd data piece by piece, in bounded memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from mmcore._extras import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CHUNK", "GZIP", "ZSTD", "DamagedError", "unpacked"]

#: Bytes of one piece: large enough that the cost of the calls vanishes.
CHUNK = 1 << 20

#: Bytes of zstd data decompressed at a time. The library returns their whole expansion at once, and
#: 4 bytes can expand to 128 KiB.
ZSTD_CHUNK = 1 << 10

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class DamagedError(Exception):
    """Compressed data that cannot be decompressed."""


def unpacked(magic: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompresses a file if its first bytes say that it is gzip or zstd data.

    Args:
        magic: the first four bytes of the file.
        chunks: the whole file.

    Raises:
        DamagedError: from the iterator, if the data is damaged or ends too early.
        MissingExtraError: from the iterator, if the data is zstd and `zstandard` is missing.
    """
    if magic[:2] == GZIP:
        return _gunzip(chunks)
    return _unzstd(chunks) if magic == ZSTD else chunks


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    def decompress(stream: Any, data: bytes) -> Iterator[bytes]:
        while data:
            yield stream.decompress(data, CHUNK)
            data = stream.unconsumed_tail

    try:
        yield from _inflate(chunks, lambda: zlib.decompressobj(wbits=31), decompress)
    except zlib.error as error:
        raise DamagedError(f"damaged gzip data: {error}") from None


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
        raise DamagedError(f"damaged zstd data: {error}") from None


def _inflate(
    chunks: Iterator[bytes],
    new_stream: Callable[[], Any],
    decompress: Callable[[Any, bytes], Iterator[bytes]],
) -> Iterator[bytes]:
    """Decompresses one stream or several in sequence, which gzip and zstd allow in one file.

    The readers of the libraries are not used here. They end without an error where zstd data is cut
    off: the beginning of a trace would pass for the whole trace.
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
        raise DamagedError("damaged: the compressed data ends too early")

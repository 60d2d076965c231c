"""Reads the output of valgrind's tool lackey; the core parses the lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mmcore import _mmcore
from mmcore._errors import InputError
from mmcore._trace.archive import too_many
from mmcore._trace.gathering import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_lackey", "read_lackey"]

#: Lines by which a text is recognised: remarks of valgrind, accesses, instruction fetches.
_MARK = re.compile(rb"==[0-9]+==.*| [LSM] .*|I  .*", re.DOTALL)


def is_lackey(line: bytes) -> bool:
    """True if the format can be recognised by this line."""
    return _MARK.fullmatch(line) is not None


def read_lackey(chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads the accesses of a text.

    Raises:
        InputError: if a line is no line of lackey, or there are no accesses or more than `most`.
    """
    parser = _mmcore.LackeyParser()
    try:
        for chunk in _limited(chunks, source, most):
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


def _limited(chunks: Iterator[bytes], source: str, most: int) -> Iterator[bytes]:
    """Passes chunks on, and refuses a text of too many accesses.

    Without the check, an endless text would fill the memory before it is refused. The lines of data
    accesses begin with a space, those of instruction fetches and remarks do not. One line may be an
    access to two pages: up to twice the limit passes here, and is refused at the end of reading.
    """
    accesses = 0
    for chunk in chunks:
        accesses += chunk.count(b"\n ")
        if accesses > most:
            raise InputError(f"{source}: {too_many(most)}")
        yield chunk

"""Reads records of DAMON, as damo prints them in JSON.

DAMON samples whether a region of memory was accessed, and counts the samples in which it was. It
tells neither single accesses nor writes. Each snapshot becomes reads: each page of a region is read
as often as the region was found accessed, in an order that is drawn with a fixed seed.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import InputError
from mmcore._input import parse_json
from mmcore._trace.gathering import PAGE_SHIFT, Found, Pieces
from mmcore._trace.random import Draws
from mmcore._units import format_size, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_damon"]

#: The most bytes of a document: it is parsed as a whole, which takes ten times its size in memory.
_LIMIT = 64 << 20


def read_damon(chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads the snapshots of a document; those of several targets at one time become one.

    Raises:
        InputError: if the document is not one of damo, is larger than 64 MiB, or has no accesses or
            more than `most`.
    """
    try:
        records = parse_json(_text(chunks))
        snapshots = [_field(record, "snapshots", list) for record in _list(records)]
        return _accesses(snapshots, Pieces(source, most))
    except InputError as error:
        message = str(error).removeprefix(f"{source}: ")
        raise InputError(f"{source}: {message} (expected what damo prints as JSON)") from None


def _text(chunks: Iterator[bytes]) -> str:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _LIMIT:
            raise InputError(f"larger than {format_size(_LIMIT)}, the limit for records of DAMON")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"line {line}: byte {content[error.start]:#04x} is not UTF-8") from None


def _accesses(snapshots: list[list[Any]], pieces: Pieces) -> Found:
    draws = Draws(0)
    # The targets of a machine are sampled at the same time.
    for moment in zip_longest(*snapshots):
        found = [
            region
            for snapshot in moment
            if snapshot is not None
            for region in map(_region, _field(snapshot, "regions", list))
        ]
        # The accesses are counted first: a region of terabytes would take all memory.
        for first, last, samples in found:
            pieces.make_room(samples * max(0, last - first))
        repeated = [
            np.tile(np.arange(first, last, dtype=np.uint64), samples)
            for first, last, samples in found
            if samples and last > first
        ]
        if repeated:
            pages = draws.shuffled(np.concatenate(repeated))
            pieces.add(pages, np.zeros(len(pages), np.bool_), np.zeros(len(pages), np.uint16))
    return pieces.found()


def _region(region: Any) -> tuple[int, int, int]:
    """Returns a region's first page, the page behind its last one, and its samples with an access.

    A page that is only partly in the region counts as one of its pages.
    """
    begin, end = _number(region, "start"), _number(region, "end")
    if not begin <= end <= 1 << 64:
        raise InputError(f"a region from {begin} to {end}")
    field = _field(region, "nr_accesses", object)
    samples = (
        _number(field, "samples") if isinstance(field, dict) else _number(region, "nr_accesses")
    )
    size = 1 << PAGE_SHIFT
    return begin // size, -(-end // size), samples


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _field(of: Any, name: str, kind: type) -> Any:
    if not isinstance(of, dict) or name not in of or not isinstance(of[name], kind):
        raise InputError(f"{name} is missing")
    return of[name]


def _number(of: Any, name: str) -> int:
    """Reads a number, which damo prints as `4096`, "4,096" or "4K"."""
    value = _field(of, name, object)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 64:
        return value
    if isinstance(value, str) and len(value) <= 40:
        plain = value.replace(",", "")
        return int(plain) if plain.isascii() and plain.isdigit() else parse_size(plain)
    raise InputError(f"{name} is no number: {str(value)[:40]!r}")

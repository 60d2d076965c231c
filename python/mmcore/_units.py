"""Parses and formats sizes, latencies and lists of nodes, such as "64MiB,256MiB:250ns"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmcore._errors import InputError
from mmcore._mmcore import PAGE_SIZE

__all__ = ["PAGE_SIZE", "NodeSize", "format_size", "parse_nodes", "parse_size"]

#: A decimal number of at most 20 digits before the point and 20 after it. `int` refuses thousands
#: of digits with an error of its own.
_NUMBER = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)"

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIMES = {"ns": 1.0, "us": 1e3, "µs": 1e3}


@dataclass(frozen=True)
class NodeSize:
    """One memory node.

    Attributes:
        bytes: the size of its memory, a multiple of the page size.
        latency_ns: the modelled time of one access, in nanoseconds.
    """

    bytes: int
    latency_ns: float


def parse_size(text: str | int) -> int:
    """Parses a size such as "64MiB", "64M" or 4096 into bytes; units are powers of 1024.

    Raises:
        InputError: if the text is no size, or the size is not from 1 to 2**64 - 1 whole bytes.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        size = text
    else:
        found = re.fullmatch(rf"\s*{_NUMBER}\s*(?:b|([kmgt])(?:i?b)?)?\s*", str(text).lower())
        if found is None:
            raise InputError(f"{str(text)[:40]!r} is not a size such as 64MiB")
        # Imported here and not above: it loads `decimal`, and most programs parse no size.
        from fractions import Fraction

        exact = Fraction(found[1]) * _SIZES[found[2] or ""]
        if exact.denominator != 1:
            raise InputError(f"{text!r} is not a whole number of bytes")
        size = int(exact)
    if size <= 0:
        raise InputError(f"a size must be positive, not {str(text)[:40]}")
    if size >= 1 << 64:
        raise InputError(f"a size must be less than 2**64 bytes, not {str(text)[:40]}")
    return size


def parse_nodes(text: str, *, latencies: tuple[float, float]) -> tuple[NodeSize, ...]:
    """Parses a list of nodes such as "1GiB,4GiB:250ns".

    Args:
        text: sizes, each with an optional access latency.
        latencies: the default latencies in nanoseconds: of the first node, and of the others.

    Raises:
        InputError: if a size or a latency is malformed, or a size is no multiple of a page.
    """
    nodes = []
    for index, part in enumerate(text.split(",")):
        size, colon, latency = part.partition(":")
        nanoseconds = _parse_latency(latency) if colon else latencies[min(index, 1)]
        in_bytes = parse_size(size)
        if in_bytes % PAGE_SIZE:
            raise InputError(f"node size {size.strip()!r} is not a multiple of {PAGE_SIZE} bytes")
        nodes.append(NodeSize(in_bytes, nanoseconds))
    return tuple(nodes)


def _parse_latency(text: str) -> float:
    found = re.fullmatch(rf"\s*{_NUMBER}\s*(ns|us|µs)\s*", text)
    if found is None:
        raise InputError(f"{text[:40]!r} is not a latency such as 250ns")
    return float(found[1]) * _TIMES[found[2]]


def format_size(size: int) -> str:
    """Formats bytes in the largest unit that divides them: 67108864 becomes "64MiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZES[unit[0].lower()]
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)

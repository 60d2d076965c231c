"""Rows of the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmcore import _output

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

__all__ = ["arrow", "counter", "document", "instant", "named", "span"]

#: All tracks belong to one process.
_PROCESS = 1


def span(
    name: str, thread: int, begin: float, length: float, args: Mapping[str, Any]
) -> dict[str, Any]:
    """A bar on the track of a thread; times are in microseconds."""
    return _row("X", name, begin, thread, dur=length, args=dict(args))


def instant(name: str, thread: int, at: float, args: Mapping[str, Any]) -> dict[str, Any]:
    """A mark on the track of a thread."""
    return _row("i", name, at, thread, s="t", args=dict(args))


def counter(name: str, at: float, value: float) -> dict[str, Any]:
    """The value of a counter from a moment on; counters of one name are one track."""
    row = _row("C", name, at, 0, args={"value": value})
    # The track of a counter belongs to the process.
    del row["tid"]
    return row


def arrow(
    name: str, number: int, begin: tuple[int, float], end: tuple[int, float]
) -> list[dict[str, Any]]:
    """An arrow between the bars that two threads have at two moments.

    Args:
        name: the relation that the arrow shows.
        number: the number of the arrow; no two arrows of one name have the same.
        begin: the thread and the moment of the first bar.
        end: the thread and the moment of the second bar, which is later.
    """
    common = {"cat": name, "id": number}
    first = _row("s", name, begin[1], begin[0], **common)
    # "e": the arrow ends at the bar around the moment, and not at the next one.
    return [first, _row("f", name, end[1], end[0], bp="e", **common)]


def named(threads: Mapping[int, str], process: str) -> list[dict[str, Any]]:
    """The names of the tracks, and of all of them together."""
    rows = [_row("M", "process_name", 0, 0, args={"name": process})]
    rows += [
        _row("M", "thread_name", 0, number, args={"name": name}) for number, name in threads.items()
    ]
    return rows


def document(rows: Iterable[dict[str, Any]], path: str | os.PathLike[str] | None) -> str:
    """The rows as JSON, written to `path` if one is given.

    Raises:
        OSError: if the file cannot be written.
    """
    text = json.dumps({"displayTimeUnit": "ns", "traceEvents": list(rows)})
    if path is not None:
        _output.write(path, text)
    return text


def _row(phase: str, name: str, at: float, thread: int, **more: Any) -> dict[str, Any]:
    # Perfetto takes thread 0 for the idle task of a CPU.
    return {"name": name, "ph": phase, "ts": at, "pid": _PROCESS, "tid": thread + 1, **more}

"""Events inside a machine, and their export as a trace for a viewer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcore import _output

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

__all__ = ["Event", "chrome"]


class Event(NamedTuple):
    """The entry into a step of the protocol, the return from it, or a tracepoint.

    Attributes:
        name: the name in the kernel that the machine models: `isolate_lru_page`,
            `try_to_migrate`, `folio_put_final`, `mm_lru_insertion`, ...
        ns: nanoseconds since the traced block began.
        cpu: the CPU of the thread.
        thread: a small number for the thread.
        pfn: the frame number of the page; None on returns.
        refcount: the reference count of the page on entry.
        mapcount: the number of page-table entries that map the page, on entry.
        dst: the frame number of the target page of a migration; None for steps on one page.
        ret: the return value of the step; None on entry and for tracepoints.
        args: further arguments: `mode`, `reason`, `lru`, `order`, ...
    """

    name: str
    ns: int
    cpu: int
    thread: int
    pfn: int | None = None
    refcount: int | None = None
    mapcount: int | None = None
    dst: int | None = None
    ret: int | None = None
    args: Mapping[str, int | str] = {}


def chrome(events: Iterable[Event], path: str | os.PathLike[str] | None = None) -> str:
    """Converts events to the Trace Event Format, which Perfetto and chrome://tracing open.

    A step that returned is a span on the track of its thread; every other event is an instant.

    Args:
        events: the events, in the order of the trace.
        path: the file to write; None to write none.

    Returns:
        The trace as JSON.
    """
    rows: list[dict[str, Any]] = []
    entered: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for event in events:
        if event.ret is None:
            row = {"name": event.name, "ph": "i", "s": "t", "ts": event.ns / 1000, "pid": 1}
            row |= {"tid": event.thread, "args": _arguments(event)}
            rows.append(row)
            entered.setdefault((event.thread, event.name), []).append(row)
            continue
        waiting = entered.get((event.thread, event.name))
        if waiting:
            begin = waiting.pop()
            del begin["s"]
            begin |= {"ph": "X", "dur": event.ns / 1000 - begin["ts"]}
            begin["args"]["ret"] = event.ret
    text = json.dumps({"displayTimeUnit": "ns", "traceEvents": rows})
    if path is not None:
        _output.write(path, text)
    return text


def _arguments(event: Event) -> dict[str, Any]:
    page = {"pfn": event.pfn, "refcount": event.refcount, "mapcount": event.mapcount}
    known = {"cpu": event.cpu, **page, "dst": event.dst, **event.args}
    return {name: value for name, value in known.items() if value is not None}

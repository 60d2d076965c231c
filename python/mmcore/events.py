"""What happens inside of a machine: one event after the other, and as a trace for a viewer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcore import _output

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

__all__ = ["Event", "chrome"]


class Event(NamedTuple):
    """A step of the protocol, the return from one, or a tracepoint.

    Attributes:
        name: what the machine's kernel calls it: `isolate_lru_page`, `try_to_migrate`,
            `folio_put_final`, `mm_lru_insertion`, ...
        ns: nanoseconds since the block began.
        cpu: the CPU that the thread was on.
        thread: the thread, by a small number.
        pfn: the page that it is about; None on returns.
        refcount: its references on entry.
        mapcount: its mappings on entry.
        dst: the page that it leads to, of steps that have two.
        ret: what the step returned; None on entry and of tracepoints.
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
    """The events in the Trace Event Format, which Perfetto and chrome://tracing open.

    A step that returned is a span on its thread's track, everything else a moment.
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

"""Events inside a machine, and their export as a trace for a viewer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcore._chrome import counter, document, instant, named

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Event", "chrome"]

#: The most pages whose references are counters: nobody would find a page among more tracks.
_PAGES = 16


class Event(NamedTuple):
    """The entry into a step of the protocol, the return from it, or a tracepoint.

    Attributes:
        name: the name in the kernel that the machine models: `isolate_lru_page`,
            `try_to_migrate`, `folio_put_final`, `mm_lru_insertion`, ...
        ns: nanoseconds since the traced block began.
        cpu: the CPU of the thread.
        thread: a small number for the thread.
        pfn: the frame number of the page; None on returns, and for steps on no single page.
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
    Counters have tracks of their own: pages allocated, migrated and not migrated since the trace
    began, insertions into LRU lists, and the references of each page if the events name few pages.

    Args:
        events: the events, in the order of the trace.
        path: the file to write; None to write none.

    Returns:
        The trace as JSON.
    """
    rows: list[dict[str, Any]] = []
    entered: dict[tuple[int, str], list[dict[str, Any]]] = {}
    events = tuple(events)
    for event in events:
        if event.ret is None:
            row = instant(event.name, event.thread, event.ns / 1000, _arguments(event))
            rows.append(row)
            entered.setdefault((event.thread, event.name), []).append(row)
            continue
        waiting = entered.get((event.thread, event.name))
        if waiting:
            begin = waiting.pop()
            del begin["s"]
            begin |= {"ph": "X", "dur": event.ns / 1000 - begin["ts"]}
            begin["args"]["ret"] = event.ret
    threads = {event.thread: f"thread {event.thread}" for event in events}
    return document([*named(threads, "mmcore"), *rows, *_counters(events)], path)


def _counters(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """The rows of the counters."""
    sums: Counter[str] = Counter()
    pages = {event.pfn for event in events if event.pfn is not None}
    for event in events:
        changed = _changes(event)
        for name, change in changed.items():
            sums[name] += change
            yield counter(name, event.ns / 1000, sums[name])
        if event.pfn is not None and event.refcount is not None and len(pages) <= _PAGES:
            yield counter(f"references of page {event.pfn:#x}", event.ns / 1000, event.refcount)


def _changes(event: Event) -> dict[str, int]:
    """The counters that an event changes, and by how much."""
    match event.name:
        case "mm_page_alloc":
            return {"pages allocated": 1 << int(event.args["order"])}
        case "mm_page_free":
            return {"pages allocated": -1 << int(event.args["order"])}
        case "mm_lru_insertion":
            return {"insertions into LRU lists": 1}
        case "mm_migrate_pages":
            args = event.args
            return {
                "pages migrated": int(args["nr_succeeded"]),
                "pages not migrated": int(args["nr_failed"]),
            }
        case _:
            return {}


def _arguments(event: Event) -> dict[str, Any]:
    page = {"pfn": event.pfn, "refcount": event.refcount, "mapcount": event.mapcount}
    known = {"cpu": event.cpu, **page, "dst": event.dst, **event.args}
    return {name: value for name, value in known.items() if value is not None}

"""Tables of HTML that notebooks show of a machine, of its pages and of plain values.

Jupyter calls the method `_repr_html_` of a value. Results have their own (`mmcore.reporting`); this
module has those of the classes of the core and of the values that its calls return.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmcore._mmcore import Machine, Page

__all__ = ["of_events", "of_findings", "of_machine", "of_page", "of_trace", "of_value", "table"]

#: The most events that a notebook shows.
_SHOWN = 20


def of_machine(machine: Machine) -> str:
    """The nodes of a machine, and the counters that are not zero."""
    if machine.closed:
        return _html([str(machine)])
    nodes = (
        (str(node.number), f"{node.base:#x}", f"{node.frames:,}", f"{node.free:,}", f"{latency:,}")
        for node in machine.nodes
        for latency in [node.latency_ns]
    )
    counters = ((name, f"{value:,}") for name, value in machine.vmstat().items() if value)
    heads = ("node", ">first frame", ">frames", ">free", ">latency, ns")
    return _html([str(machine), _grid(heads, nodes), _grid(("vmstat", ">value"), counters)])


def of_page(page: Page) -> str:
    """The state of a page, and its holders."""
    state = page.state()
    facts = (
        ("frame", f"{state.pfn:#x}"),
        ("node", str(state.node)),
        ("order", str(state.order)),
        ("count", str(state.refcount)),
        ("mapcount", str(state.mapcount)),
        ("flags", " ".join(state.flags)),
    )
    holders = ((each.kind, str(each.references), each.text) for each in state.holders)
    parts = [_grid(("page", ">value"), facts)]
    if state.holders:
        parts.append(_grid(("holder", ">references", "what it is"), holders))
    return _html(parts)


def of_value(value: Any) -> str:
    """The attributes of a named tuple or a dataclass, one a row."""
    names = [each.name for each in fields(value)] if is_dataclass(value) else value._fields
    rows = ((name, _text(getattr(value, name))) for name in names)
    return _html([_grid((type(value).__name__, "value"), rows)])


def of_findings(audit: Iterable[Any]) -> str:
    """The findings of an audit, one a row; `clean` without one."""
    rows = [
        (each.rule, "" if each.pfn is None else f"{each.pfn:#x}", each.detail) for each in audit
    ]
    return _html([_grid(("rule", ">page", "detail"), rows) if rows else "audit: clean"])


def of_events(recorded: Any) -> str:
    """The first events of a `Tracing`, one a row."""
    rows = [
        (
            f"{each.ns:,}",
            str(each.thread),
            each.name,
            "" if each.pfn is None else f"{each.pfn:#x}",
            "" if each.ret is None else str(each.ret),
            " ".join(f"{name}={value}" for name, value in each.args.items()),
        )
        for each in recorded.events[:_SHOWN]
    ]
    left = len(recorded) - len(rows)
    titles = (">ns", ">thread", "event", ">page", ">ret", "arguments")
    return table(titles, rows, f"and {left:,} more events" if left else "")


def of_trace(trace: Any) -> str:
    """The source and the sizes of a trace of accesses."""
    facts = (
        ("accesses", f"{len(trace):,}"),
        ("writes", f"{int(trace.writes.sum()):,}"),
        ("pages", f"{trace.footprint:,}"),
        ("threads", f"{len(set(trace.threads.tolist())):,}"),
        ("source", trace.source),
    )
    return table(("trace", "value"), facts)


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]], below: str = "") -> str:
    """A table, with a line below it; a title that begins with `>` aligns its column right."""
    return _html([_grid(titles, rows), *([below] if below else [])])


def _text(value: Any) -> str:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        shown = ", ".join(map(str, value[:8]))
        return f"{shown}, ... ({len(value):,})" if len(value) > 8 else shown
    return f"{value:,}" if type(value) is int else str(value)


def _grid(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Any:
    # Imported here and not above: a script that shows nothing needs no pages of reports.
    from mmcore.reporting._parts import Grid, columns

    return Grid(columns(*titles), tuple(rows))


def _html(parts: list[Any]) -> str:
    from mmcore.reporting._page import fragment

    return fragment(parts, drawings=False)

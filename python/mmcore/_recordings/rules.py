"""Finds the rule of docs/semantics.md that a difference between recording and replay touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore._recordings.compare import Difference

__all__ = ["rule_of"]

_MIGRATION = frozenset({"move", "mbind", "migrate"})
#: The rule of each other recorded operation, whatever the field that differs.
_BY_OPERATION = {
    "fork": "fork",
    "exit": "fork",
    "cwrite": "copy-on-write",
    "cread": "copy-on-write",
    "pin": "pins",
    "unpin": "pins",
    "mlock": "mlock",
    "munlock": "mlock",
    "query": "move-pages-statuses",
    "fread": "files",
    "fwrite": "files",
    "msync": "files",
    "swapon": "swap",
    "swapoff": "swap",
    "zs_open": "zram",
    "zs_put": "zram",
    "zs_del": "zram",
    "zs_check": "zram",
    "zs_stat": "zram",
    "zs_compact": "zram",
    "zs_close": "zram",
    "drain": "batches",
    "frame": "memory-failure",
    "phys": "memory-failure",
    "unpoison": "memory-failure",
    "earlykill": "memory-failure",
    "unmap": "unmapping",
    "compact": "compaction",
    "layout": "compaction",
    "extfrag": "compaction",
    "fillnode": "compaction",
    "unfill": "compaction",
    "punch": "compaction",
    "isolated": "compaction",
    "set": "compaction",
    "trace": "compaction",
    "kpages": "allocator",
    "take": "allocator",
    "wmark": "memory-pressure",
    "balloon": "balloon",
    "nonlru": "movable",
    "memblk": "memory-blocks",
    "huge": "memory-blocks",
    "zram_fill": "zram",
    "zram_punch": "zram",
    "zram_check": "zram",
    "zram_free": "zram",
    "map": "mapping",
    "read": "faults",
    "write": "faults",
}
_BY_ADVICE = {
    "cold": "madvise-cold",
    "pageout": "madvise-pageout",
    "free": "madvise-free",
    "dontneed": "madvise-dontneed",
    "soft_offline": "memory-failure",
    "hwpoison": "memory-failure",
}


def rule_of(difference: Difference) -> str:
    """The anchor of the rule's heading in docs/semantics.md."""
    words = difference.op.split()
    operation = words[0] if words else ""
    if operation in _MIGRATION:
        if difference.name in {"calls", "ev"}:
            return "order-of-calls"
        if difference.name in {"ret", "errno", "status", "calls_ret"}:
            return f"{operation}-results" if operation != "move" else "move-pages-statuses"
        return "migration"
    if operation == "madv":
        return next((_BY_ADVICE[word] for word in words if word in _BY_ADVICE), "madvise")
    if operation in {"read", "write"} and difference.name in {"n0", "n1", "pages.ref"}:
        return "batches"
    return _BY_OPERATION.get(operation, "faults")

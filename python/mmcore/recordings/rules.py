"""Which rule of docs/semantics.md a difference touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore.recordings.compare import Difference

__all__ = ["rule_of"]

_MIGRATION = frozenset({"move", "mbind", "migrate"})
#: By the operation, whatever the field.
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
    "drain": "batches",
    "frame": "memory-failure",
    "phys": "memory-failure",
    "unpoison": "memory-failure",
    "earlykill": "memory-failure",
    "unmap": "unmapping",
    "map": "mapping",
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
    """The heading's anchor in docs/semantics.md."""
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

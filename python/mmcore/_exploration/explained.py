"""Explains the steps of a schedule to readers who do not know the words of the trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmcore._exploration.races import racing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore._exploration.step import TraceStep
    from mmcore.typing import StepKind

__all__ = ["explained", "partners"]

#: The access of a step of each kind.
_DOES: Mapping[StepKind, str] = {
    "load": "reads the word",
    "store": "writes the word without reading it",
    "swap": "writes a new value and reads the old one, in one atomic operation",
    "cas": "writes the word only if it still has the expected value (compare-exchange)",
    "add": "adds to the word, or subtracts from it, in one atomic operation",
    "bits": "sets or clears bits of the word in one atomic operation",
    "fence": "orders the accesses before it against those after it (a memory barrier)",
    "peek": "reads plain data that another thread may write at the same time, on purpose",
    "write": "writes plain data",
    "note": "notes that something began or ended",
    "lock": "takes the lock, or waits until it is free",
    "unlock": "gives the lock back",
    "try-lock": "takes the lock if it is free, and does not wait",
    "read-lock": "takes the lock for reading: other readers may have it too",
    "read-unlock": "gives a lock back that was taken for reading",
    "park": "goes to sleep until another thread wakes it",
    "wake": "wakes up",
    "unpark": "wakes the threads that sleep on the word",
    "wait": "waits until the word satisfies a condition, and reads it",
    "leave": "the store leaves its thread's buffer: from now on all threads see it",
}

#: The meaning of the object of a step, by a pattern of its name.
_IS = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"page \w+ word$", "the page's count of references, and its flags"),
        (r"page \w+ mapcount$", "the number of page-table entries that map the page"),
        (r"page \w+ order$", "the size of the page, as a power of two"),
        (r"page \w+ owner$", "the owner of the page: an area, a file or a driver"),
        (r"page \w+ index$", "the page's place in its area or file"),
        (r"page \w+ byte \d+$", "eight bytes of the page's content"),
        (r"entry of ", "the page-table entry by which a process reaches the page"),
        (r"tlb section of ", "set while the thread is in an access that a TLB flush waits for"),
        (r"tlb: ", "the threads that a TLB flush has to look at"),
        (r"pagevec lock", "guards a CPU's batch of pages that wait for their LRU list"),
        (r"lruvec lock", "guards the LRU lists of a node"),
        (r"rmap lock", "guards the list of all areas that may map the page"),
        (r"mmap lock", "guards the areas of an address space"),
        (r"zone lock", "guards the free lists of a node"),
        (r"pcp lock", "guards a CPU's array of free frames"),
    )
)


def partners(trace: tuple[TraceStep, ...]) -> dict[int, list[int]]:
    """For each racing step the numbers of the steps that it races with."""
    found: dict[int, list[int]] = {}
    for first, second in racing(trace):
        found.setdefault(first, []).append(second)
        found.setdefault(second, []).append(first)
    return found


def explained(step: TraceStep) -> str:
    """Explains a step in one or two sentences: access, word, function."""
    where = f"{step.function} ({step.place})" if step.function else step.place
    does = _DOES[step.kind]
    if not step.object:
        return f"{where} {does}."
    what = next((text for pattern, text in _IS if pattern.match(step.object)), "")
    said = f"{where} {does}: {step.object}{f' ({what})' if what else ''}."
    if step.kind == "cas" and step.before == step.after:
        return f"{said} The word keeps its value."
    return said

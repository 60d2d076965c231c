"""Many processes of one recorded program, for loads that need more pages than the program has.

A trace of one process has phases: in some it moves from page to page, in others it stays. Rounds of
a comparison that meet different phases differ by far more than designs do. With many processes,
each at another place of the program, every phase occurs at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from mmcore._trace.arrays import TraceArrays

__all__ = ["MOST_PROCESSES", "interleaved"]

#: The most processes.
MOST_PROCESSES = 1 << 12

#: The accesses of the program in one window. A process accesses each page of a window once.
WINDOW = 10_000

#: The accesses that a process makes before the next one's turn.
TURN = 16

#: The approximate number of accesses of all processes together.
ACCESSES = 250_000


def interleaved(
    program: TraceArrays, footprint: int, processes: int
) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint16]]:
    """Interleaves processes that run a program from different places on, round and round.

    Args:
        program: the accesses of the program.
        footprint: the number of its pages; each process has as many of its own.
        processes: the number of processes.

    Returns:
        For each access the page, whether it writes, and the process.
    """
    ids, writes = _sampled(program.ids, program.writes.view(np.bool_))
    turns = len(ids) // TURN
    ids = ids[: turns * TURN].reshape(turns, TURN).astype(np.uint64)
    writes = writes[: turns * TURN].reshape(turns, TURN)
    each = np.arange(processes)
    steps = np.arange(max(1, ACCESSES // processes // TURN))
    # The turn of the program that each process runs in each step.
    at = (steps[:, np.newaxis] + each * turns // processes) % turns
    pages = ids[at] + (each * footprint).astype(np.uint64)[:, np.newaxis]
    owners = np.broadcast_to(each.astype(np.uint16)[:, np.newaxis], pages.shape)
    return pages.ravel(), writes[at].ravel(), owners.ravel()


def _sampled(
    ids: NDArray[np.uint32], writes: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Keeps each window's first access to each page; a write if any access to it there writes."""
    pages, wrote = [], []
    for begin in range(0, len(ids), WINDOW):
        part = slice(begin, begin + WINDOW)
        found, first, which = np.unique(ids[part], return_index=True, return_inverse=True)
        writing = np.zeros(len(found), np.bool_)
        writing[which[writes[part]]] = True
        order = np.argsort(first)
        pages.append(found[order])
        wrote.append(writing[order])
    return np.concatenate(pages), np.concatenate(wrote)

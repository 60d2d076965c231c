"""Leaks of memory, threads and descriptors: a process must not grow with its cases."""

import gc
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fuzz.judge import Failure

MIB = 1 << 20

#: The most growth in each repetition of a case: bytes of address space, of memory, descriptors. A
#: machine that is not freed adds 4 MiB of address space, and as much memory as was written.
EACH = {"space": 2 * MIB, "resident": MIB // 2, "files": 1}

#: The most growth in a batch of different cases, after the first ones have filled the library's own
#: tables. The fonts of a plot stay open.
BATCH = {"space": 512 * MIB, "resident": 384 * MIB, "files": 32}

#: Seconds that threads have to end. Half of them must be seconds of processor time: beside many
#: other processes a thread may get none for longer.
PATIENCE = 20.0


@dataclass(frozen=True)
class Size:
    """The size of a process.

    Attributes:
        space: bytes of address space.
        resident: bytes of memory.
        files: open descriptors.
    """

    space: int
    resident: int
    files: int

    @classmethod
    def now(cls):
        space, resident = map(int, Path("/proc/self/statm").read_text("ascii").split()[:2])
        page = os.sysconf("SC_PAGE_SIZE")
        return cls(space * page, resident * page, _entries("fd"))


def _entries(folder):
    return sum(1 for _ in Path("/proc/self", folder).iterdir())


def tasks():
    return _entries("task")


def repeated(sizes):
    """Returns the leak that the sizes after each repetition of one case show, or None.

    Only growth in every repetition is a leak, because allocators keep some memory and return it
    later."""
    pairs = list(pairwise(sizes[1:]))
    for name, bound in EACH.items():
        grown = [getattr(after, name) - getattr(before, name) for before, after in pairs]
        if grown and min(grown) >= bound:
            return Failure("leak", "memory", f"each repetition adds at least {min(grown)} ({name})")
    return None


def batch(first, last):
    """Returns the leak that a batch of cases shows, or None."""
    for name, bound in BATCH.items():
        grown = getattr(last, name) - getattr(first, name)
        if grown > bound:
            return Failure("leak", "memory of a batch", f"{grown} more ({name})")
    return None


def settled(before):
    """Waits for threads to end; returns a failure if there are more than before, or None.

    The daemons of a machine that is garbage in a cycle run until the collector finds it."""
    end, used = time.monotonic() + PATIENCE, time.process_time() + PATIENCE / 2
    while (now := tasks()) > before:
        # The collection takes most of the processor time that this process is given.
        gc.collect()
        if time.monotonic() > end and time.process_time() > used:
            text = f"{now} threads, {before} before"
            return Failure("leak", "threads", f"{text}\n{told_threads()}")
        time.sleep(0.01)
    return None


def told_threads():
    """Describes the threads of this process: the stacks of those that run Python, and the names and
    waits of the others."""
    lines = []
    known = {each.native_id: each for each in threading.enumerate()}
    frames = sys._current_frames()
    for task in sorted(Path("/proc/self/task").iterdir()):
        thread = known.get(int(task.name))
        try:
            name, wait = ((task / each).read_text("ascii").strip() for each in ("comm", "wchan"))
        except OSError:  # It has ended meanwhile.
            continue
        lines.append(f"{task.name} {name}, waits in {wait}: {thread or 'no thread of Python'}")
        frame = thread and frames.get(thread.ident)
        if frame:
            lines += [each.rstrip() for each in traceback.format_stack(frame, limit=8)]
    return "\n".join(lines)

"""The load of the host: the processors that other programs use."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["observe"]

#: The columns of /proc/stat with the time in which a processor works, or is taken away by a
#: hypervisor: user, nice, system, irq, softirq, steal. The time of guests is part of user and nice.
_WORKING = (0, 1, 2, 5, 6, 7)


def observe(own: Callable[[], float] = time.process_time) -> Callable[[], float | None]:
    """Begins to observe the host.

    Args:
        own: the processor seconds that the comparison itself has used so far.

    Returns:
        A function that tells how many processors other programs have used since, on average; None
        if the host does not tell it.
    """
    start, busy, mine = time.monotonic(), _busy(), own()

    def others() -> float | None:
        now, elapsed = _busy(), time.monotonic() - start
        if busy is None or now is None or elapsed <= 0:
            return None
        return max(0.0, (now - busy - (own() - mine)) / elapsed)

    return others


def _busy() -> float | None:
    """The seconds that all processors have worked since the host started."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
        ticks = sum(int(first[1 + column]) for column in _WORKING)
    except (OSError, ValueError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")

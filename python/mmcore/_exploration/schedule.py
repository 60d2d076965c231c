"""Schedules: the interleavings of a program's threads as data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from mmcore import _mmcore
from mmcore._arguments import shown
from mmcore._errors import InputError
from mmcore._mmcore import MAX_EXPLORED_THREADS, MAX_STEPS

__all__ = ["Run", "Schedule"]


class Run(NamedTuple):
    """Successive steps of a schedule that one thread executes.

    Attributes:
        thread: the thread's number, from 0.
        length: the number of steps.
    """

    thread: int
    length: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: for each step the number of the thread that executes it.

    Threads have the numbers 0, 1, ... in the order of the program. Every list of numbers is a
    schedule of every program. If the thread named for a step is blocked or has ended, the thread of
    the previous step takes the step. If this thread cannot go on either, the thread with the lowest
    number among those that can go on takes it. The same rule chooses the steps after the end of the
    list. The text of a schedule is a list of runs: `0x12,1x3,0`.

    Attributes:
        threads: one thread number for each step.

    Raises:
        InputError: if the list has more than 2**24 steps, or an entry that is no thread number.
    """

    threads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        threads = tuple(self.threads)
        if len(threads) > MAX_STEPS:
            raise InputError(f"a schedule has {MAX_STEPS} steps at most, not {len(threads)}")
        for thread in threads:
            if not isinstance(thread, int) or not 0 <= thread < MAX_EXPLORED_THREADS:
                least = f"a schedule is a list of thread numbers below {MAX_EXPLORED_THREADS}"
                raise InputError(f"{least}, not {shown(thread)}")
        object.__setattr__(self, "threads", threads)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Reads runs such as `0x12,1x3,0`.

        Raises:
            InputError: if the text is no schedule; the message quotes the wrong run.
        """
        try:
            return cls(tuple(_mmcore.parse_schedule(text)))
        except UnicodeEncodeError:
            raise InputError(
                "a schedule has digits, x and commas, but not an unpaired surrogate"
            ) from None

    @property
    def runs(self) -> tuple[Run, ...]:
        """The schedule as runs, each as long as possible."""
        return tuple(Run(thread, len(list(steps))) for thread, steps in groupby(self.threads))

    @property
    def switches(self) -> int:
        """The number of switches from one thread to another within the list."""
        return max(len(self.runs) - 1, 0)

    def __str__(self) -> str:
        """The text, `0x12,1x3,0`."""
        return _mmcore.print_schedule(bytes(self.threads))

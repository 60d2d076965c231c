"""Interleavings as data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from mmcore.arguments import shown
from mmcore.errors import InputError

__all__ = ["Schedule"]

#: Threads that a program can have, and steps that a schedule can say.
_THREADS, _LONGEST = 8, 1 << 24


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who executes each step: a list of thread numbers, in the order of the program's threads.

    Every list is a schedule of every program: where the thread cannot go on, the current one does,
    and if it cannot either, the lowest that can; the same rule continues when the list has run out.
    Its text is a list of runs: `0x12,1x3,0`.

    Attributes:
        threads: a number for each step.
    """

    threads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        threads = tuple(self.threads)
        for thread in threads:
            if not isinstance(thread, int) or not 0 <= thread < _THREADS:
                raise InputError(
                    f"a schedule is a list of thread numbers below {_THREADS}, not {shown(thread)}"
                )
        object.__setattr__(self, "threads", threads)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Reads runs such as `0x12,1x3,0`.

        Raises:
            InputError: if the text is no schedule.
        """
        threads: list[int] = []
        for run in filter(None, map(str.strip, text.split(","))):
            thread, times, length = run.partition("x")
            try:
                number, steps = int(thread), int(length if times else "1")
            except ValueError:
                number = steps = -1
            if not 0 <= number < _THREADS or not 0 <= steps <= _LONGEST - len(threads):
                raise InputError(
                    f"{shown(run)} is no run of a schedule: write the thread's number, below "
                    f"{_THREADS}, or number x steps, as in 0x12,1,0x3"
                )
            threads += [number] * steps
        return cls(tuple(threads))

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Maximal stretches of one thread: thread and length."""
        return tuple((thread, len(list(steps))) for thread, steps in groupby(self.threads))

    @property
    def switches(self) -> int:
        """How often the thread changes within the list."""
        return max(len(self.runs) - 1, 0)

    def __str__(self) -> str:
        """The text."""
        return ",".join(f"{t}" if length == 1 else f"{t}x{length}" for t, length in self.runs)

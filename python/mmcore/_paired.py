"""Times two callables in turns, and finds the faster one and the least difference.

The callables run in the order A B B A, then B A A B, again and again, so that a slower or faster
moment of the host meets both alike. The interval is that of `mmcore.compare`: see
`mmcore._comparison.stats`.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmcore._arguments import time_limit
from mmcore._comparison import stats
from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PairedTimes", "paired"]

#: The parts that the time is divided into; two of them are a block of the interval.
PARTS = 2 * 16

#: The least seconds of a turn, as long as its calls stay below `MOST_CALLS`: a shorter turn would
#: time the clock.
TURN = 0.001

#: The most calls of one turn.
MOST_CALLS = 1 << 20


@dataclass(frozen=True)
class PairedTimes:
    """The time of one callable relative to that of another.

    Attributes:
        ratio: the time of the candidate, as a multiple of the baseline's.
        low: the lower end of the 95 % interval; 0 if there is none.
        high: its upper end; infinite if there is none.
        calls: the calls of a turn.
        turns: the turns that each callable had.
    """

    ratio: float
    low: float
    high: float
    calls: int
    turns: int

    def __str__(self) -> str:
        ends = f"{100 * (self.low - 1):+.1f} % to {100 * (self.high - 1):+.1f} %"
        return (
            f"the candidate takes {100 * (self.ratio - 1):+.1f} % time ({ends};"
            f" {self.turns} turns of {self.calls} calls)"
        )

    def is_at_most(self, slowdown: float) -> bool | None:
        """True if the candidate takes at most so much more time; None if the interval is too wide.

        Args:
            slowdown: the time allowed beyond the baseline's, as a fraction of it.
        """
        if self.high <= 1 + slowdown:
            return True
        return False if self.low > 1 + slowdown else None

    def assert_at_most(self, slowdown: float = 0.03) -> None:
        """Fails the test if the whole interval is beyond a slowdown, and skips it if a part is.

        Args:
            slowdown: the time allowed beyond the baseline's, as a fraction of it.

        Raises:
            AssertionError: if the candidate is certainly slower than allowed.
        """
        fine = self.is_at_most(slowdown)
        if fine is None:
            # Imported here and not above: mmcore itself does not need pytest.
            import pytest

            pytest.skip(f"inconclusive: {self}, {slowdown:.1%} allowed: give more seconds")
        if not fine:
            raise AssertionError(f"{self}, {slowdown:.1%} allowed")


def paired(
    candidate: Callable[[], object],
    baseline: Callable[[], object],
    *,
    seconds: float = 2.0,
    clock: Callable[[], float] = time.process_time,
) -> PairedTimes:
    """Times two callables in turns.

    Args:
        candidate: the callable that is judged.
        baseline: the callable that it is compared with.
        seconds: the time for which both are timed together.
        clock: measures the turns. By default the processor time of all threads of the process, to
            which other programs add nothing; `time.perf_counter` for callables that wait.

    Raises:
        InputError: if the clock does not see the callables' time.
    """
    limit = time_limit("seconds", seconds)
    both = (candidate, baseline)
    calls = max(_calls(each, clock) for each in both)
    samples: list[tuple[list[float], list[float]]] = []
    trials: list[int] = []
    for trial in range(PARTS):
        end = clock() + limit / PARTS
        for number in itertools.count():
            first: tuple[list[float], list[float]] = ([], [])
            # A pair of rounds: A B, then B A; the next pair begins with the other one.
            for order in ((0, 1), (1, 0)):
                for which in order if (number + trial) % 2 == 0 else order[::-1]:
                    first[which].append(_turn(both[which], calls, clock))
            samples.append(first)
            trials += [trial, trial]
            if clock() >= end:
                break
    values = np.array(samples)
    # `blocks` wants speeds: the inverse of the time of a turn.
    speeds = [1 / values[:, which, :].reshape(-1) for which in (0, 1)]
    means = stats.blocks(speeds[0], speeds[1], np.array(trials, dtype=np.int64)).means
    interval = stats.ratio_interval(means)
    low, high = 1 / interval.high, 1 / interval.low if interval.low > 0 else math.inf
    return PairedTimes(1 / interval.ratio, low, high, calls, 2 * len(samples))


def _calls(callable_: Callable[[], object], clock: Callable[[], float]) -> int:
    """The calls of a turn: a power of two that takes long enough for the clock."""
    calls = 1
    while (took := _turn(callable_, calls, clock)) < TURN and calls < MOST_CALLS:
        calls *= 2
    if took <= 0:
        raise InputError(f"{calls} calls took no time by this clock: take time.perf_counter")
    return calls


def _turn(callable_: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    begun = clock()
    for _ in itertools.repeat(None, calls):
        callable_()
    return clock() - begun

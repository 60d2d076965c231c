"""Runs searches one after another and keeps the finished ones if a signal ends the rest."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from mmcore._waiting import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["gather"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def gather(
    searches: Generator[_T, None, None],
    make: Callable[[tuple[_T, ...], float], _R],
    *,
    seconds: float | None = None,
    tell: Callable[[_T], bool],
) -> _R:
    """Runs searches and returns the result that `make` makes of them.

    Args:
        searches: yields each search when it has ended; it is closed, which ends those that still
            run.
        make: makes the result of the finished searches and the seconds that they took.
        seconds: the time after which no further search begins; None for no limit.
        tell: called after each search; no further search begins if it returns False.

    Raises:
        KeyboardInterrupt: on a signal; its `partial` is the result of the finished searches.
    """
    begin, done = time.monotonic(), list[_T]()

    def elapsed() -> float:
        return time.monotonic() - begin

    try:
        with closing(searches):
            for each in searches:
                done.append(each)
                if not tell(each) or (seconds is not None and elapsed() > seconds):
                    break
    except KeyboardInterrupt as stopped:
        keep(stopped, make(tuple(done), elapsed()))
        raise
    return make(tuple(done), elapsed())

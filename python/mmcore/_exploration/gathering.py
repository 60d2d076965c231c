"""Does the searches of many programs, and keeps the finished ones if something ends the rest."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from mmcore._errors import WorkersLostError
from mmcore._exploration.searching import result_of
from mmcore._spread import Part, spread
from mmcore._waiting import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from mmcore._exploration.planned import Planned
    from mmcore._exploration.result import Exploration
    from mmcore._spread import Checkpoint, Workers

__all__ = ["gather", "searches"]

_K = TypeVar("_K")
_T = TypeVar("_T")
_R = TypeVar("_R")


def searches(
    planned: Iterable[tuple[_K, str, Planned] | None],
    *,
    workers: Workers | None,
    checkpoint: Checkpoint,
    until: float | None = None,
) -> Generator[tuple[_K, Exploration], None, None]:
    """Does searches of programs; each is the part of a worker.

    Args:
        planned: for each search a key, its name in errors, and the search; None while the next
            search depends on results that are not yielded yet.
        workers: the executor; None for this thread.
        checkpoint: the reports of an earlier call.
        until: the time of `time.monotonic` at which searches that are not finished are given up.

    Yields:
        The key and the result of each search, in the order of `planned`.
    """
    begun: dict[int, tuple[_K, Planned]] = {}

    def parts() -> Iterator[Part | None]:
        numbers = itertools.count()
        for each in planned:
            if each is None:
                yield None
                continue
            key, label, search = each
            begun[next(numbers)] = key, search
            yield Part(label, search)

    done = spread(_report, parts(), workers=workers, checkpoint=checkpoint, until=until)
    with closing(done):
        for number, report in done:
            key, search = begun.pop(number)
            yield key, result_of(search, report)


def _report(planned: Planned) -> dict[str, Any]:
    return planned.report()


def gather(
    searched: Generator[_T, None, None],
    make: Callable[[tuple[_T, ...], float], _R],
    *,
    tell: Callable[[_T], bool],
) -> _R:
    """Collects searches and returns the result that `make` makes of them.

    Args:
        searched: yields each search when it has ended. `gather` closes this generator, which ends
            the searches that still run in this process.
        make: makes the result of the finished searches and the seconds that they took.
        tell: called after each search; no further search begins if it returns False.

    Raises:
        KeyboardInterrupt: on a signal; its `partial` is the result of the finished searches.
        WorkersLostError: if workers were lost; likewise.
        OSError: if the checkpoint cannot be written; likewise.
    """
    begin, done = time.monotonic(), list[_T]()

    def elapsed() -> float:
        return time.monotonic() - begin

    try:
        with closing(searched):
            for each in searched:
                done.append(each)
                if not tell(each):
                    break
    except (KeyboardInterrupt, WorkersLostError, OSError) as stopped:
        keep(stopped, make(tuple(done), elapsed()))
        raise
    return make(tuple(done), elapsed())

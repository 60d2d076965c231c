"""Does the parts of a long call and yields their results in order."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, wait
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcore import _mmcore
from mmcore._errors import InputError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from mmcore._spread.checkpoint import Checkpoint
    from mmcore._spread.workers import Workers

__all__ = ["STOP", "Part", "spread"]

#: The flag that ends the searches of this thread early; None if no other thread can end them. A
#: part that runs in a thread of this process gets it: signals reach the main thread alone.
STOP: ContextVar[_mmcore.Stop | None] = ContextVar("mmcore_stop", default=None)

#: The most parts that the executor has at a time: enough for the workers of a large cluster, and
#: few enough that the parts of an endless search do not fill the memory.
_WITH_WORKERS = 256

#: The most parts that are done before their turn to be yielded.
_AHEAD = 4 * _WITH_WORKERS

#: The most times that a part is given to workers: a part that needs more memory than its worker has
#: would end every worker that it is given to.
_ATTEMPTS = 3

#: Numbers of the calls of this process.
_CALLS = itertools.count()

#: The stop flags of the calls of this process, by their tokens: a flag cannot be sent to a process.
_STOPS: dict[str, _mmcore.Stop] = {}


class Part(NamedTuple):
    """One part of a call.

    Attributes:
        label: the name of the part in errors.
        task: the work, as plain data.
    """

    label: str
    task: Any


def spread(
    work: Callable[[Any], Any],
    parts: Iterable[Part | None],
    *,
    workers: Workers | None,
    checkpoint: Checkpoint,
    until: float | None = None,
    patience: float = 0.0,
    whole: Callable[[Any], bool] = lambda _: True,
) -> Generator[tuple[int, Any], None, None]:
    """Does the parts and yields their numbers and results, in the order of the parts.

    Closing the generator ends the parts that run in this process. Parts that run elsewhere end by
    themselves; their results are dropped.

    Args:
        work: does one part; a function of a module, so that another process can import it.
        parts: the parts; asked for as late as they are needed, and may be endless. None in their
            place means that the next part depends on results that are not yielded yet; it is asked
            for again later.
        workers: the executor; None does each part in this thread.
        checkpoint: the results of an earlier call, to which those of this one are added.
        until: the time of `time.monotonic` at which no more parts begin, and the results that are
            there are yielded. Parts that are not done then leave gaps in the numbers.
        patience: the seconds after `until` to wait for parts that end themselves then.
        whole: whether a result is that of a whole part; others are not kept in the checkpoint.

    Raises:
        WorkersLostError: if the executor is broken, or a part was lost with each of its workers.
        OSError: if the checkpoint cannot be written. The results so far are yielded before.
    """
    if workers is None:
        yield from _alone(work, iter(parts), checkpoint, until, whole)
    else:
        yield from _Spread(work, iter(parts), workers, checkpoint, whole).results(until, patience)


def _alone(
    work: Callable[[Any], Any],
    parts: Iterator[Part | None],
    checkpoint: Checkpoint,
    until: float | None,
    whole: Callable[[Any], bool],
) -> Generator[tuple[int, Any], None, None]:
    # A part is asked for only after all earlier results were yielded.
    for number, part in enumerate(filter(None, parts)):
        if number in checkpoint.done:
            yield number, checkpoint.done[number]
            continue
        if until is not None and time.monotonic() >= until:
            return
        result = work(part.task)
        failed = _kept(checkpoint, number, result) if whole(result) else None
        yield number, result
        if failed is not None:
            raise failed


def _kept(checkpoint: Checkpoint, number: int, result: Any) -> OSError | None:
    """Adds a result to the checkpoint; returns the error if the file cannot be written."""
    try:
        checkpoint.add(number, result)
    except OSError as error:
        return error
    return None


class _Spread:
    """The parts of one call that an executor does."""

    def __init__(
        self,
        work: Callable[[Any], Any],
        parts: Iterator[Part | None],
        workers: Workers,
        checkpoint: Checkpoint,
        whole: Callable[[Any], bool],
    ) -> None:
        self.work = work
        self.parts = parts
        self.workers = workers
        self.checkpoint = checkpoint
        self.whole = whole
        # Unique among all processes: a worker may make calls of its own.
        self.token = f"{os.getpid()}.{time.time_ns()}.{next(_CALLS)}"
        self.all_taken = False
        #: The number of the next part to yield.
        self.turn = 0
        #: The number after that of the last part taken.
        self.taken = 0
        self.again: deque[tuple[int, Part]] = deque()
        self.with_workers: dict[Future[Any], tuple[int, Part]] = {}
        self.ready: dict[int, Any] = {}
        self.attempts: Counter[int] = Counter()
        #: The number of times that the executor broke since a part was last done.
        self.breaks = 0

    def results(
        self, until: float | None, patience: float
    ) -> Generator[tuple[int, Any], None, None]:
        stop = _STOPS[self.token] = _mmcore.Stop()
        lost: Exception | None = None
        try:
            while True:
                while self.turn in self.ready:
                    yield self._yielded(self.turn)
                late = None if until is None else time.monotonic() - until
                try:
                    if late is None or late < 0:
                        self._submit()
                    if self.turn in self.ready:
                        # `_submit` has found results in the checkpoint; parts may wait for them.
                        continue
                    if not self.with_workers or (late is not None and late >= patience):
                        break
                    self._collect(None if late is None else -late if late < 0 else patience - late)
                except (WorkersLostError, OSError) as error:
                    lost = error
                    break
            # Parts in front of these are missing if the time is up, the workers are lost, or the
            # checkpoint cannot be written.
            for number in sorted(self.ready):
                yield self._yielded(number)
            if lost is not None:
                raise lost
        finally:
            stop.set()
            for future in self.with_workers:
                future.cancel()
            self.workers.close()
            del _STOPS[self.token]

    def _yielded(self, number: int) -> tuple[int, Any]:
        self.turn = number + 1
        kind, result = self.ready.pop(number)
        if kind == "error":
            raise result
        return number, result

    def _submit(self) -> None:
        """Gives the executor as many parts as it may have, lost ones first."""
        while len(self.with_workers) < _WITH_WORKERS and (again := self._next()) is not None:
            number, part = again
            self.attempts[number] += 1
            arguments = (self.token, self.attempts[number], self.work, part.task)
            try:
                future = self.workers.submit(_do, *arguments)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - an executor may raise anything
                self.attempts[number] -= 1
                self.again.appendleft((number, part))
                self._broken(error)
                continue
            self.with_workers[future] = number, part

    def _next(self) -> tuple[int, Part] | None:
        if self.again:
            return self.again.popleft()
        while not self.all_taken and self.taken < self.turn + _AHEAD:
            try:
                part = next(self.parts)
            except StopIteration:
                self.all_taken = True
                break
            if part is None:
                break
            number, self.taken = self.taken, self.taken + 1
            if number not in self.checkpoint.done:
                return number, part
            self.ready[number] = "done", self.checkpoint.done[number]
        return None

    def _collect(self, seconds: float | None) -> None:
        """Waits until a part has ended, and takes the results of all that have."""
        ended, _ = wait(self.with_workers, timeout=seconds, return_when=FIRST_COMPLETED)
        lost, failed = None, None
        for future in ended:
            number, part = self.with_workers.pop(future)
            error = _failure(future)
            if error is not None:
                self.again.append((number, part))
                lost = error if self.attempts[number] >= _ATTEMPTS else lost
                continue
            self.breaks = 0
            kind, result = future.result()
            self.ready[number] = kind, result
            if kind == "done" and self.whole(result) and failed is None:
                failed = _kept(self.checkpoint, number, result)
        if failed is not None:
            raise failed
        # The loss is raised last, so that the checkpoint keeps the other results.
        if lost is not None:
            raise self._lost(lost)

    def _broken(self, error: Exception) -> None:
        """Has a broken executor made anew; raises if mmcore cannot make one, or too many broke."""
        # The parts that a broken executor still had are lost too; their futures end at once.
        while self.with_workers:
            self._collect(None)
        self.breaks += 1
        if not self.workers.renewable or self.breaks > _ATTEMPTS:
            raise self._lost(error)
        self.workers.close(wait=False)

    def _lost(self, error: BaseException) -> WorkersLostError:
        left = dict([*self.again, *self.with_workers.values()])
        # An executor that broke between two parts has begun none, and has refused the next one.
        attempted = sorted(number for number in left if self.attempts[number]) or sorted(left)
        names = tuple(left[number].label for number in attempted)
        return WorkersLostError(names, f"{type(error).__name__}: {error}")


def _failure(future: Future[Any]) -> BaseException | None:
    """The reason why a part is lost; None if its worker has sent its result, or its error."""
    if future.cancelled():
        return RuntimeError("its executor cancelled it")
    return future.exception()


def _do(token: str, _attempt: int, work: Callable[[Any], Any], task: Any) -> tuple[str, Any]:
    """Does one part, in a worker. An error of the part is returned: only a lost part raises.

    SystemExit is an error of the part: an owner of pages can raise it. KeyboardInterrupt is a
    signal to the worker, so another worker does the part again.

    The attempt is among the arguments because an executor may answer equal calls with one result.
    """
    reset = STOP.set(_STOPS.get(token))
    try:
        return "done", work(task)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - raised again where the results are yielded
        return "error", error
    finally:
        STOP.reset(reset)

"""Signals during long calls: a signal ends the wait, and the exception keeps the result so far."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["heard", "heard_all", "keep"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def heard(call: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs) -> _T:
    """Runs a long call on another thread, so that a signal can end the wait for it.

    Python runs signal handlers in its main thread, between two bytecode instructions: a long call
    of the core or of a library in the main thread would delay them to its end. If a handler raises,
    the other thread continues to the end of its call, and the result is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        return call(*arguments, **options)
    outcome: Future[_T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call(*arguments, **options))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            outcome.set_exception(error)

    threading.Thread(target=work, name="mmcore", daemon=True).start()
    return outcome.result()


def heard_all(calls: Sequence[Callable[[], _T]], *, threads: int) -> list[_T]:
    """Runs long calls on other threads, some at a time, so that a signal can end the wait for them.

    Args:
        calls: the calls, which begin in this order.
        threads: the number of threads at the same time, at least one.

    Returns:
        The results, in the order of the calls. If calls raise, the exception of the first of them
        is raised, once all calls before it have ended.
    """
    outcomes: list[Future[_T]] = [Future() for _ in calls]
    todo = iter(list(zip(calls, outcomes, strict=True)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                call, outcome = next(todo, (None, None))
            if call is None or outcome is None:
                return
            try:
                outcome.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                outcome.set_exception(error)

    for _ in range(min(threads, len(calls))):
        threading.Thread(target=work, name="mmcore", daemon=True).start()
    return [outcome.result() for outcome in outcomes]


def keep(stopped: BaseException, partial: Any) -> None:
    """Stores the result so far, or None, as `partial` in the exception that ends a call."""
    stopped.partial = partial  # type: ignore[attr-defined]

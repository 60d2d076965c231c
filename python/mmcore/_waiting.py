"""Long calls and signals: who waits hears them, and what was found by then is not lost."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["heard", "keep"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def heard(call: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs) -> _T:
    """Calls what hears no signals, so that a signal ends the waiting.

    Python handles signals in its main thread, between two of its own steps: one long call of the
    core, or of a library, would hold them up. It runs on another thread here. If a handler raises,
    that thread is left to end by itself, and what it returns is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        return call(*arguments, **options)
    outcome: Future[_T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call(*arguments, **options))
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            outcome.set_exception(error)

    threading.Thread(target=work, name="mmcore", daemon=True).start()
    return outcome.result()


def keep(interruption: KeyboardInterrupt, partial: Any) -> None:
    """Lets an interruption carry what the call has by then, as `partial`; None for nothing."""
    interruption.partial = partial  # type: ignore[attr-defined]

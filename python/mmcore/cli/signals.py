"""SIGINT and SIGTERM: a command ends with what it has, and its exit code says which it was."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mmcore._interrupted import partial
from mmcore._waiting import keep
from mmcore.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["Caught", "heard", "keeping", "report"]

_T = TypeVar("_T")

#: The signals, and what is there if nobody has decided otherwise: `nohup` and a shell's background
#: ignore some, and that stays.
_HANDLED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Caught:
    """The signal that has come.

    Attributes:
        number: the first one; None if none has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Remembers the signal, and ends what is being done."""
        if self.number is None:
            self.number = number
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit code: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (signal.SIGINT if self.number is None else self.number)


@contextmanager
def heard() -> Iterator[Caught]:
    """Inside, both signals raise `KeyboardInterrupt` in the main thread."""
    caught = Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {
        number: signal.signal(number, caught)
        for number, usual in _HANDLED.items()
        if signal.getsignal(number) == usual
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def keeping(results: list[_T]) -> Iterator[None]:
    """Inside, an interruption keeps the results that are in the list by then."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        keep(stopped, results)
        raise


def report(work: Callable[[], _T], show: Callable[[_T], int]) -> int:
    """Does the work and shows its result; interrupted, what there is of it.

    Args:
        work: a call of the library, whose interruption has a partial result.
        show: prints and writes a result, which says of itself whether it is complete, and returns
            the exit code.
    """
    try:
        result = work()
    except KeyboardInterrupt as stopped:
        found = partial(stopped)
        if found is not None:
            show(found)
            output.complain("what is shown is incomplete")
        raise
    return show(result)

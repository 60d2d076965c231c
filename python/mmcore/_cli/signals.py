"""SIGINT and SIGTERM: a command shows its partial result and ends with the code of the signal."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mmcore._cli import output
from mmcore._interrupted import partial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["Caught", "heard", "report"]

_T = TypeVar("_T")

#: The signals handled, each with its usual handler. A signal with another handler is left alone:
#: `nohup` and the background jobs of a shell make commands ignore some signals, and an ignored
#: signal must not end the command.
_HANDLED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Caught:
    """A signal handler that remembers the number of the first signal.

    Attributes:
        number: the number of the first signal; None if none has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Keeps the number of the first signal, and raises KeyboardInterrupt with it."""
        if self.number is None:
            self.number = number
        raise KeyboardInterrupt(self.number)

    @property
    def code(self) -> int:
        """The exit code of the command: 130 for SIGINT, 143 for SIGTERM, 130 if no signal came."""
        return 128 + (signal.SIGINT if self.number is None else self.number)


@contextmanager
def heard() -> Iterator[Caught]:
    """Makes SIGINT and SIGTERM raise `KeyboardInterrupt` in the main thread until the block ends.

    Yields:
        The handler, which knows the first signal. In another thread no handler can be installed,
        and the signals keep the ones that they have.
    """
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


def report(work: Callable[[], _T], show: Callable[[_T], int]) -> int:
    """Does the work and shows its result; a signal, or a full disk, shows the partial result.

    Args:
        work: calls the library. If a signal ends the call, its KeyboardInterrupt carries the
            partial result; so does the OSError of a checkpoint that cannot be written.
        show: prints and writes a result, and returns the exit code.

    Returns:
        The exit code.

    Raises:
        KeyboardInterrupt: by a signal, after the partial result was shown.
    """
    try:
        result = work()
    except KeyboardInterrupt as stopped:
        found = partial(stopped)
        if found is not None:
            show(found)
            output.complain("the result above is incomplete: the command was interrupted")
        raise
    except OSError as stopped:
        found = partial(stopped)
        if found is None or stopped.filename is None:
            raise
        code = show(found)
        why = stopped.strerror or str(stopped)
        output.fail(f"{stopped.filename}: {why}: the result above ends with the parts done by then")
        return code
    return show(result)

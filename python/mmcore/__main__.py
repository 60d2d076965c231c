"""The `mmcore` command."""

from __future__ import annotations

import os
import signal
import sys

from mmcore._errors import MissingExtraError
from mmcore._verbs import without_parser

#: The exit codes of a command that a signal has ended.
_SIGNALLED = (130, 143)


def main() -> None:
    """Runs the command line; prints the extra to install if its libraries are missing."""
    _complete()
    try:
        # Imported here: the base installation has this file but not the libraries of the command
        # line, and an import at the top would fail without the name of the extra.
        from mmcore._cli import run

        code = run(sys.argv[1:])
    except MissingExtraError as error:
        said = without_parser(sys.argv[1:], str(error))
        if said is None:
            print(f"mmcore: {error}", file=sys.stderr)
        else:
            print(said)
        code = 2 if said is None else 0
    except KeyboardInterrupt as stopped:
        # The signal arrived before `run` had begun, or after its end. The handlers of `run` raise
        # with the number of the signal, Python's own handler of SIGINT raises without one.
        code = 128 + (stopped.args[0] if stopped.args else signal.SIGINT)
    if code in _SIGNALLED:
        # `sys.exit` would wait for the other threads, which can run for hours.
        _end_at_once()
        _flush()
        os._exit(code)
    sys.exit(code)


def _complete() -> None:
    """Opens closed standard streams on /dev/null: a file opened later would get their number."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # `open` takes the lowest free number, which is this one.
            os.open(os.devnull, mode)
    # Libraries write to these streams without a check for None.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _end_at_once() -> None:
    """Lets a further signal end the process at once; a shell shows the same exit code for it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            continue


if __name__ == "__main__":
    main()

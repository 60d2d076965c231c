"""The `mmcore` command."""

from __future__ import annotations

import os
import sys

from mmcore.errors import MissingExtraError

#: The exit codes of a command that a signal has ended.
_SIGNALLED = (130, 143)


def main() -> None:
    """Runs the command line, or says which extra brings it."""
    _complete()
    try:
        # Imported here: the base installation has this file but not the command line's libraries.
        from mmcore.cli import run

        code = run(sys.argv[1:])
    except MissingExtraError as error:
        print(f"mmcore: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        # Before `run` was there to hear it.
        code = _SIGNALLED[0]
    if code in _SIGNALLED:
        # Now, whatever other threads are still doing: the end of the interpreter waits for them.
        _flush()
        os._exit(code)
    sys.exit(code)


def _complete() -> None:
    """Opens the standard streams that are closed: files would get their numbers otherwise."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, and so this one.
            os.open(os.devnull, mode)
    # Libraries print without asking whether there is an output.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            continue


if __name__ == "__main__":
    main()

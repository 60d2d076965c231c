"""What a command shows and writes: nothing that was found is lost because of where it goes to.

The exit code is the verdict's. If the reader of the output has gone (`| head -1`), nothing more is
shown, and the code stays. If a file could not be written, or the output itself, stderr says so, and
the code is 2, except that a finding stays 1: it was shown.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import RenderableType

__all__ = [
    "FOUND",
    "UNUSABLE",
    "begin",
    "code",
    "complain",
    "console",
    "gone",
    "leave",
    "render",
    "save",
    "show",
]

#: Exit codes that are decided here: see `mmcore.cli`.
FOUND, UNUSABLE = 1, 2

#: Columns of a table that no terminal limits.
_FILE_WIDTH = 200

#: Characters of an error: more are no line that anybody reads.
_LINE = 500

#: What stands for characters that a terminal or file cannot take.
_PLAIN = {"×": "x", "µ": "u", "·": "-", "…": "...", "→": "->"}


@dataclass
class _State:
    """What became of the output of this command."""

    gone: bool = False
    failed: bool = False


_state = _State()


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces what an encoding lacks: by something like it, or by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(shown), error.end


codecs.register_error("mmcore.plain", _plain)


class _Console(Console):
    """A console that does not end the process when the reader of its output has gone."""

    def on_broken_pipe(self) -> None:
        """Shows nothing more."""
        self.quiet = True
        leave()


def begin() -> None:
    """Forgets what became of an earlier command's output."""
    _state.gone = _state.failed = False


def console(*, stderr: bool = False) -> Console:
    """A console on the standard output or error, as wide as the terminal."""
    made = _Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _FILE_WIDTH
    return made


def show(what: object, end: str = "\n") -> bool:
    """Prints; False if there is nobody to read it."""
    stream = sys.stdout
    if stream is None or _state.gone:
        return False
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(f"{what}{end}".encode(encoding, "mmcore.plain").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        leave()
    except OSError as error:
        _fail(f"the standard output: {error.strerror or error}")
        leave()
    return not _state.gone


def render(what: RenderableType, **options: bool) -> None:
    """Prints a table or another thing of rich's."""
    shape = console()
    text = io.StringIO()
    made = Console(file=text, width=shape.width, force_terminal=shape.is_terminal, highlight=False)
    made.print(what, **options)  # type: ignore[arg-type]
    show(text.getvalue(), end="")


def save(path: Path | None, write: Callable[[Path], object]) -> None:
    """Writes a file that was asked for; if it cannot be written, stderr says why."""
    if path is None:
        return
    try:
        write(path)
    except OSError as error:
        _fail(f"{path}: {error.strerror or error}")


def code(verdict: int) -> int:
    """The exit code: the verdict's, or that something could not be written."""
    return UNUSABLE if _state.failed and verdict != FOUND else verdict


def gone() -> bool:
    """Whether the reader of the output has gone: a job without an end has nobody to work for."""
    return _state.gone


def complain(message: str, *, whole: bool = False) -> None:
    """One line on stderr; with `whole` all of them."""
    if sys.stderr is None:
        return
    text = message if whole else _shortened(" ".join(message.split()))
    try:
        print(f"mmcore: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Nobody can be told that nobody can be told.
        return


def _shortened(line: str) -> str:
    """A line without its middle, if it repeats thousands of characters of somebody's input."""
    return line if len(line) <= _LINE else f"{line[: _LINE // 2]} ... {line[-_LINE // 2 :]}"


def _fail(message: str) -> None:
    _state.failed = True
    complain(message)


def leave() -> None:
    """Sends what follows nowhere: Python would complain again at the end of the process."""
    _state.gone = True
    if sys.stdout is None:
        return
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

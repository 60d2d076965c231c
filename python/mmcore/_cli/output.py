"""Prints results and writes files; a failed write never hides a finding.

The exit code follows from the verdict. If the reader of the output closes the pipe (`| head -1`),
printing ends and the exit code stays. If stdout or a file cannot be written, stderr says why and
the exit code is 2; after a finding it stays 1, so that a full disk does not hide a broken rule.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmcore._errors import InputError
from mmcore.reporting import Cells, Drawing, Grid, Listed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mmcore.reporting import Part

__all__ = [
    "FOUND",
    "UNUSABLE",
    "begin",
    "code",
    "complain",
    "console",
    "display",
    "fail",
    "gone",
    "leave",
    "save",
    "show",
]

#: The exit codes of a finding and of unusable input or output: see `mmcore._cli`.
FOUND, UNUSABLE = 1, 2

#: Width in characters of a table that goes to a file or a pipe.
_FILE_WIDTH = 200

#: Characters of an error line; a longer one loses its middle.
_LINE = 500

#: Substitutes for characters that the encoding of the output lacks.
_PLAIN = {"×": "x", "µ": "u", "·": "-", "…": "...", "→": "->"}


@dataclass
class _State:
    """The state of the output of this command.

    Attributes:
        gone: whether the reader of stdout has closed the pipe, or stdout cannot be written.
        failed: whether stdout or a file could not be written.
    """

    gone: bool = False
    failed: bool = False


_state = _State()


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces characters that an encoding lacks by their substitute, or by their escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(shown), error.end


codecs.register_error("mmcore.plain", _plain)


class _Console(Console):
    """A console that does not end the process when the reader of its output has gone."""

    def on_broken_pipe(self) -> None:
        """Ends all printing of this command."""
        self.quiet = True
        leave()


def begin() -> None:
    """Resets the state that an earlier command of this process has left."""
    _state.gone = _state.failed = False


def console(*, stderr: bool = False) -> Console:
    """Makes a console on stdout or stderr, as wide as the terminal or as COLUMNS says.

    Without either it is 200 characters wide.
    """
    made = _Console(stderr=stderr, highlight=False)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        made.width = _FILE_WIDTH
    return made


def show(what: object, end: str = "\n") -> bool:
    """Prints to stdout; returns False once the reader has gone or stdout is closed."""
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
        fail(f"the standard output: {error.strerror or error}")
        leave()
    return not _state.gone


def display(part: Part) -> None:
    """Prints a part of a result; on a terminal, tables fit its width and have bold titles."""
    match part:
        case str():
            show(part)
        case Drawing() | Listed(text=""):
            return
        case Grid() if console().is_terminal:
            _table(part)
        case Cells() if console().is_terminal:
            _picture(part)
        case _:
            show("\n".join(part.lines()))


def _table(grid: Grid) -> None:
    """Prints a table on a terminal; long cells are folded within their column."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in grid.columns:
        table.add_column(
            Text(column.title), justify="right" if column.right else "left", overflow="fold"
        )
    for row in grid.rows:
        table.add_row(*map(Text, row))
    text = io.StringIO()
    width = console().width
    Console(file=text, width=width, force_terminal=True, highlight=False).print(table)
    show("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _picture(cells: Cells) -> None:
    """Prints a picture of letters on a terminal, in their colours."""
    text = Text()
    for label, parts in cells.rows:
        text.append(label)
        for part in parts:
            text.append("  ")
            for letter, run in groupby(part):
                text.append("".join(run), style=f"black on {cells.colors.get(letter, '#ffffff')}")
        text.append("\n")
    buffer = io.StringIO()
    # As wide as the picture: a folded row would show nothing.
    Console(file=buffer, width=1_000, force_terminal=True, highlight=False).print(text, end="")
    show(buffer.getvalue(), end="")


def save(path: Path | None, write: Callable[[Path], object]) -> None:
    """Writes a file if a path is given; a failed write is told on stderr and in the exit code."""
    if path is None:
        return
    try:
        write(path)
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")
    except InputError as error:
        # The result has no drawing. It was shown already; the exit code is as for a failed write.
        fail(f"{path}: {error}")


def code(verdict: int) -> int:
    """The exit code of the command: 2 after a failed write, unless there is a finding."""
    return UNUSABLE if _state.failed and verdict != FOUND else verdict


def gone() -> bool:
    """True if the reader of stdout has gone; a search without an end stops then."""
    return _state.gone


def complain(message: str, *, whole: bool = False) -> None:
    """Prints an error to stderr: as one line, or with all of its lines if `whole`."""
    if sys.stderr is None:
        return
    text = message if whole else _shortened(" ".join(message.split()))
    try:
        print(f"mmcore: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # stderr is closed or full: there is no other place for the error.
        return


def _shortened(line: str) -> str:
    """A line cut in the middle to `_LINE` characters: some errors quote long input."""
    return line if len(line) <= _LINE else f"{line[: _LINE // 2]} ... {line[-_LINE // 2 :]}"


def fail(message: str) -> None:
    """Tells on stderr and in the exit code that a file could not be written."""
    _state.failed = True
    complain(message)


def leave() -> None:
    """Redirects stdout to /dev/null: Python would report the closed pipe again when it exits."""
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

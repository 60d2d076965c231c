"""The file of results from which a later call continues.

The file has a line of JSON for each part, in the order in which the parts ended, after a first line
that describes the call. Each line is written as soon as its part has ended. If the process is
killed while it writes a line, the next call drops this line and does the part again. A line has the
number of its part, its result, and the CRC-32 of the two: without the checksum, a damaged result
would be mixed with the others unnoticed.
"""

from __future__ import annotations

import json
import os
from io import FileIO
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from mmcore._environment import build
from mmcore._errors import InputError
from mmcore._input import path_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["Checkpoint"]

#: The version of the file's format.
_VERSION = 2

#: The checkpoints of this process that have a file.
_OPEN: WeakSet[Checkpoint] = WeakSet()

#: The most bytes of a line: many times the largest report.
_LINE = 64 << 20


class Checkpoint:
    """The results of a call's parts, kept in a file while the call runs.

    Args:
        path: the file; None keeps nothing.
        kind: the name of the call, such as "soak".
        what: the arguments on which the results depend, as plain data. A file of other arguments,
            or of another build of mmcore, is refused: its results would be mixed with other ones.

    Raises:
        InputError: if the file belongs to another call, is no checkpoint, is damaged, or is in use.
        OSError: if the file cannot be read or written.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, kind: str, what: Mapping[str, Any]
    ) -> None:
        self.done: dict[int, Any] = {}
        self._file: FileIO | None = None
        if path is None:
            return
        self._name = path_text(path)
        call = {"kind": kind, "build": build(), "arguments": dict(what)}
        # The line is compared as JSON returns it from the file: a tuple has become a list.
        head = json.loads(json.dumps({"checkpoint": _VERSION, **call}))
        # The file is opened for reading and writing, and made if it is missing; "a+" would move
        # each write to the end. There is no buffer: a process that is forked between two writes
        # would write its content once more.
        self._file = FileIO(self._name, "r+", opener=_opened)
        _OPEN.add(self)
        try:
            self._read(head)
        except BaseException:
            self.close()
            raise

    def _read(self, head: dict[str, Any]) -> None:
        """Locks the file, takes its results, and cuts off a line that is not whole."""
        # Imported here and not above: most calls have no file.
        import fcntl

        file = self._file
        if file is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{self._name} is in use by another call: give each its own") from None
        end = 0
        # A reader with a buffer, for this loop alone; it shares the lock and the place in the file.
        with os.fdopen(os.dup(file.fileno()), "rb") as reader:
            for number, line in enumerate(iter(lambda: reader.readline(_LINE), b"")):
                if not line.endswith(b"\n") and len(line) < _LINE:
                    # The last line was cut.
                    break
                row = _parsed(line)
                if number == 0:
                    self._same(row, head)
                elif isinstance(row, list) and len(row) == 3 and row[2] == _checked(*row[:2]):
                    self.done[row[0]] = row[1]
                else:
                    raise InputError(
                        f"{self._name}:{number + 1} is no line of a checkpoint, or it was damaged:"
                        " remove the line"
                    )
                end += len(line)
        if end == 0 and os.fstat(file.fileno()).st_size and not self._torn():
            raise InputError(f"{self._name} is no checkpoint of this mmcore: name another file")
        file.seek(end)
        file.truncate()
        if end == 0:
            self._write(head)

    def _torn(self) -> bool:
        """True if the file is the beginning of a first line."""
        if self._file is None:
            return False
        self._file.seek(0)
        start = self._file.read(len(_FIRST))
        return _FIRST.startswith(start)

    def _same(self, row: Any, head: dict[str, Any]) -> None:
        """Refuses the file of another call; the message names the first difference."""
        if not isinstance(row, dict) or row.get("checkpoint") != _VERSION:
            raise InputError(f"{self._name} is no checkpoint of this mmcore: name another file")
        for name in ("kind", "build", "arguments"):
            if row.get(name) == head[name]:
                continue
            there, here = row.get(name), head[name]
            if isinstance(there, dict) and isinstance(here, dict):
                name = next(
                    key
                    for key in here | there
                    if (key in there, there.get(key)) != (key in here, here.get(key))
                )
                there, here = there.get(name), here.get(name)
            raise InputError(
                f"{self._name} is the checkpoint of another call: {name} is {_brief(there)} there"
                f" and {_brief(here)} here; name another file, or remove this one"
            )

    def add(self, number: int, result: Any) -> None:
        """Writes the result of a part.

        Raises:
            OSError: if the file cannot be written; the error has its name.
        """
        if self._file is not None and number not in self.done:
            self._write([number, result, _checked(number, result)])

    def _write(self, row: Any) -> None:
        if self._file is not None:
            # A killed process leaves a whole line, or the start of one.
            left = memoryview(_text(row) + b"\n")
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise OSError(error.errno, os.strerror(error.errno or 0), self._name) from None

    def close(self) -> None:
        """Closes the file, which another call may then continue."""
        if self._file is not None:
            self._file.close()
            self._file = None
            _OPEN.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


def _text(row: Any) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode()


def _parsed(line: bytes) -> Any:
    """A line as data; None if it is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _checked(number: Any, result: Any) -> int:
    """The checksum of a line."""
    # Imported here and not above: most calls have no file.
    import zlib

    return zlib.crc32(_text([number, result]))


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CREAT, 0o666)


def _leave() -> None:
    """Closes the files of the parent in a process that was forked.

    The lock of a file lasts as long as any process has the file open. The processes of a pool would
    keep it after the end of the call, or of the process that called.
    """
    for kept in list(_OPEN):
        kept.close()


os.register_at_fork(after_in_child=_leave)

#: The beginning of each checkpoint.
_FIRST = f'{{"checkpoint":{_VERSION},'.encode()


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

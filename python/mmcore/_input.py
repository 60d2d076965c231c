"""Files that are read: none larger than its kind can be, and errors that name the file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from mmcore._units import format_size
from mmcore.errors import InputError

__all__ = ["STANDARD_INPUT", "TEXT_LIMIT", "parse_json", "path_text", "read_text"]

#: Bytes of a program, a schedule or a recording: the largest known has less than a hundredth.
TEXT_LIMIT = 16 << 20

#: What errors call the standard input.
STANDARD_INPUT = "<stdin>"


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as text.

    Raises:
        InputError: if no file can have it: a null character ends a path in the kernel.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise InputError(f"{name!r} is no path: it has a null character")
    return name


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, or of the standard input for `-`.

    Raises:
        InputError: if it cannot be read, has more than `TEXT_LIMIT` bytes, or is not UTF-8.
    """
    name = path_text(path)
    if name == "-":
        if sys.stdin is None:
            raise InputError(f"{STANDARD_INPUT}: it is closed")
        name = STANDARD_INPUT
        data = _read(sys.stdin.buffer, name)
    else:
        try:
            with Path(path).open("rb") as file:
                data = _read(file, name)
        except OSError as error:
            raise InputError(f"{name}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: byte {data[error.start]:#04x} is not UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(file: IO[bytes], name: str) -> bytes:
    try:
        data = file.read(TEXT_LIMIT + 1)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None
    if len(data) > TEXT_LIMIT:
        raise InputError(f"{name}: more than {format_size(TEXT_LIMIT)} are no text of mmcore's")
    return data


def parse_json(text: str) -> Any:
    """A JSON document.

    Raises:
        InputError: if it is none: also if its numbers are none, or it is nested without end.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise InputError("no JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"no JSON: {error}") from None


def _refuse(word: str) -> None:
    raise InputError(f"{word} is no number")

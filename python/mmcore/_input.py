"""Reads text files up to a limit of size; each error names the file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from mmcore._errors import InputError
from mmcore._units import format_size

__all__ = ["STANDARD_INPUT", "TEXT_LIMIT", "parse_json", "path_text", "read_text"]

#: The most bytes in a program, schedule or recording: over a hundred times the largest known.
TEXT_LIMIT = 16 << 20

#: The name of the standard input in errors.
STANDARD_INPUT = "<stdin>"


def path_text(path: str | os.PathLike[str]) -> str:
    """Returns a path as text.

    Raises:
        InputError: if the path has a null character, at which the kernel would end it.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise InputError(f"the path {name!r} has a null character, which no file name can have")
    return name


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a text file, or the standard input for `-`; line ends become line feeds.

    Raises:
        InputError: if the file cannot be read, has more than `TEXT_LIMIT` bytes, or is not UTF-8.
    """
    name = path_text(path)
    if name == "-":
        if sys.stdin is None:
            raise InputError("the standard input is closed: name a file instead of -")
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
        limit = format_size(TEXT_LIMIT)
        raise InputError(
            f"{name}: the file is larger than {limit}, the limit for programs and recordings"
        )
    return data


def parse_json(text: str) -> Any:
    """Parses a JSON document.

    Raises:
        InputError: if the text is not JSON, has NaN or an infinity, or is nested too deeply for
            the parser.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise InputError("not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from None


def _refuse(word: str) -> None:
    raise InputError(f"{word} is not a number in JSON")

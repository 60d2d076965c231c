"""What several verbs read: program files and FIELD=VALUE words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["STDIN", "fields", "read", "source"]

#: Stands for `-` on its way through the parser, which takes that for an option.
STDIN = "/dev/stdin"


def source(word: str) -> str:
    """What is read, as the library takes it."""
    return "-" if word == STDIN else word


def read(path: str) -> str:
    """The text of a program file, or of the standard input for `-`."""
    try:
        if source(path) != "-":
            return Path(path).read_text(encoding="utf-8")
        if sys.stdin is None:
            raise InputError("-: the standard input is closed")
        return sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: {reason}") from None


def fields(words: Iterable[str]) -> dict[str, str]:
    """What `--set FIELD=VALUE` said."""
    said = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--set takes FIELD=VALUE, not {word!r}")
        said[name] = value
    return said

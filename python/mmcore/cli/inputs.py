"""What several verbs read: program files, traces, and FIELD=VALUE words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore import _waiting
from mmcore.errors import InputError
from mmcore.program import Program
from mmcore.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["STDIN", "fields", "program", "trace"]

#: Stands for `-` on its way through the parser, which takes that for an option.
STDIN = "/dev/stdin"


def _source(word: str) -> str:
    """What is read, as the library takes it."""
    return "-" if word == STDIN else word


def program(path: str) -> Program:
    """The program of a file, or of the standard input for `-`."""
    return Program.load(_source(path))


def trace(
    path: str,
    max_accesses: int | None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Trace:
    """The trace of a file, or of the standard input for `-`."""
    limit = {} if max_accesses is None else {"max_accesses": max_accesses}
    name = _source(path)
    try:
        # Sorting the pages of a long trace is one call of NumPy's.
        return _waiting.heard(Trace.load, name, progress=progress, **limit)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


def fields(words: Iterable[str]) -> dict[str, str]:
    """What `--set FIELD=VALUE` said."""
    said = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--set takes FIELD=VALUE, not {word!r}")
        said[name] = value
    return said

"""Files that results are written to: looked at before the work, replaced as a whole after it."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmcore._input import path_text
from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check", "replacing", "write"]

#: Paths that begin so stand for something that is open already, whatever they are links to: a file
#: that takes the place of `/dev/stdout` would cut the output off.
_OPEN_ALREADY = ("/dev/std", "/dev/fd/", "/proc/")


def check(*paths: str | os.PathLike[str] | None) -> None:
    """Refuses files that could not be written, before hours of work and not after them.

    Args:
        paths: the files; None for one that nobody asked for.

    Raises:
        InputError: names the file, and what is in the way.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if path is None:
            continue
        name = path_text(path)
        real, regular = _check(name)
        if regular and real in seen:
            raise InputError(f"{seen[real]} and {name} are one file: name two")
        seen[real] = name


def _check(name: str) -> tuple[str, bool]:
    try:
        status = Path(name).stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    real = os.path.realpath(name)
    if status is not None:
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name}: {os.strerror(errno.EISDIR)}")
        if not os.access(name, os.W_OK):
            raise InputError(f"{name}: {os.strerror(errno.EACCES)}")
        if _is_special(name, status):
            return real, False
    folder = Path(real).parent
    try:
        # Only a try shows a full or read-only file system, or that of a kernel.
        descriptor, trial = _beside(folder)
    except OSError as error:
        if status is None:
            why = f"the directory cannot be written to: {error.strerror}"
            raise InputError(f"{name}: {why}") from None
    else:
        os.close(descriptor)
        trial.unlink()
    return real, True


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file: it has all of the content afterwards, or what it had before.

    Args:
        path: the file. What is no regular file, such as a pipe or /dev/stdout, is written to.
        content: a text is written as UTF-8.

    Raises:
        OSError: with the name of the file.
        InputError: if it can be no file's name.
    """
    if isinstance(content, str):
        # Half a surrogate pair, as in a path that is no UTF-8, is no reason to lose the rest.
        content = content.encode("utf-8", "backslashreplace")
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to, whose content is that of `path` when the block has ended.

    If the block raises, `path` is as it was, unless it is no regular file.

    Raises:
        OSError: with the name of the file.
        InputError: if it can be no file's name.
    """
    name = path_text(path)
    try:
        descriptor, temporary, target = _open(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if temporary is not None:
                    yield file
                else:
                    # A pipe cannot seek, and an open file has been written to: all at the end.
                    content = io.BytesIO()
                    yield content
                    file.write(content.getbuffer())
            if temporary is not None:
                temporary.replace(target)
                temporary = None
        finally:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from None


def _open(name: str) -> tuple[int, Path | None, Path]:
    """Opens a file beside the real one, or the real one where nothing can take its place."""
    # A link stays, and what it points to is replaced.
    target = Path(os.path.realpath(name))
    try:
        status = Path(name).stat()
    except FileNotFoundError:
        status = None
    if status is not None and _is_special(name, status):
        if sys.stdout is not None:
            # What was printed before comes first, if it goes to the same place.
            with suppress(OSError):
                sys.stdout.flush()
        return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), None, target
    try:
        descriptor, temporary = _beside(target.parent)
    except OSError:
        if status is None:
            raise
        # A file in a folder that belongs to somebody else.
        return os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), None, target
    if status is not None:
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    return descriptor, temporary, target


def _is_special(name: str, status: os.stat_result) -> bool:
    """Whether a path is a device or a pipe, or a file that our own output goes to."""
    if not stat.S_ISREG(status.st_mode):
        return True
    # Not resolved: what the links lead to has another name.
    if os.path.abspath(name).startswith(_OPEN_ALREADY):  # noqa: PTH100
        return True
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):
                return True
    return False


def _beside(folder: Path) -> tuple[int, Path]:
    """A new file in a folder, with the rights that any new file gets."""
    path = folder / f".mmcore-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(path, flags, 0o666), path

"""Writes result files: `check` tests a path before the work, `write` replaces the file after it."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mmcore._errors import InputError
from mmcore._input import path_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check", "replacing", "write"]

#: The beginnings of paths that name an open file of a process, whatever they link to. Such a file
#: is written to and not replaced: a new file in the place of `/dev/stdout` would not be the file
#: that the reader of the standard output has open.
_OPEN_ALREADY = ("/dev/std", "/dev/fd/", "/proc/")


def check(*paths: str | os.PathLike[str] | None) -> None:
    """Checks that result files can be written, before the work that makes their content.

    Without the check, hours of measuring could end at a folder that does not exist.

    Args:
        paths: the files; None is skipped.

    Raises:
        InputError: if a file cannot be written, or two paths are one file; the message names the
            file and the cause.
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
    try:
        # Permission bits do not show that a file system is full or read-only, or, like /proc,
        # allows no new files. So a file is made beside the target, and removed again.
        descriptor, trial = _beside(Path(real).parent)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    os.close(descriptor)
    trial.unlink()
    return real, True


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Replaces the content of a file. If the new content cannot be written, the old one stays.

    Args:
        path: the file. A pipe, a device or /dev/stdout is written to, not replaced.
        content: the new content; text is written as UTF-8.

    Raises:
        OSError: if the file cannot be written; the error has its name.
        InputError: if the path has a null character.
    """
    if isinstance(content, str):
        # The text may name a path that is not UTF-8; Python decodes such a path with unpaired
        # surrogates. They are written as escapes: an encoding error would lose the whole result.
        content = content.encode("utf-8", "backslashreplace")
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Opens a binary file, whose bytes become the content of `path` when the block ends.

    The block writes to a new file in the folder of `path`, which takes the name of `path` when the
    block ends. If the block raises, `path` keeps its earlier content. A pipe or device gets the
    content at the end of the block, and nothing if the block raises.

    Raises:
        OSError: if the file cannot be written, or its folder allows no new file; the error has the
            name of `path`. An exception of the block is raised unchanged.
        InputError: if the path has a null character.
    """
    name = path_text(path)
    with _named(name):
        descriptor, temporary, target = _open(name)
    try:
        with io.BufferedWriter(_File(descriptor, name)) as file:
            if temporary is not None:
                yield file
            else:
                # The writer of an archive seeks, and a pipe cannot seek: the block writes to memory
                # first.
                content = io.BytesIO()
                yield content
                file.write(content.getbuffer())
        if temporary is not None:
            with _named(name):
                temporary.replace(target)
            temporary = None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


class _File(io.FileIO):
    """An open file whose errors have the name of the path that it is written for.

    The file is open under another name, or by its descriptor alone. An error that the block of
    `replacing` raises about a file of its own must keep the name of that file, so the errors are
    named here and not around the block.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: Any, /) -> int:
        with _named(self._path):
            return super().write(data)

    def close(self) -> None:
        with _named(self._path):
            super().close()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Gives an OSError of the block the name of a file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from None


def _open(name: str) -> tuple[int, Path | None, Path]:
    """Opens a new file in the folder of the target, or the target if it is a pipe or a device.

    Returns:
        The descriptor; the path of the new file, or None if the target itself is open; the target.

    Raises:
        OSError: if the new file cannot be made, or the pipe or device cannot be opened.
    """
    # If the path is a symbolic link, the file at its end is replaced and the link stays.
    target = Path(os.path.realpath(name))
    try:
        status = Path(name).stat()
    except FileNotFoundError:
        status = None
    if status is not None and _is_special(name, status):
        if sys.stdout is not None:
            # The path may be where stdout goes. Without the flush, text printed earlier would come
            # after the content.
            with suppress(OSError):
                sys.stdout.flush()
        return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), None, target
    descriptor, temporary = _beside(target.parent)
    if status is not None:
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    return descriptor, temporary, target


def _is_special(name: str, status: os.stat_result) -> bool:
    """True if a path is a device, a pipe, or the file that stdout or stderr is redirected to."""
    if not stat.S_ISREG(status.st_mode):
        return True
    # `abspath` does not follow links: /dev/stdout would become the name of a terminal or file.
    if os.path.abspath(name).startswith(_OPEN_ALREADY):  # noqa: PTH100 - see above
        return True
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):
                return True
    return False


def _beside(folder: Path) -> tuple[int, Path]:
    """Makes a new file in a folder, with the permissions that the umask leaves.

    Raises:
        OSError: if the folder allows no new file. The reason names the directory: the file to
            replace may be writable, and "permission denied" alone would mislead.
    """
    path = folder / f".mmcore-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666), path
    except OSError as error:
        why = f"no file can be made in the directory: {error.strerror}"
        raise OSError(error.errno, why) from None

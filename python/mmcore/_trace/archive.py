"""Reads the arrays of a trace from an `.npz` archive, within limits of size."""

from __future__ import annotations

import io
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import InputError
from mmcore._trace.arrays import integers
from mmcore._units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["ARRAYS", "pages_of", "read_archive", "too_many"]

#: The arrays of a trace; other arrays of the archive are not read.
ARRAYS = ("pages", "writes", "threads", "page_numbers")

#: The compression methods that numpy writes; others may need more memory than the file states.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Bytes of one read. The list of the archive's members is one read too, and so is limited.
_PIECE = 1 << 20

#: The most bytes of an archive from a pipe, which is kept in memory.
_PIPED = 1 << 30

#: The most bytes of the header of an array; numpy writes at most 1 KiB.
_HEADER = 1 << 16


class _Careful:
    """A file for `zipfile` that refuses reads of more than `_PIECE` bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek: Callable[..., int] = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > _PIECE:
            raise _DamagedError("the list of its members is too long")
        # `zipfile` reads the end of an archive, with its comment, without a size.
        data = self._file.read(_PIECE + 1 if size < 0 else size)
        if len(data) > _PIECE:
            raise _DamagedError("the end of the archive is missing, or something follows it")
        return data


class _DamagedError(Exception):
    """An archive that numpy did not write."""


def read_archive(file: IO[bytes], source: str, most: int) -> dict[str, NDArray[Any]]:
    """Reads the arrays of a trace, by name.

    Args:
        file: the archive.
        source: the name of the file, for errors.
        most: the most entries of an array.

    Returns:
        The arrays of `ARRAYS` that the archive has, each of one dimension and of the type stored.

    Raises:
        InputError: if the archive is damaged, lacks `pages` or `writes`, has an array that is no
            list of integers or has too many entries, or does not fit into memory.
    """
    careful = _Careful(file if file.seekable() else _whole(file, source))
    try:
        with zipfile.ZipFile(careful) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            arrays = {
                name: _read(archive, members[name], source, most)
                for name in ARRAYS
                if name in members
            }
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{source}: there is not enough memory for its arrays") from None
    except Exception as error:  # noqa: BLE001 - damage makes the parsers raise whatever they meet
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{source}: damaged .npz archive: {why}") from None
    for name in ("pages", "writes"):
        if name not in arrays:
            raise InputError(f"{source}: no array {name!r} in the archive (pages, writes, threads)")
    return arrays


def pages_of(arrays: dict[str, NDArray[Any]], source: str) -> NDArray[Any]:
    """Returns the page number of each access, from the arrays of an archive.

    `Trace.save` writes the array `page_numbers`, and `pages` as indices into it from 0. A negative
    index is refused: NumPy would count it from the end.

    Raises:
        InputError: if an index or a page number is out of range.
    """
    pages, numbers = arrays["pages"], arrays.get("page_numbers")
    if numbers is None:
        return pages
    numbers = integers(f"{source}: page_numbers", numbers, np.uint64, (1 << 52) - 1)
    try:
        positions = integers("pages", pages, np.uint32, len(numbers) - 1)
    except InputError as error:
        raise InputError(f"{source}: 'pages' points outside of 'page_numbers': {error}") from None
    found: NDArray[Any] = numbers[positions]
    return found


def _whole(file: IO[bytes], source: str) -> IO[bytes]:
    """Reads an archive from a pipe into memory: `zipfile` seeks, and a pipe cannot."""
    pieces: list[bytes] = []
    size = 0
    while piece := file.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _PIPED:
            limit = format_size(_PIPED)
            raise InputError(
                f"{source}: an archive of more than {limit} cannot be read from a pipe"
            )
    return io.BytesIO(b"".join(pieces))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str, most: int) -> NDArray[Any]:
    if info.compress_type not in _METHODS:
        raise _DamagedError(f"{info.filename} is compressed by a method that NumPy does not use")
    with archive.open(info) as member:
        shape, dtype = _head(member, info)
        if len(shape) != 1:
            raise InputError(
                f"{source}: {info.filename}: one dimension is needed, not {len(shape)}"
            )
        if shape[0] == 0:
            return np.empty(0, np.uint8)
        if dtype.kind not in "uib":
            raise InputError(f"{source}: {info.filename}: integers are needed, not {dtype}")
        if shape[0] > most:
            raise InputError(f"{source}: {too_many(most)}")
        size = shape[0] * dtype.itemsize
        content = bytearray()
        # The array is read in pieces: the header may claim more bytes than the file has, and one
        # read would allocate them all.
        while len(content) < size:
            piece = member.read(min(_PIECE, size - len(content)))
            if not piece:
                raise _DamagedError(f"{info.filename} is shorter than its header says")
            content += piece
        # `zipfile` compares the checksum when the end of the member is read.
        if member.read(1):
            raise _DamagedError(f"{info.filename} is longer than its header says")
    return np.frombuffer(content, dtype)


def _head(member: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Reads the shape and type of an array from its header."""
    version = np.lib.format.read_magic(member)
    head = _Head(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(head)
    else:
        raise _DamagedError(f"{info.filename} has the unknown format version {version}")
    return shape, dtype


class _Head:
    """A file for the header parser that refuses a header of more than `_HEADER` bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = _HEADER, /) -> bytes:
        if size > _HEADER:
            raise _DamagedError("the header of an array is too long")
        return self._file.read(size)


def too_many(most: int) -> str:
    """The error text for a trace of more than `most` accesses."""
    return (
        f"more than {most:,} accesses, which is the limit: record a shorter run,"
        " or raise it with max_accesses (--max-accesses)"
    )

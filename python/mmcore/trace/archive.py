"""Traces as `.npz` archives: their arrays, none larger than a trace may be."""

from __future__ import annotations

import io
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmcore._units import format_size
from mmcore.errors import InputError
from mmcore.trace.arrays import integers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["ARRAYS", "pages_of", "read_archive", "too_many"]

#: The arrays that a trace has; others in the archive are not looked at.
ARRAYS = ("pages", "writes", "threads", "page_numbers")

#: What numpy writes. Others need more memory to read than the file says.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Bytes read at once. The list of an archive's members is one read, so this bounds it too.
_PIECE = 1 << 20

#: Bytes of an archive that comes through a pipe: it is kept in memory.
_PIPED = 1 << 30

#: Bytes that describe an array before its content: 1 KiB at the most in files of numpy's.
_HEADER = 1 << 16


class _Careful:
    """A file for `zipfile` that refuses to read more than a piece at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek: Callable[..., int] = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > _PIECE:
            raise _DamagedError("its list of members is too long")
        # `zipfile` asks for all that is left at the end of the archive, where a comment may be.
        data = self._file.read(_PIECE + 1 if size < 0 else size)
        if len(data) > _PIECE:
            raise _DamagedError("its end is not where an archive's is")
        return data


class _DamagedError(Exception):
    """An archive that numpy did not write."""


def read_archive(file: IO[bytes], source: str, most: int) -> dict[str, NDArray[Any]]:
    """The arrays of a trace.

    Args:
        file: the archive.
        source: its name, for errors.
        most: how many accesses a trace may have.

    Raises:
        InputError: if the archive is damaged, an array is missing, or one has more entries.
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
    """The page number of each access.

    `Trace.save` writes `page_numbers`, and pages as positions in it: from 0, as everywhere, and
    none counts from the end.
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
    """What comes through a pipe, where nothing can seek."""
    pieces: list[bytes] = []
    size = 0
    while piece := file.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _PIPED:
            limit = format_size(_PIPED)
            raise InputError(f"{source}: an archive of more than {limit} cannot come by a pipe")
    return io.BytesIO(b"".join(pieces))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str, most: int) -> NDArray[Any]:
    if info.compress_type not in _METHODS:
        raise _DamagedError(f"{info.filename} is compressed as numpy does not compress")
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
        # Not all at once: the file may say that there is much, and hold little.
        while len(content) < size:
            piece = member.read(min(_PIECE, size - len(content)))
            if not piece:
                raise _DamagedError(f"{info.filename} ends too early")
            content += piece
        # The end is where the checksum is compared.
        if member.read(1):
            raise _DamagedError(f"{info.filename} is longer than it says")
    return np.frombuffer(content, dtype)


def _head(member: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type of an array."""
    version = np.lib.format.read_magic(member)
    head = _Head(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(head)
    else:
        raise _DamagedError(f"{info.filename} has version {version} of the format")
    return shape, dtype


class _Head:
    """The beginning of an array's file; the length of the description is not to be trusted."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = _HEADER, /) -> bytes:
        if size > _HEADER:
            raise _DamagedError("an array's description is too long")
        return self._file.read(size)


def too_many(most: int) -> str:
    """Why a trace is refused that has more accesses than it may have."""
    return (
        f"more than {most:,} accesses, which is the limit: record a shorter run,"
        " or raise it with max_accesses (--max-accesses)"
    )

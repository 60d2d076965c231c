"""Reads traces of caches in the formats of libCacheSim: requests for objects instead of addresses.

Objects have no addresses. They are laid out one after another in the order of their first request,
each from the beginning of a page on and as long as its largest request; a request accesses each of
its pages in order.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._errors import InputError
from mmcore._trace.arrays import Numbering
from mmcore._trace.gathering import PAGE_SHIFT, Found, Pieces
from mmcore._trace.lines import lines, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["columns_of", "looks_like_oracle", "read_csv", "read_oracle"]

#: A record of `oracleGeneral`: time, object, size in bytes, and the number of the object's next
#: request, or -1 or the largest number if there is none.
_RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])

#: Requests whose objects are numbered at a time, and accesses whose pages are.
_STRETCH = 1 << 20

#: The names of a CSV file's columns, in small letters without `-` and `_`.
_COLUMNS = {
    "object": {"object", "objid", "objectid", "obj", "id", "key", "lbn", "lba", "block"},
    "size": {"size", "objsize", "objectsize", "bytes", "length"},
    "op": {"op", "optype", "operation", "opcode"},
}

#: Operations of a CSV file that write: words, and the codes of SCSI.
_WRITES = {"write", "w", "set", "put", "update", "insert", "add", "replace", "2a", "8a"}
_READS = {"read", "r", "get", "gets", "head", "28", "88"}


class _Requests:
    """Gathers requests; 9 bytes are kept for each."""

    def __init__(self, source: str, most: int) -> None:
        self._pieces = Pieces(source, most)
        self._objects = Numbering()
        self._requests: list[tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]] = []

    def add(
        self, objects: NDArray[np.uint64], sizes: NDArray[np.uint64], writes: NDArray[np.bool_]
    ) -> None:
        """Takes the next requests; a request of no bytes still accesses a page.

        Raises:
            InputError: if they make too many accesses.
        """
        counts = np.maximum((sizes + ((1 << PAGE_SHIFT) - 1)) >> PAGE_SHIFT, 1)
        self._pieces.make_room(int(counts.sum()))
        numbers = self._objects.add(objects)
        self._requests.append((numbers, counts.astype(np.uint32), writes))

    def found(self) -> Found:
        """Returns the accesses.

        Raises:
            InputError: if there are none.
        """
        pages = np.zeros(len(self._objects), np.uint64)
        for numbers, counts, _ in self._requests:
            np.maximum.at(pages, numbers, counts)
        begin = np.cumsum(pages) - pages
        for numbers, counts, writes in self._requests:
            # The requests are expanded in stretches, because one request may make many accesses.
            ends = np.cumsum(counts, dtype=np.int64)
            cuts = np.searchsorted(ends, np.arange(_STRETCH, ends[-1], _STRETCH)) + 1
            for part in np.split(np.arange(len(numbers)), cuts):
                self._expand(begin[numbers[part]], counts[part], writes[part])
        return self._pieces.found()

    def _expand(
        self, begin: NDArray[np.uint64], counts: NDArray[np.uint32], writes: NDArray[np.bool_]
    ) -> None:
        first = np.cumsum(counts, dtype=np.uint64) - counts
        within = np.arange(int(counts.sum()), dtype=np.uint64) - np.repeat(first, counts)
        pages = np.repeat(begin, counts) + within
        threads = np.zeros(len(pages), np.uint16)
        self._pieces.add(pages, np.repeat(writes, counts), threads)


def looks_like_oracle(head: bytes) -> bool:
    """True if data begins like a trace of `oracleGeneral`, which has no mark of its own."""
    records = np.frombuffer(head[: len(head) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
    return len(records) > 0 and _first_bad(records, 0, 0) is None and bool(records["size"].any())


def _first_bad(records: NDArray[Any], begin: int, time: int) -> int | None:
    """Returns the index of the first record that goes back in time, or whose next request does."""
    nexts, times = records["next"], records["time"]
    numbers = np.arange(begin, begin + len(records))
    bad = ((nexts != -1) & (nexts <= numbers)) | (times < np.concatenate(([time], times[:-1])))
    return int(bad.argmax()) if bad.any() else None


def read_oracle(chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads the records of `oracleGeneral`; all requests are reads.

    Raises:
        InputError: if a record is damaged or cut off, or there are more than `most` accesses.
    """
    requests = _Requests(source, most)
    rest, number, time = b"", 0, 0
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) // _RECORD.itemsize * _RECORD.itemsize
        records, rest = np.frombuffer(data[:whole], _RECORD), data[whole:]
        if not len(records):
            continue
        bad = _first_bad(records, number, time)
        if bad is not None:
            raise InputError(
                f"{source}: record {number + bad + 1} is not one of oracleGeneral: its time is"
                " before that of the record before it, or its next request before itself"
            )
        sizes = records["size"].astype(np.uint64)
        requests.add(records["object"].copy(), sizes, np.zeros(len(records), np.bool_))
        number, time = number + len(records), int(records["time"][-1])
    if rest:
        raise InputError(f"{source}: record {number + 1} of oracleGeneral is cut off")
    return requests.found()


@dataclass(frozen=True)
class _Columns:
    """The columns of a CSV file.

    Attributes:
        count: the number of columns.
        object: the column of the object.
        size: the column of the size; None without one.
        op: the column of the operation; None without one.
        header: whether the first line names them.
    """

    count: int
    object: int
    size: int | None
    op: int | None
    header: bool


def columns_of(line: bytes) -> _Columns | None:
    """Finds the columns from the first line of a file; None if the file is no CSV of requests.

    Without a header the columns are time, object and size, as libCacheSim prints them.
    """
    if re.fullmatch(rb"\s*[0-9.]+(?:,\s*[0-9]+){2,}\s*", line):
        return _Columns(line.count(b",") + 1, 1, 2, None, header=False)
    words = line.decode("ascii", "replace").split(",")
    names = [re.sub(r"[-_\s#]", "", word).lower() for word in words]
    at: dict[str, int] = {}
    for column, known in _COLUMNS.items():
        places = [place for place, name in enumerate(names) if name in known]
        if places:
            at[column] = places[0]
    if "object" not in at or len(names) < 2:
        return None
    return _Columns(len(names), at["object"], at.get("size"), at.get("op"), header=True)


def read_csv(columns: _Columns, chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads a CSV file of requests.

    Raises:
        InputError: if a line lacks a column or has a value of a wrong kind, or there are no
            accesses or more than `most`.
    """
    requests = _Requests(source, most)
    objects, sizes, writes = array("Q"), array("Q"), bytearray()

    def flush() -> None:
        nonlocal objects, sizes, writes
        written = np.frombuffer(bytes(writes), np.bool_)
        requests.add(np.array(objects, np.uint64), np.array(sizes, np.uint64), written)
        objects, sizes, writes = array("Q"), array("Q"), bytearray()

    for number, line in enumerate(lines(chunks, source), 1):
        if (number == 1 and columns.header) or not line.strip():
            continue
        try:
            name, size, write = _request(columns, line.split(b","))
        except ValueError as error:
            raise InputError(f"{source}: line {number}: {error}: {quoted(line)}") from None
        objects.append(name)
        sizes.append(size)
        writes.append(write)
        if len(objects) >= _STRETCH:
            flush()
    if objects:
        flush()
    return requests.found()


def _request(columns: _Columns, words: Sequence[bytes]) -> tuple[int, int, bool]:
    """Returns the object, size and kind of one line; ValueError if one of them is malformed."""
    if len(words) != columns.count:
        raise ValueError(f"{columns.count} columns are needed, not {len(words)}")
    name, size, write = words[columns.object].strip(), 1, False
    if not name:
        raise ValueError("the object is missing")
    if columns.size is not None:
        parsed = _decimal(words[columns.size].strip())
        if parsed is None or parsed >= 1 << 48:
            raise ValueError("the size is no number of bytes")
        size = parsed
    if columns.op is not None:
        op = words[columns.op].strip().decode("ascii", "replace").lower().removeprefix("0x")
        if op not in _WRITES and op not in _READS:
            raise ValueError("the operation neither reads nor writes")
        write = op in _WRITES
    number = _decimal(name)
    if number is None:
        # Two names have the same number by chance less than once in a billion traces.
        number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
    return number, size, write


def _decimal(word: bytes) -> int | None:
    """Reads a number of 64 bits; None if the word is no such number."""
    number = int(word) if word.isdigit() and len(word) <= 20 else None
    return None if number is None or number >= 1 << 64 else number

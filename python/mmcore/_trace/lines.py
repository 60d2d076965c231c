"""Reads text formats with one access a line: drmemtrace, perf, pinatrace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcore._errors import InputError
from mmcore._trace.gathering import Found, Gathering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FORMATS", "LineFormat", "format_of", "lines", "quoted", "read_lines"]

#: The longest line that is read; the formats have lines of a few hundred bytes. The time of a
#: pattern grows with the square of the line's length, if the line is made for that.
_LONGEST = 1 << 12


@dataclass(frozen=True)
class LineFormat:
    """A text format.

    Attributes:
        made_by: the command that prints it, for errors.
        access: an access, with the groups `op` and `addr`, and `size` and `tid` if it has them.
        remark: every other line of an intact file.
        mark: a line by which the format is recognised.
        writes: whether the access of this `op` writes; None if the line is no access; a LookupError
            if `op` does not tell.
        no_address: whether address 0 stands for an access without an address.
    """

    made_by: str
    access: re.Pattern[bytes]
    remark: re.Pattern[bytes]
    mark: re.Pattern[bytes]
    writes: Callable[[bytes], bool | None]
    no_address: bool = False


def _perf_event(event: bytes) -> bool | None:
    """Returns whether a sample of this event is of a store."""
    if b"aux" in event:
        # An event that only helps another one, and has no address.
        return None
    for word, writes in ((b"load", False), (b"store", True)):
        if word in event:
            return writes
    raise LookupError


#: Record number, instruction number (not in old versions), and the thread: `2765542`, `T2765542`
#: or `W0.T2765542`.
_RECORD = rb"\s*[0-9]{1,20}(?:\s+[0-9]{1,20})?:\s+(?P<tid>(?:W[0-9]{1,20}\.)?T?[0-9]{1,20})\s+"

_DRMEMTRACE = LineFormat(
    made_by="drrun -t drmemtrace -tool view -indir DIRECTORY",
    access=re.compile(
        _RECORD + rb"(?P<op>read|write)\s+(?P<size>[0-9]{1,10}) byte\(s\) @ "
        rb"0x(?P<addr>[0-9a-f]{1,16})(?: by PC 0x[0-9a-f]{1,16})?\s*"
    ),
    # Records of other kinds, the second line of a long instruction, the head, and the totals.
    remark=re.compile(
        _RECORD + rb"(?!read\b|write\b).*|\s{24,}[0-9a-f]{2,}\b.*|\s*[0-9]+ : total .*"
        rb"|(?:Output format:|<-*record.*|-{20,}|View tool results:)?\s*"
    ),
    mark=re.compile(rb"<-*record#-*>.*|" + _RECORD + rb"(?:<marker: |(?:ifetch|read|write)\b).*"),
    writes={b"read": False, b"write": True}.__getitem__,
)

_PERF = LineFormat(
    made_by="perf script -F tid,time,event,addr, of `perf mem record`",
    # The line ends with the address: with more fields, the last one may be the instruction's.
    access=re.compile(
        rb"(?:.*[\s/])?(?P<tid>[0-9]{1,10})\s+(?:\[[0-9]+\]\s+)?[0-9]+\.[0-9]+:\s+(?:[0-9]+\s+)?"
        rb"(?P<op>[^\s:]\S*):\s+(?P<addr>[0-9a-f]{1,16})\s*"
    ),
    remark=re.compile(rb"#.*|\s*"),
    mark=re.compile(rb".*[0-9]+\s+(?:\[[0-9]+\]\s+)?[0-9]+\.[0-9]+:\s+.*\S:\s+[0-9a-f]{1,16}\b.*"),
    writes=_perf_event,
    no_address=True,
)

_PINATRACE = LineFormat(
    made_by="Intel Pin's pinatrace",
    access=re.compile(
        rb"0x[0-9a-f]{1,16}: (?P<op>[RW]) 0x(?P<addr>[0-9a-f]{1,16})"
        rb"(?:\s+(?P<size>[0-9]{1,10})(?:\s+0x[0-9a-f]+)?)?\s*"
    ),
    remark=re.compile(rb"#.*|\s*"),
    mark=re.compile(rb"0x[0-9a-f]{1,16}: [RW] 0x[0-9a-f]{1,16}\b.*"),
    writes={b"R": False, b"W": True}.__getitem__,
)

FORMATS = (_DRMEMTRACE, _PINATRACE, _PERF)


def format_of(line: bytes) -> LineFormat | None:
    """Returns the format that a line is a mark of; None if it marks no format."""
    for form in FORMATS:
        if len(line) <= _LONGEST and form.mark.fullmatch(line.rstrip(b"\r")):
            return form
    return None


def lines(chunks: Iterator[bytes], source: str) -> Iterator[bytes]:
    """Splits a text into lines, without their ends.

    Raises:
        InputError: at a line that is too long to be one of a trace.
    """
    rest, number = b"", 0
    for chunk in chunks:
        parts = (rest + chunk).split(b"\n")
        rest = parts.pop()
        for at, line in enumerate((*parts, rest), number + 1):
            if len(line) > _LONGEST:
                raise InputError(f"{source}: line {at}: longer than {_LONGEST:,} bytes")
        number += len(parts)
        yield from parts
    if rest:
        yield rest


def quoted(line: bytes) -> str:
    """A line for an error text, cut after 60 characters."""
    text = line.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def read_lines(form: LineFormat, chunks: Iterator[bytes], source: str, most: int) -> Found:
    """Reads the accesses of a text.

    Raises:
        InputError: if a line is not of the format, or there are no accesses or more than `most`.
    """
    gathering = Gathering(source, most)
    access, remark, kinds = form.access.fullmatch, form.remark.fullmatch, {}
    sized, named = ("size" in form.access.groupindex, "tid" in form.access.groupindex)
    for number, line in enumerate(lines(chunks, source), 1):
        found = access(line)
        if found is None:
            if remark(line):
                continue
            message = f"expected what {form.made_by} prints"
            raise InputError(
                f"{source}: line {number}: no memory access: {quoted(line)} ({message})"
            )
        op = found["op"]
        if op not in kinds:
            try:
                kinds[op] = form.writes(op)
            except LookupError:
                message = f"{quoted(op)} does not tell whether the access reads or writes"
                raise InputError(f"{source}: line {number}: {message}") from None
        address, writes = int(found["addr"], 16), kinds[op]
        if writes is None or (form.no_address and address == 0):
            continue
        size = int(found["size"] or 1) if sized else 1
        try:
            gathering.add(address, size, writes, found["tid"] if named else None)
        except InputError as error:
            message = str(error)
            where = "" if message.startswith(f"{source}: ") else f"{source}: line {number}: "
            raise InputError(f"{where}{message}") from None
    return gathering.found()

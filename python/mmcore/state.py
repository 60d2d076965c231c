"""What a machine looked like at one moment, as plain data.

Everything here is a value: it outlives the machine, compares by content and can be pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mmcore.errors import FindingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PAGE_STATE", "Audit", "Finding", "Holder", "Migrated", "PageState", "Signal"]

PAGE_STATE: Final = np.dtype(
    [
        ("flags", np.uint64),
        ("refcount", np.uint32),
        ("mapcount", np.uint32),
        ("pfn", np.uint32),
        ("node", np.uint8),
        ("order", np.uint8),
        ("reserved", np.uint16),
    ]
)
"""The fields of `Machine.page_states`; the bits of ``flags`` are in `mmcore.FLAGS`."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds references on a page.

    Attributes:
        kind: ``entry``, ``batch``, ``driver``, ``cache``, ``private``, ``swap``, ``poison``,
            ``fault``, ``reference``, ``pin``, ``isolation``, ``lock``, ``freeze`` or ``writeback``.
        references: how many the holder accounts for.
        text: the holder in words.
    """

    kind: str
    references: int
    text: str

    def __str__(self) -> str:
        """The holder in words."""
        return self.text


@dataclass(frozen=True, slots=True)
class PageState:
    """A page as it was seen.

    Attributes:
        pfn: the frame's number.
        node: the frame's node.
        order: log2 of the number of base pages.
        refcount: the reference count.
        mapcount: page-table entries that mapped it.
        flags: the names of the flags that were set.
        holders: who held references.
    """

    pfn: int
    node: int
    order: int
    refcount: int
    mapcount: int
    flags: tuple[str, ...]
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """A SIGBUS by which a process was told of a lost page.

    Attributes:
        space: the address space's number.
        address: the page there.
        code: ``BUS_MCEERR_AR`` to who has touched the page, ``BUS_MCEERR_AO`` to who may want to
            know.
    """

    space: int
    address: int
    code: str


@dataclass(frozen=True, slots=True, eq=False)
class Migrated:
    """What `Machine.migrate_pages` did.

    Attributes:
        ret: what the kernel's function returns: how many of the pages that it tried are left, or a
            negative errno if it ended early.
        succeeded: base pages that moved, or that their users had let go of meanwhile.
        status: for each page the node where it is now, or a negative errno: EBUSY if it could not
            be isolated or cannot move, EAGAIN if somebody was in the way on every attempt, ENOMEM
            if there was no frame for it, ENOENT if it was freed; `UNWRITTEN` if it was not tried.
        pfns: for each page the frame where its content is now; -1 if it was freed.
    """

    ret: int
    succeeded: int
    status: NDArray[np.int32]
    pfns: NDArray[np.int64]

    def __repr__(self) -> str:
        """The numbers."""
        return f"<Migrated ret={self.ret} succeeded={self.succeeded} of {len(self.status)}>"


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule.

    Attributes:
        rule: the rule, in the same words for every instance.
        pfn: the frame concerned; None if the rule is about the whole machine.
        detail: what was found, holders included.
    """

    rule: str
    pfn: int | None
    detail: str

    def __str__(self) -> str:
        """The finding on one line."""
        where = "" if self.pfn is None else f"page {self.pfn:#x}: "
        return f"{self.rule}: {where}{self.detail}"


class Audit(tuple[Finding, ...]):
    """What `Machine.audit` found: a tuple of findings; empty, and so false, for a clean machine."""

    __slots__ = ()

    def raise_for_findings(self) -> None:
        """Raises `FindingError` with every finding, if there is one."""
        if self:
            raise FindingError("\n".join(map(str, self)))

    def __repr__(self) -> str:
        """Every finding on a line of its own."""
        if not self:
            return "<Audit clean>"
        return "\n".join([f"<Audit {len(self)} findings>", *map(str, self)])

"""The state of a machine at one moment, as plain data.

The classes are values: they stay valid after the machine is closed and can be pickled. All but
`Migrated`, which has arrays, compare by content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mmcore import _notebook as notebook
from mmcore._errors import FindingError
from mmcore._page_state import Holder, PageState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcore.typing import CompactStatus, SignalCode

__all__ = [
    "PAGE_STATE",
    "Audit",
    "Compacted",
    "CompactionState",
    "Evicted",
    "FaultHit",
    "FieldText",
    "Finding",
    "Holder",
    "Migrated",
    "Move",
    "PageState",
    "Reclaimed",
    "Signal",
    "SwapUse",
    "Watermarks",
    "ZramUse",
    "ZsUse",
    "ZspageCount",
]

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
"""The fields of `Machine.page_states`; the bits of ``flags`` are in `mmcore.results.FLAGS`."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A SIGBUS that a process received for a lost page.

    Attributes:
        space: the number of the address space.
        address: the virtual address of the page.
        code: ``BUS_MCEERR_AR`` if the process touched the page, ``BUS_MCEERR_AO`` if it is informed
            before it does.
    """

    space: int
    address: int
    code: SignalCode


@dataclass(frozen=True, slots=True, eq=False)
class Migrated:
    """The result of `Machine.migrate_pages`.

    Attributes:
        ret: the return value of the kernel's function: the number of pages that it tried and did
            not migrate, or a negative errno if it ended early.
        succeeded: the number of base pages that moved, or were freed meanwhile by their users.
        status: for each page its node after the call, or a negative errno: EBUSY if the page could
            not be isolated or cannot move, EAGAIN if a lock or reference was in the way in every
            pass, ENOMEM if no frame was free, ENOENT if the page was freed; `UNWRITTEN` if the
            page was not tried. Shape (pages,), int32.
        pfns: for each page the frame of its content after the call; -1 if the page was freed. Shape
            (pages,), int64.
    """

    ret: int
    succeeded: int
    status: NDArray[np.int32]
    pfns: NDArray[np.int64]

    def __repr__(self) -> str:
        """The return value and the counts."""
        return f"<Migrated ret={self.ret} succeeded={self.succeeded} of {len(self.status)}>"


class Move(NamedTuple):
    """One page that moved, by its frame numbers.

    Attributes:
        source: the frame that the page left.
        target: the frame to which it moved.
    """

    source: int
    target: int


class Compacted(NamedTuple):
    """The result of a run of compaction: `Machine.compact`, `compact_for`, `kcompactd` and others.

    Attributes:
        status: the end of the run. ``complete``: the whole node was scanned. ``partial_skipped``:
            the scanners met, but had begun within the node. ``success``: a block of the wanted
            order is free, or the fragmentation is low enough. ``contended``: the run stopped early,
            because a signal came, no frame was left to move to, or many pages were isolated.
            ``skipped``: too little memory was free for a run, or, for a large block, the free
            memory was little fragmented. ``deferred``: recent runs failed, so this one was left
            out.
        migrated: the number of pages that moved, in base pages.
        migrate_scanned: the number of frames at which the migrate scanner looked.
        free_scanned: the number of frames at which the free scanner looked.
        isolated: the number of pages and free frames that the scanners took.
        blocks_gained: the number of wholly free pageblocks after the run, less that before it.
        moves: each page that moved, in order, if asked for.
    """

    status: CompactStatus
    migrated: int
    migrate_scanned: int
    free_scanned: int
    isolated: int
    blocks_gained: int
    moves: tuple[Move, ...]


class CompactionState(NamedTuple):
    """The state that a node keeps between two runs of compaction.

    Frames are numbers within the node.

    Attributes:
        migrate_async: the frame where the migrate scanner of the next asynchronous run begins.
        migrate_sync: the same for other runs.
        free: the frame where the next free scanner begins.
        skip_hints: for each pageblock whether the scanners pass over it.
        considered: the number of requests left out since the last failure.
        defer_limit: after a failure, the number of requests up to and with the one that runs again.
        order_failed: the smallest order for which requests are left out.
    """

    migrate_async: int
    migrate_sync: int
    free: int
    skip_hints: tuple[bool, ...]
    considered: int
    defer_limit: int
    order_failed: int


class Evicted(NamedTuple):
    """The result of `File.evict` and of `Machine.drop_caches`.

    Attributes:
        evicted: the number of pages that left the page cache.
        kept: the number of pages that had to stay in it.
    """

    evicted: int
    kept: int


class Reclaimed(NamedTuple):
    """The result of `Machine.reclaim_pages`; pages in neither number are back on their lists.

    Attributes:
        demoted: the number of pages that moved to the slower node.
        freed: the number of pages that were freed.
    """

    demoted: int
    freed: int


class SwapUse(NamedTuple):
    """The use of the swap space of a machine.

    Attributes:
        total: the size in pages; 0 for a machine without swap space.
        used: the number of pages in use.
    """

    total: int
    used: int


class Watermarks(NamedTuple):
    """The watermarks of a node, in frames.

    Attributes:
        min: below this, only threads that reclaim get frames.
        low: below this, allocations wake the daemon that reclaims.
        high: at this, the daemon stops.
    """

    min: int
    low: int
    high: int


class ZsUse(NamedTuple):
    """The use of a pool of zsmalloc.

    Attributes:
        pages: the pages of its zspages.
        objects: the number of objects.
        compacted: the pages that compactions of the pool have freed so far.
    """

    pages: int
    objects: int
    compacted: int


class ZspageCount(NamedTuple):
    """Zspages that are alike.

    Attributes:
        size_class: the number of the class, whose objects have 32 + 16 times that many bytes.
        objects: the number of objects in each.
        pages: the number of pages of each.
        zspages: the number of such zspages.
    """

    size_class: int
    objects: int
    pages: int
    zspages: int


class ZramUse(NamedTuple):
    """The counters of a zram device, in the order of the file mm_stat.

    Attributes:
        orig: the bytes of the written content.
        compr: the bytes of the compressed content.
        used: the bytes of the pool's pages.
        limit: the bytes that the pool's pages may have; 0 without a limit.
        used_max: the most bytes that the pool's pages had.
        same: the number of blocks of one repeated word.
        compacted: the pages that compactions of the pool have freed so far.
        huge: the number of blocks that do not compress.
    """

    orig: int
    compr: int
    used: int
    limit: int
    used_max: int
    same: int
    compacted: int
    huge: int


class FaultHit(NamedTuple):
    """The place at which an injected fault took effect.

    Attributes:
        site: the place in words.
        pfn: the number of the frame; None if the place has no frame.
    """

    site: str
    pfn: int | None


class FieldText(NamedTuple):
    """The description of a field of a profile.

    Attributes:
        meaning: the behaviour that the field selects.
        source: the source of the behaviour.
    """

    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule.

    Attributes:
        rule: the rule; the same text for every violation of it.
        pfn: the number of the frame; None for a rule about the whole machine.
        detail: the evidence, with the holders of the page.
    """

    rule: str
    pfn: int | None
    detail: str

    def __str__(self) -> str:
        """The finding on one line."""
        where = "" if self.pfn is None else f"page {self.pfn:#x}: "
        return f"{self.rule}: {where}{self.detail}"


class Audit(tuple[Finding, ...]):
    """The findings of `Machine.audit`, a tuple; empty, and so false, for a clean machine."""

    __slots__ = ()

    def raise_for_findings(self) -> None:
        """Raises an exception if the audit has findings.

        Raises:
            FindingError: if there are findings; the message has one line for each.
        """
        if self:
            raise FindingError("\n".join(map(str, self)))

    def __repr__(self) -> str:
        """Every finding on a line of its own."""
        if not self:
            return "<Audit clean>"
        return "\n".join([f"<Audit {len(self)} findings>", *map(str, self)])


# Notebooks show a value of each class as a table of its attributes.
for _name in __all__:
    _class = globals()[_name]
    if isinstance(_class, type) and _class is not Audit:
        setattr(_class, "_repr_html_", notebook.of_value)  # noqa: B010 - no class declares it
Audit._repr_html_ = notebook.of_findings  # type: ignore[attr-defined]

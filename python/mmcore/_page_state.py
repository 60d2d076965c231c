"""The state of a page as plain data, which exceptions carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore.typing import HolderKind, PageFlag

__all__ = ["Holder", "PageState"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder of references on a page.

    Attributes:
        kind: ``entry``, ``batch``, ``driver``, ``cache``, ``private``, ``swap``, ``poison``,
            ``huge_pool``, ``fault``, ``reference``, ``pin``, ``isolation``, ``lock``, ``freeze`` or
            ``writeback``.
        references: the number of references that it holds.
        text: the holder in words.
    """

    kind: HolderKind
    references: int
    text: str

    def __str__(self) -> str:
        """The holder in words."""
        return self.text


@dataclass(frozen=True, slots=True)
class PageState:
    """The state of a page.

    Attributes:
        pfn: the frame's number.
        node: the frame's node.
        order: log2 of the number of base pages in the page.
        refcount: the reference count.
        mapcount: the number of page-table entries that map the page.
        flags: the names of the flags that are set.
        holders: the holders of references on the page.
    """

    pfn: int
    node: int
    order: int
    refcount: int
    mapcount: int
    flags: tuple[PageFlag, ...]
    holders: tuple[Holder, ...]

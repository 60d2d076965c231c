"""The things of the model: frames, entries, mappings."""

from dataclasses import dataclass, field

PIN = 1024
NODES = (0, 1)
MOVES = ("rotate", "deactivate_file", "deactivate", "lazyfree", "activate")
#: Flags that /proc/kpageflags shows of a present anonymous page.
SHOWN = ("REFERENCED", "UPTODATE", "DIRTY", "LRU", "ACTIVE", "SWAPBACKED", "UNEVICTABLE", "MLOCKED")


class Refused(Exception):  # noqa: N818 - an errno
    """A system call fails."""


@dataclass(eq=False)
class Frame:
    """One frame in use: who holds it, and what it says of itself."""

    node: int
    content: int = 0
    flags: set = field(default_factory=set)
    maps: list = field(default_factory=list)
    held: int = 0
    queued: int = 0
    isolated: int = 0
    locks: int = 0

    @property
    def count(self):
        return len(self.maps) + self.held + self.queued + self.isolated

    @property
    def list(self):
        """The LRU list that it is on."""
        if "LRU" not in self.flags:
            return None
        if "UNEVICTABLE" in self.flags:
            return "nr_unevictable"
        active = "active" if "ACTIVE" in self.flags else "inactive"
        return f"nr_{active}_{'anon' if 'SWAPBACKED' in self.flags else 'file'}"


ZERO = Frame(node=-1)


@dataclass(eq=False)
class Entry:
    """A page-table entry that maps a frame."""

    frame: Frame
    write: bool = False
    young: bool = False
    dirty: bool = False


@dataclass(eq=False)
class Region:
    """A mapping in one address space. A child's copy has the same number."""

    number: int
    pages: int
    node: int
    locked: set = field(default_factory=set)
    gone: set = field(default_factory=set)
    entries: dict = field(default_factory=dict)
    #: What each page must hold; a page that is not there holds 0.
    holds: dict = field(default_factory=dict)
    #: May be thrown away: what it holds, or 0.
    free: set = field(default_factory=set)

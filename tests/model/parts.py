"""The objects of the model: frames, entries, files, mappings."""

from dataclasses import dataclass, field

PIN = 1024
NODES = (0, 1)
MOVES = ("rotate", "deactivate_file", "deactivate", "lazyfree", "activate")
#: Flags that /proc/kpageflags shows of a present page.
SHOWN = ("REFERENCED", "UPTODATE", "DIRTY", "LRU", "ACTIVE", "RECLAIM", "SWAPBACKED", "UNEVICTABLE")
SHOWN += ("MLOCKED", "ANON", "MAPPEDTODISK", "PRIVATE")


class Refused(Exception):  # noqa: N818 - an errno
    """The errno of a failed system call."""


@dataclass(eq=False)
class Frame:
    """A frame in use, with its references, flags and content."""

    node: int
    content: int = 0
    flags: set = field(default_factory=set)
    maps: list = field(default_factory=list)
    held: int = 0
    queued: int = 0
    isolated: int = 0
    locks: int = 0
    #: The file whose cache it is in, and its index there.
    file: tuple | None = None
    #: Its slot of the swap space, if it is in the swap cache.
    slot: object | None = None

    @property
    def owned(self):
        """The references of caches: of the file, of the file's buffers, of the swap cache."""
        caches = (self.file is not None) + (self.slot is not None)
        return caches + ("PRIVATE" in self.flags)

    @property
    def count(self):
        return len(self.maps) + self.held + self.queued + self.isolated + self.owned

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
class File:
    """A file: its cache, and the content of the disk for a file of a disk."""

    kind: str
    pages: int
    slots: dict = field(default_factory=dict)
    swapped: dict = field(default_factory=dict)
    disk: dict = field(default_factory=dict)
    #: By index, the time and the node of a page's eviction.
    shadows: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    regions: set = field(default_factory=set)
    named: bool = True
    last_read: int | None = None
    policy: dict = field(default_factory=dict)

    @property
    def of_disk(self):
        return self.kind == "file"


@dataclass(eq=False)
class Region:
    """A mapping in one address space. A child's copy has the same number."""

    number: int
    pages: int
    node: int
    locked: set = field(default_factory=set)
    gone: set = field(default_factory=set)
    entries: dict = field(default_factory=dict)
    swapped: dict = field(default_factory=dict)
    #: By index, the expected content of pages; 0 for all others.
    holds: dict = field(default_factory=dict)
    #: Pages under MADV_FREE, which hold their content or 0.
    free: set = field(default_factory=set)
    file: File | None = None
    private: bool = False
    #: The policies of mbind: a node, and whether it is only preferred.
    policy: dict = field(default_factory=dict)
    #: Pages whose entries a fork copies: those of stretches that ever had a private page.
    forks: set = field(default_factory=set)

    @property
    def shared(self):
        return self.file is not None and not self.private

    def must_hold(self, index):
        if self.file is not None and (self.shared or index not in self.holds):
            return self.file.holds.get(index, 0)
        return self.holds.get(index, 0)

    def kind(self, index):
        return index in self.gone, index in self.locked, self.policy.get(index)

    def merge(self):
        """Extends `forks` over stretches that became one because their properties are equal now."""
        for stretch in self.stretches(range(self.pages)):
            if self.forks & set(stretch):
                self.forks |= set(stretch)

    def stretches(self, selected):
        runs, last = [], None
        for index in selected:
            kind = self.kind(index)
            if kind != last:
                runs.append([])
            runs[-1].append(index)
            last = kind
        return runs

    def node_for(self, index, preferred):
        """The node for a new private page. For a file in memory the file has the policy."""
        policy = self.policy if self.file is None or self.file.of_disk else self.file.policy
        return policy.get(index, (preferred, None))[0]

    def note_anon(self, index):
        """Notes a private page: a fork copies the stretch of equal properties around it."""
        if index in self.forks:
            return
        for step in (-1, 1):
            at = index
            while 0 <= at < self.pages and self.kind(at) == self.kind(index):
                if at != index and at in self.forks:
                    break
                self.forks.add(at)
                at += step

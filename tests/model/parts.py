"""The things of the model: frames, entries, mappings."""

from dataclasses import dataclass, field

PIN = 1024
NODES = (0, 1)
MOVES = ("rotate", "deactivate_file", "deactivate", "lazyfree", "activate")
#: Flags that /proc/kpageflags shows of a present page.
SHOWN = ("REFERENCED", "UPTODATE", "DIRTY", "LRU", "ACTIVE", "RECLAIM", "SWAPBACKED", "UNEVICTABLE")
SHOWN += ("MLOCKED", "ANON", "MAPPEDTODISK", "PRIVATE")


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
    #: The file whose cache it is in, and which page of it.
    file: tuple | None = None
    #: The slot of the swap space that it has: it is in the swap cache.
    slot: object | None = None

    @property
    def owned(self):
        """References of its file: the slot's, and that of the buffers; or of the swap cache."""
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
    """A file: what its cache has, and for one of a disk what is stored there."""

    kind: str
    pages: int
    slots: dict = field(default_factory=dict)
    swapped: dict = field(default_factory=dict)
    disk: dict = field(default_factory=dict)
    #: When and from which node reclaim took a page.
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
    #: What each page must hold; a page that is not there holds 0.
    holds: dict = field(default_factory=dict)
    #: May be thrown away: what it holds, or 0.
    free: set = field(default_factory=set)
    file: File | None = None
    private: bool = False
    #: What mbind said: a node, and whether it is only preferred.
    policy: dict = field(default_factory=dict)
    #: Pages whose entries a fork copies: around those that were ever the process's own.
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
        """What is alike now is one stretch, for a fork too."""
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
        """Where a page of its own comes from: in memory, the file has the policy."""
        policy = self.policy if self.file is None or self.file.of_disk else self.file.policy
        return policy.get(index, (preferred, None))[0]

    def note_anon(self, index):
        """A page of its own: so may all be around it, as far as the same holds for them."""
        if index in self.forks:
            return
        for step in (-1, 1):
            at = index
            while 0 <= at < self.pages and self.kind(at) == self.kind(index):
                if at != index and at in self.forks:
                    break
                self.forks.add(at)
                at += step

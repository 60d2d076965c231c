"""Anonymous memory of one process and its children, one operation after the other: a model.

What the core does with atomics, locks and batches is here done with lists and sets. A page's counts
and every counter are never kept, but added up from who holds what; what a page must hold is kept
apart from the frames that hold it. `Model.step` takes one line of a program and returns what can be
seen afterwards, in the words of recordings (docs/conformance.md).
"""

from collections import Counter
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


class Model:
    def __init__(self, profile):
        self.profile = profile
        self.frames = set()
        self.regions = {}
        self.children = {}
        self.pins = {}
        self.pipes = []
        self.events = Counter()
        self.add, self.mlock = [], []
        self.moves = {move: [] for move in MOVES}
        self.no_batches = False
        self.made = 0
        self.writes = 0
        self.last_frames = {}

    # --- One line, and what is seen after it ------------------------------------------------------

    def step(self, line):
        name, *words = line.split()
        before = self.counters()
        seen = {"ret": 0}
        try:
            seen |= getattr(self, f"op_{name}")(*words) or {}
        except Refused as error:
            seen |= {"ret": -1, "errno": str(error)}
            if name in ("unmap", "mlock", "munlock", "madv"):
                seen["calls_ret"] = [[1, f"-{error}"]]
        after = self.counters()
        for place, values in after.items():
            keys = values.keys() | before[place].keys()
            deltas = {key: values[key] - before[place][key] for key in keys}
            seen[place] = {key: delta for key, delta in deltas.items() if delta}
        seen["pages"] = {name: self.shown(region) for name, region in self.regions.items()}
        seen["child"] = {
            child: {name: self.view(regions, name) for name in self.regions}
            for child, regions in self.children.items()
        }
        return seen

    def counters(self):
        counters = {"vm": Counter(self.events)}
        for node in NODES:
            counted = counters[f"n{node}"] = Counter()
            for frame in self.frames:
                if frame.node == node:
                    counted[frame.list] += 1
                    counted["nr_anon_pages"] += bool(frame.maps)
                    counted["nr_mlock"] += "MLOCKED" in frame.flags
            del counted[None]
        return counters

    def shown(self, region):
        pages = {}
        for index in range(region.pages):
            entry = region.entries.get(index)
            frame = entry.frame if entry else None
            before = self.last_frames.get((region, index))
            self.last_frames[region, index] = frame
            if frame is None:
                pages[index] = {"pte": "-"}
                continue
            moved = int(before is not None and before is not frame)
            data = self.data(region, index, frame)
            flags = "RESERVED|ZERO_PAGE" if frame is ZERO else self.flags(frame)
            count, mapcount = (0, 0) if frame is ZERO else (frame.count, len(frame.maps))
            pages[index] = {"pte": "P", "node": frame.node, "moved": moved * (frame is not ZERO)}
            pages[index] |= {"flags": flags, "ref": count, "map": mapcount, "data": data}
        return pages

    @staticmethod
    def data(region, index, frame):
        if index in region.free:
            return "any"
        if frame.content == region.holds.get(index, 0):
            return "ok"
        return "zero" if frame.content == 0 else "bad"

    def flags(self, frame):
        names = [flag for flag in SHOWN if flag in frame.flags] + ["ANON"]
        names += ["MMAP"] * bool(frame.maps) + ["KSM"] * bool(self.profile["kpageflags_ksm"])
        names += ["ANON_EXCLUSIVE"] * ("EXCLUSIVE" in frame.flags)
        return "|".join(sorted(names))

    def view(self, regions, name):
        mine, theirs = self.regions[name], regions.get(name)
        letters = []
        for index in range(mine.pages):
            entry = theirs.entries.get(index) if theirs and theirs.number == mine.number else None
            own = mine.entries.get(index)
            if entry is None:
                letters.append("-")
            elif entry.frame is ZERO:
                letters.append("z")
            elif own and own.frame is entry.frame:
                letters.append("=")
            else:
                letters.append("PQ"[entry.frame.node])
        return "".join(letters)

    # --- Frames and their references --------------------------------------------------------------

    def frame(self, node):
        frame = Frame(node)
        self.frames.add(frame)
        return frame

    def let_go(self, frame):
        """A reference less: the last one frees."""
        if frame.count == 0:
            self.frames.discard(frame)
            self.events["unevictable_pgs_cleared"] += "MLOCKED" in frame.flags

    def map_frame(self, region, index, frame, **bits):
        frame.maps.append((region, index))
        region.entries[index] = Entry(frame, **bits)

    def unmap_frame(self, region, index):
        entry = region.entries.pop(index)
        entry.frame.maps.remove((region, index))
        return entry

    # --- Batches and lists ------------------------------------------------------------------------

    def queue(self, batch, frame, drain):
        frame.queued += 1
        batch.append(frame)
        if len(batch) >= self.profile["pagevec"] or self.no_batches:
            drain()

    def unqueue(self, batch, settle):
        frames, batch[:] = list(batch), []
        for frame in frames:
            settle(frame)
        for frame in frames:
            frame.queued -= 1
            self.let_go(frame)

    def lru_add(self, frame):
        self.queue(self.add, frame, lambda: self.unqueue(self.add, self.insert))

    def insert(self, frame):
        """A page comes on a list: whether it is evictable is looked at now."""
        if "MLOCKED" in frame.flags:
            if "UNEVICTABLE" not in frame.flags:
                self.events["unevictable_pgs_culled"] += 1
            frame.flags |= {"UNEVICTABLE"}
            frame.flags -= {"ACTIVE"}
            frame.locks = 1
        elif "UNEVICTABLE" in frame.flags:
            frame.flags -= {"UNEVICTABLE"}
            self.events["unevictable_pgs_rescued"] += 1
        frame.flags |= {"LRU"}

    def queue_move(self, frame, move):
        batch = self.moves[move]
        self.queue(batch, frame, lambda: self.unqueue(batch, lambda frame: self.move(frame, move)))

    def move(self, frame, move):
        flags = frame.flags
        if "LRU" not in flags or "UNEVICTABLE" in flags:
            return
        if move == "activate" and "ACTIVE" not in flags:
            flags |= {"ACTIVE"}
            self.events["pgactivate"] += 1
        elif move == "deactivate" and "ACTIVE" in flags:
            flags -= {"ACTIVE", "REFERENCED"}
            self.events["pgdeactivate"] += 1
        elif move == "lazyfree" and "SWAPBACKED" in flags:
            flags -= {"ACTIVE", "REFERENCED", "SWAPBACKED"}
            self.events["pglazyfree"] += 1

    def queue_mlock(self, frame, what):
        frame.queued += 1
        self.mlock.append((frame, what))
        if len(self.mlock) >= self.profile["pagevec"] or self.no_batches:
            self.drain_mlock()

    def drain_mlock(self):
        queued, self.mlock = self.mlock, []
        settle = {"lock": self.settle_lock, "new": self.insert, "unlock": self.settle_unlock}
        for frame, what in queued:
            settle[what](frame)
        for frame, _ in queued:
            frame.queued -= 1
            self.let_go(frame)

    def settle_lock(self, frame):
        flags = frame.flags
        if "LRU" not in flags:
            return  # isolated: whoever puts it on a list looks
        if "MLOCKED" not in flags and "UNEVICTABLE" in flags:
            flags -= {"UNEVICTABLE"}
            self.events["unevictable_pgs_rescued"] += 1
        elif "MLOCKED" in flags and "UNEVICTABLE" in flags:
            frame.locks += 1
        elif "MLOCKED" in flags:
            flags |= {"UNEVICTABLE"}
            flags -= {"ACTIVE"}
            frame.locks = 1
            self.events["unevictable_pgs_culled"] += 1

    def settle_unlock(self, frame):
        flags = frame.flags
        if "LRU" in flags and "UNEVICTABLE" in flags:
            frame.locks = max(frame.locks - 1, 0)
            if frame.locks:
                return
        if "MLOCKED" in flags:
            flags -= {"MLOCKED"}
            stranded = "UNEVICTABLE" in flags and "LRU" not in flags
            self.events["unevictable_pgs_" + ("stranded" if stranded else "munlocked")] += 1
        if "LRU" in flags and "UNEVICTABLE" in flags:
            flags -= {"UNEVICTABLE"}
            self.events["unevictable_pgs_rescued"] += 1

    def lock(self, frame, what="lock"):
        if "MLOCKED" not in frame.flags:
            frame.flags |= {"MLOCKED"}
            self.events["unevictable_pgs_mlocked"] += 1
        self.queue_mlock(frame, what)

    def drain(self):
        self.unqueue(self.add, self.insert)
        for move in MOVES:
            self.unqueue(self.moves[move], lambda frame, move=move: self.move(frame, move))
        self.drain_mlock()

    def mark_accessed(self, frame):
        flags = frame.flags
        if "REFERENCED" not in flags:
            flags |= {"REFERENCED"}
        elif not flags & {"UNEVICTABLE", "ACTIVE"}:
            if "LRU" in flags:
                self.queue_move(frame, "activate")
            elif frame in self.add:
                flags |= {"ACTIVE"}
            flags -= {"REFERENCED"}

    # --- Faults and accesses ----------------------------------------------------------------------

    def new_page(self, region, index, node, content, *, write):
        frame = self.frame(node)
        frame.content = content
        frame.flags |= {"UPTODATE", "SWAPBACKED", "EXCLUSIVE"}
        self.map_frame(region, index, frame, write=write, young=True, dirty=True)
        if index in region.locked:
            self.lock(frame, "new")
        else:
            self.lru_add(frame)

    def fault(self, region, index, node, cause):
        if index >= region.pages or index in region.gone:
            raise Refused("EFAULT")
        entry = region.entries.get(index)
        if entry is None and cause == "read":
            region.entries[index] = Entry(ZERO, young=True)
        elif entry is None or entry.frame is ZERO:
            self.new_page(region, index, node, 0, write=True)
        elif cause == "write" and not entry.write:
            self.break_sharing(region, index, node, write=True)
        elif cause == "unshare" and "EXCLUSIVE" not in entry.frame.flags:
            self.break_sharing(region, index, node, write=False)

    def break_sharing(self, region, index, node, *, write):
        """Copy on write: who is alone keeps the page."""
        entry = region.entries[index]
        old = entry.frame
        if "EXCLUSIVE" in old.flags or self.alone(old):
            old.flags |= {"EXCLUSIVE"}
            if write:
                self.events["pgreuse"] += 1
                entry.write = entry.young = entry.dirty = True
            return
        content = old.content
        old.maps.remove((region, index))
        old.held += 1  # until the flush
        self.new_page(region, index, node, content, write=write)
        if index in region.locked:
            self.queue_mlock(old, "unlock")
        old.held -= 1
        self.let_go(old)

    def alone(self, frame):
        if frame.count > 3:
            return False
        if "LRU" not in frame.flags:
            self.drain()
        return frame.count == 1

    def access(self, region, index, node, *, write):
        entry = region.entries.get(index)
        if entry is None or (write and (entry.frame is ZERO or not entry.write)):
            self.fault(region, index, node, "write" if write else "read")
            entry = region.entries[index]
        entry.young = True
        if write:
            entry.dirty = True
            entry.frame.content = region.holds[index] = self.writes
            region.free.discard(index)

    def accesses(self, region, selected, *, write, own):
        self.writes += write
        found, failed = [], {}
        for index in selected:
            try:
                self.access(region, index, region.node if own else 0, write=write)
                frame = region.entries[index].frame
                # Of a child it is only known whether it could.
                found.append(self.data(region, index, frame) if own and not write else "ok")
            except Refused as error:
                failed = {"ret": -1, "errno": str(error)}
                found.append("SIGSEGV:MAPERR")
        return failed | {"acc": [[1, each] for each in found]}

    @staticmethod
    def selected(regions, word):
        name, _, pages = word.partition(":")
        region = regions[name]
        first, _, last = pages.partition("-")
        every = range(region.pages)
        return region, every if not pages else range(int(first), int(last or first) + 1)

    def op_map(self, name, kind, pages, node="node=0"):
        assert kind == "anon"
        self.made += 1
        self.regions[name] = Region(self.made, int(pages), int(node.removeprefix("node=")))

    def op_write(self, word):
        return self.accesses(*self.selected(self.regions, word), write=True, own=True)

    def op_read(self, word):
        return self.accesses(*self.selected(self.regions, word), write=False, own=True)

    def op_cwrite(self, child, word):
        return self.accesses(*self.selected(self.children[child], word), write=True, own=False)

    def op_cread(self, child, word):
        return self.accesses(*self.selected(self.children[child], word), write=False, own=False)

    # --- Fork, exit, unmap ------------------------------------------------------------------------

    def op_fork(self, child):
        self.children[child] = {name: self.copy(region) for name, region in self.regions.items()}
        for pipe in self.pipes:
            if not pipe["closed"]:
                pipe["children"].add(child)

    def copy(self, parent):
        child = Region(parent.number, parent.pages, 0, gone=set(parent.gone))
        child.holds, child.free = dict(parent.holds), set(parent.free)
        for index, entry in sorted(parent.entries.items()):
            frame = entry.frame
            if frame is ZERO:
                child.entries[index] = Entry(ZERO, young=entry.young)
            elif "EXCLUSIVE" in frame.flags and frame.count >= PIN:
                self.new_page(child, index, 0, frame.content, write=True)
            else:
                frame.flags -= {"EXCLUSIVE"}
                entry.write = False
                self.map_frame(child, index, frame, dirty=entry.dirty)
        return child

    def op_exit(self, child):
        self.drain()
        for region in self.children.pop(child).values():
            self.zap(region, range(region.pages))
        for pipe in list(self.pipes):
            pipe["children"].discard(child)
            self.close(pipe)

    def zap(self, region, selected):
        """Drops entries; in the end, and every 32 pages, the pages are let go."""
        frames, queued = [], False
        for index in selected:
            entry = region.entries.get(index)
            if entry is None:
                continue
            if entry.frame is ZERO:
                del region.entries[index]
                continue
            self.unmap_frame(region, index)
            entry.frame.held += 1
            frames.append(entry.frame)
            if index in region.locked:
                self.queue_mlock(entry.frame, "unlock")
                queued = True
        if queued:
            self.drain()
        for frame in frames:
            frame.held -= 1
            self.let_go(frame)

    def op_unmap(self, word):
        region, selected = self.selected(self.regions, word)
        self.drain()
        region.gone |= set(selected)
        self.zap(region, selected)
        region.locked -= set(selected)
        if ":" not in word:
            del self.regions[word]
        return {"calls_ret": [[1, 0]]}

    # --- mlock and madvise ------------------------------------------------------------------------

    def op_mlock(self, word):
        region, selected = self.selected(self.regions, word)
        self.change_lock(region, selected, lock=True)
        try:
            for index in selected:
                self.populate(region, index)
        finally:
            self.drain()
        return {"calls_ret": [[1, 0]]}

    def op_munlock(self, word):
        self.change_lock(*self.selected(self.regions, word), lock=False)
        return {"calls_ret": [[1, 0]]}

    def change_lock(self, region, selected, *, lock):
        hole = next((index for index in selected if index in region.gone), None)
        until = selected if hole is None else range(selected.start, hole)
        changed = [index for index in until if (index in region.locked) != lock]
        region.locked ^= set(changed)
        if changed:
            self.drain()
            for index in changed:
                entry = region.entries.get(index)
                if entry and entry.frame is not ZERO:
                    self.lock(entry.frame) if lock else self.queue_mlock(entry.frame, "unlock")
            self.drain()
        if hole is not None:
            raise Refused("ENOMEM")

    def populate(self, region, index):
        entry = region.entries.get(index)
        if entry is None or entry.frame is ZERO or not entry.write:
            self.fault(region, index, 0, "write")
            entry = region.entries[index]
        if not entry.dirty:
            entry.frame.flags |= {"DIRTY"}
        self.mark_accessed(entry.frame)

    def op_madv(self, word, advice):
        region, selected = self.selected(self.regions, word)
        holes = False
        known = dict(region.holds), set(region.free)
        for stretch in self.stretches(region, selected):
            if stretch[0] in region.gone:
                holes = True
                continue
            if stretch[0] in region.locked:
                region.holds, region.free = known
                raise Refused("EINVAL")
            self.drain()
            getattr(self, f"advice_{advice}")(region, stretch)
        if holes:
            # Who asked does not know what became of it, and expects what was there.
            region.holds, region.free = known
            raise Refused("ENOMEM")
        return {"calls_ret": [[1, 0]]}

    @staticmethod
    def stretches(region, selected):
        runs, last = [], None
        for index in selected:
            kind = index in region.gone, index in region.locked
            if kind != last:
                runs.append([])
            runs[-1].append(index)
            last = kind
        return runs

    def advice_dontneed(self, region, stretch):
        self.zap(region, stretch)
        for index in stretch:
            region.holds.pop(index, None)
            region.free.discard(index)

    def aged(self, region, stretch):
        """The pages that this process alone maps and that are on a list, made old."""
        for index in stretch:
            entry = region.entries.get(index)
            if entry and "LRU" in entry.frame.flags and len(entry.frame.maps) == 1:
                entry.young = False
                entry.frame.flags -= {"REFERENCED"}
                yield entry.frame

    def advice_cold(self, region, stretch):
        for frame in self.aged(region, stretch):
            if "ACTIVE" in frame.flags and "UNEVICTABLE" not in frame.flags:
                self.queue_move(frame, "deactivate")

    def advice_pageout(self, region, stretch):
        """Without swap space all come back, and active, but what may be thrown away."""
        isolated = []
        for frame in self.aged(region, stretch):
            frame.flags -= {"LRU"}
            if "UNEVICTABLE" in frame.flags:
                self.lru_add(frame)
            else:
                frame.isolated = 1
                isolated.append(frame)
        kept = [frame for frame in isolated if not self.thrown_away(region, frame)]
        for frame in kept:
            self.lru_add(frame)
            frame.isolated = 0

    def thrown_away(self, region, frame):
        frame.flags -= {"ACTIVE"}
        if "MLOCKED" in frame.flags:
            return False
        if "SWAPBACKED" in frame.flags:
            if frame.count >= PIN:
                return False
        else:
            ((index, entry),) = [(i, e) for i, e in region.entries.items() if e.frame is frame]
            # The isolation's reference and the mapping's; with others somebody may look at it.
            if frame.count == 2 and not entry.dirty and "DIRTY" not in frame.flags:
                self.unmap_frame(region, index)
                self.events["pglazyfreed"] += 1
                frame.isolated = 0
                self.let_go(frame)
                return True
            frame.flags |= {"SWAPBACKED"} | ({"DIRTY"} if entry.dirty else set())
        frame.flags |= {"ACTIVE"}
        self.events["pgactivate"] += 1
        return False

    def advice_free(self, region, stretch):
        region.free |= set(stretch)
        for index in stretch:
            entry = region.entries.get(index)
            if entry is None or entry.frame is ZERO:
                continue
            frame = entry.frame
            if "DIRTY" in frame.flags:
                if len(frame.maps) > 1:
                    continue
                frame.flags -= {"DIRTY"}
            if frame.flags >= {"LRU", "SWAPBACKED"} and "UNEVICTABLE" not in frame.flags:
                self.queue_move(frame, "lazyfree")
            entry.young = entry.dirty = False

    # --- Pins -------------------------------------------------------------------------------------

    def op_pin(self, pin, word, kind):
        region, selected = self.selected(self.regions, word)
        taken = []
        try:
            for index in selected:
                pinned = self.pin_page(region, index, longterm=kind == "longterm")
                taken.append(pinned)
        except Refused:
            # A splice ends where it cannot go on; a registered buffer is all or nothing.
            if kind == "longterm" or not taken:
                self.unpin(taken)
                raise
        if kind == "pipe":
            self.pipes.append({"pin": pin, "taken": taken, "children": set(), "closed": False})
            return {"ret": len(taken)}
        self.pins[pin] = taken
        return {}

    def pin_page(self, region, index, *, longterm):
        """The frame and how often it is held; nothing for the zero page, which nobody counts."""
        if not longterm and index not in region.entries:
            self.fault(region, index, 0, "read")
        if not longterm and region.entries[index].frame is ZERO:
            return None
        faulted = False
        while True:
            entry = region.entries.get(index)
            if entry is None or entry.frame is ZERO or (longterm and not entry.write):
                self.fault(region, index, 0, "write")
            elif longterm and "EXCLUSIVE" not in entry.frame.flags:
                self.fault(region, index, 0, "unshare")
            else:
                break
            faulted = True
        frame, references = entry.frame, PIN if longterm else 1
        frame.held += references
        if not longterm or self.profile["pin_marks_accessed"]:
            if faulted:
                self.mark_accessed(frame)
            else:
                frame.flags |= {"REFERENCED"}
        return frame, references

    def unpin(self, taken):
        for frame, references in filter(None, taken):
            frame.held -= references
            self.let_go(frame)

    def op_unpin(self, pin):
        if pin in self.pins:
            self.unpin(self.pins.pop(pin))
            return {}
        pipe = next((pipe for pipe in self.pipes if pipe["pin"] == pin), None)
        if pipe is None:  # the pin had failed
            return {"ret": -1, "errno": "EBADF"}
        pipe["closed"], pipe["pin"] = True, None
        self.close(pipe)
        return {}

    def close(self, pipe):
        """Who closes a pipe last lets the pages go."""
        if pipe["closed"] and not pipe["children"]:
            self.pipes.remove(pipe)
            self.unpin(pipe["taken"])

    # --- Migration --------------------------------------------------------------------------------

    def op_drain(self):
        self.drain()

    def op_query(self, word):
        region, selected = self.selected(self.regions, word)
        return {"status": [[1, self.where(region, index)] for index in selected]}

    def where(self, region, index):
        entry = region.entries.get(index)
        if index in region.gone or (entry and entry.frame is ZERO):
            return "-EFAULT"
        return f"-{self.profile['hole_status'].upper()}" if entry is None else entry.frame.node

    def op_move(self, word, node, *options):
        region, selected = self.selected(self.regions, word)
        node = int(node.removeprefix("node="))
        self.drain()
        self.no_batches = self.profile["batches"] == "disabled"
        status = dict.fromkeys(selected, "unset")
        left = self.move_runs(region, selected, node, status, shared="all" in options)
        self.no_batches = False
        return {"ret": left, "status": [[1, each] for each in status.values()]}

    def move_runs(self, region, selected, node, status, *, shared):
        """Neighbours that can be isolated are migrated together; a page that cannot ends a run."""
        run = []
        for at, index in enumerate(selected):
            frame, said = self.isolate_for_move(region, index, node, shared=shared)
            if frame is not None:
                run.append((index, frame))
                continue
            status[index] = said
            left = self.move_run(run, node, status, len(status) - at)
            if left:
                return left - 1
            run = []
        return self.move_run(run, node, status, 0)

    def isolate_for_move(self, region, index, node, *, shared):
        where = self.where(region, index)
        if where == node or isinstance(where, str):
            return None, where
        frame = region.entries[index].frame
        if len(frame.maps) > 1 and not shared:
            return None, "-EACCES"
        if "LRU" not in frame.flags:
            return None, "-EBUSY"
        frame.flags -= {"LRU"}
        frame.isolated = 1
        return frame, None

    def move_run(self, run, node, status, after):
        failed = self.migrate([frame for _, frame in run], node)
        if failed:
            return failed + after
        status |= {index: node for index, _ in run}
        return 0

    def migrate(self, frames, node):
        """How many are left. Who is in the way does not go away while one thread runs."""
        left = []
        passes = self.profile["passes"]
        # How often each attempt may try to unmap.
        attempts = [1] * passes
        if self.profile["migration"] == "batched":
            attempts = [passes, self.profile["sync_passes"]]
        for frame in frames:
            if any(self.attempt(frame, node, unmaps) for unmaps in attempts):
                self.events["pgmigrate_success"] += 1
            else:
                self.events["pgmigrate_fail"] += 1
                left.append(frame)
        for frame in left:
            self.lru_add(frame)
            frame.isolated = 0
        return len(left)

    def attempt(self, frame, node, unmaps):
        """Unmaps, moves if nobody else holds the page, maps again."""
        locked = "MLOCKED" in frame.flags
        for _ in range(unmaps):
            entries, stuck = self.unmap_all(frame)
            if not stuck:
                break
            self.map_all(frame, entries)
        else:
            return False
        if frame.count > 1:
            self.map_all(frame, entries)
            return False
        new = self.frame(node)
        new.content = frame.content
        new.flags = frame.flags - {"MLOCKED", "EXCLUSIVE"}
        new.held = 1
        self.lru_add(new)
        if self.profile["drain_after_move"] or locked:
            self.drain()
        self.map_all(new, entries)
        new.held = 0
        frame.isolated = 0
        frame.flags -= {"ACTIVE", "UNEVICTABLE"}
        self.let_go(frame)
        return True

    def unmap_all(self, frame):
        entries = []
        for region, index in list(frame.maps):
            entry = region.entries[index]
            if entry.dirty:
                frame.flags |= {"DIRTY"}
            exclusive = "EXCLUSIVE" in frame.flags
            if exclusive and frame.count >= PIN:
                return entries, True
            frame.flags -= {"EXCLUSIVE"}
            self.unmap_frame(region, index)
            if index in region.locked:
                self.queue_mlock(frame, "unlock")
                self.drain_mlock()
            entries.append((region, index, entry, exclusive))
        return entries, False

    def map_all(self, frame, entries):
        for region, index, entry, exclusive in entries:
            frame.flags |= {"EXCLUSIVE"} if exclusive else set()
            bits = {"write": entry.write, "young": entry.young, "dirty": entry.dirty}
            self.map_frame(region, index, frame, **bits)
            if index in region.locked:
                self.lock(frame)
                self.drain_mlock()

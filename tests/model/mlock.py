"""Locked memory: mlock, munlock, and the batch that moves pages to the unevictable list."""

from .parts import ZERO, Refused


class Mlock:
    def queue_mlock(self, frame, what):
        frame.queued += 1
        self.mlock.append((frame, what))
        if len(self.mlock) >= self.profile["pagevec"] or self.no_batches:
            self.drain_mlock()

    def drain_mlock(self):
        queued, self.mlock = self.mlock, []
        settle = {"lock": self.settle_lock, "new": self.settle_new, "unlock": self.settle_unlock}
        for frame, what in queued:
            settle[what](frame)
        for frame, _ in queued:
            frame.queued -= 1
            self.let_go(frame)

    def settle_lock(self, frame):
        flags = frame.flags
        if "LRU" not in flags:
            return  # isolated: `insert` checks the flag when the page is put back
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

    def settle_new(self, frame):
        self.insert(frame)
        frame.locks = int("MLOCKED" in frame.flags)

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

    def op_mlock(self, word):
        region, selected = self.selected(self.regions, word)
        self.change_lock(region, selected, lock=True)
        for stretch in region.stretches(selected):
            for index in stretch:
                self.populate(region, index)
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
        region.merge()
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
        if region.shared:
            if entry is None:
                self.fault(region, index, 0, "read")
            self.mark_accessed(region.entries[index].frame)
            return
        if entry is None or entry.frame is ZERO or not entry.write:
            self.fault(region, index, 0, "write")
            entry = region.entries[index]
        if not entry.dirty:
            entry.frame.flags |= {"DIRTY"}
        self.mark_accessed(entry.frame)

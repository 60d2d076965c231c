"""Accesses and their faults: new pages and copy on write."""

from .parts import ZERO, Entry, Refused


class Faults:
    def new_page(self, region, index, node, content, *, write):
        frame = self.frame(region.node_for(index, node))
        frame.content = content
        frame.flags |= {"UPTODATE", "SWAPBACKED", "ANON", "EXCLUSIVE"}
        region.note_anon(index)
        self.map_frame(region, index, frame, write=write, young=True, dirty=True)
        if index in region.locked:
            self.lock(frame, "new")
        else:
            self.lru_add(frame)

    def fault(self, region, index, node, cause):
        if index >= region.pages or index in region.gone:
            raise Refused("EFAULT")
        if index in region.swapped:
            self.fault_swapped(region, index, node, write=cause == "write")
        entry = region.entries.get(index)
        if region.file is not None and self.fault_file(region, index, node, cause):
            return
        if entry is None and cause == "read":
            region.entries[index] = Entry(ZERO, young=True)
        elif entry is None or entry.frame is ZERO:
            self.new_page(region, index, node, 0, write=True)
        elif cause == "write" and not entry.write:
            self.break_sharing(region, index, node, write=True)
        elif cause == "unshare" and "EXCLUSIVE" not in entry.frame.flags:
            self.break_sharing(region, index, node, write=False)

    def break_sharing(self, region, index, node, *, write):
        """Copies a shared page before a write. A page without other users is reused."""
        entry = region.entries[index]
        old = entry.frame
        if "EXCLUSIVE" in old.flags or ("ANON" in old.flags and self.alone(old)):
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
        self.free_swap_unmapped(old)
        old.held -= 1
        self.let_go(old)

    def alone(self, frame):
        if frame.count > 3:
            return False
        if "LRU" not in frame.flags:
            self.drain()
        if frame.count == 1 + (frame.slot is not None):
            self.free_swap(frame)
        return frame.count == 1

    def access(self, region, index, node, *, write):
        entry = region.entries.get(index)
        if entry is None or (write and (entry.frame is ZERO or not entry.write)):
            self.fault(region, index, node, "write" if write else "read")
            entry = region.entries[index]
        entry.young = True
        if write:
            entry.dirty = True
            entry.frame.content = self.writes
            (region.file if region.shared else region).holds[index] = self.writes
            region.free.discard(index)

    def accesses(self, region, selected, *, write, own):
        self.writes += write
        found, failed = [], {}
        for index in selected:
            try:
                self.access(region, index, region.node if own else 0, write=write)
                frame = region.entries[index].frame
                # For a child a recording only tells whether the access succeeded.
                found.append(self.data(region, index, frame) if own and not write else "ok")
            except Refused as error:
                failed = {"ret": -1, "errno": str(error)}
                found.append("SIGSEGV:MAPERR")
        return failed | {"acc": [[1, each] for each in found]}

    def op_write(self, word):
        return self.accesses(*self.selected(self.regions, word), write=True, own=True)

    def op_read(self, word):
        return self.accesses(*self.selected(self.regions, word), write=False, own=True)

    def op_cwrite(self, child, word):
        return self.accesses(*self.selected(self.children[child], word), write=True, own=False)

    def op_cread(self, child, word):
        return self.accesses(*self.selected(self.children[child], word), write=False, own=False)

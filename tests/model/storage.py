"""Reads and writes of files, write-back to disk, and dropping of caches."""

from .parts import PIN, Refused
from .swap import Slot


class Storage:
    def op_fread(self, word):
        region, selected = self.selected(self.regions, word)
        file, found = region.file, []
        for index in selected:
            if index not in file.slots.keys() | file.swapped and not file.of_disk:
                found.append("ok")  # a hole reads as zeroes
                continue
            frame, _ = self.cached(file, index, region.node)
            found.append("ok" if frame.content == file.holds.get(index, 0) else "bad")
            if not file.of_disk or file.last_read != index:
                self.mark_accessed(frame)
            file.last_read = index
        return {"acc": [[1, each] for each in found]}

    def op_fwrite(self, word):
        region, selected = self.selected(self.regions, word)
        file = region.file
        self.writes += 1
        for index in selected:
            frame, new = self.cached(file, index, region.node, overwritten=True)
            if file.of_disk:
                frame.flags |= {"PRIVATE", "UPTODATE", "DIRTY"}
            else:
                if new:
                    frame.flags |= {"REFERENCED"}
                else:
                    self.mark_accessed(frame)
                frame.flags |= {"UPTODATE"}
                self.set_dirty(frame)
            frame.content = file.holds[index] = self.writes
        return {"acc": [[1, "ok"] for _ in selected]}

    def op_msync(self, word):
        region, selected = self.selected(self.regions, word)
        for stretch in region.stretches(selected):
            if region.shared and stretch[0] not in region.gone:
                self.write_back(region.file, stretch)
        if region.gone & set(selected):
            raise Refused("ENOMEM")
        return {"calls_ret": [[1, 0]]}

    def op_sync(self):
        for file in self.files:
            self.write_back(file, range(file.pages))

    def write_back(self, file, selected):
        """Writes dirty pages back. All writes of a batch begin before the first one ends."""
        if not file.of_disk:
            return
        begun = []
        for index in selected:
            frame = file.slots.get(index)
            if frame is None:
                continue
            self.write_protect(frame)
            if "DIRTY" in frame.flags:
                frame.flags -= {"DIRTY"}
                begun.append((index, frame))
            if len(begun) == self.profile["pagevec"]:
                self.write_ends(file, begun)
                begun = []
        if begun:
            self.write_ends(file, begun)

    def write_protect(self, frame):
        entries = [region.entries[index] for region, index in frame.maps]
        if any(entry.dirty for entry in entries):
            self.set_dirty(frame)
        for entry in entries:
            entry.write = entry.dirty = False

    def write_ends(self, file, begun):
        self.drain()
        for index, frame in begun:
            file.disk[index] = frame.content
            if "RECLAIM" in frame.flags:
                frame.flags -= {"RECLAIM"}
                if "LRU" in frame.flags and "UNEVICTABLE" not in frame.flags:
                    self.queue_move(frame, "rotate")
        self.drain()

    def op_drop(self, what):
        assert what == "1"
        self.drain()
        for file in self.files:
            cached = sorted(file.slots.items())
            for _, frame in cached:
                if frame.maps or "DIRTY" in frame.flags or frame.count > frame.owned:
                    if "UNEVICTABLE" not in frame.flags:
                        self.queue_move(frame, "deactivate_file")
                else:
                    frame.flags -= {"PRIVATE"}
                    self.leave_cache(frame)
                    self.let_go(frame)
            if cached:
                self.drain()

    def dropped(self, frame):
        """Unmaps an isolated page; it leaves its file if it is clean and has no other user."""
        ((region, index),) = frame.maps
        file, at = frame.file
        if self.unmap_frame(region, index).dirty:
            self.set_dirty(frame)
        clean = "DIRTY" not in frame.flags
        alone = frame.count == frame.isolated + frame.owned
        if frame.count < PIN and clean and alone:
            frame.flags -= {"PRIVATE"}
            self.leave_cache(frame)
            if file.of_disk:
                file.shadows[at] = self.age[frame.node], frame.node
                self.age[frame.node] += 1
            return True
        if frame.count < PIN and clean:
            return False
        if frame.count < PIN and alone and not file.of_disk and self.swap:
            self.leave_cache(frame)
            self.name(file, at, Slot())
            self.write_slot(file.swapped[at], frame)
            return True
        if frame.count < PIN and file.of_disk:
            frame.flags |= {"RECLAIM"}
        elif frame.count < PIN and not alone:
            return False
        frame.flags |= {"ACTIVE"}
        self.events["pgactivate"] += 1
        return False

"""Files: their page cache and their mappings."""

from .parts import File


class Files:
    def map_file(self, region, kind):
        region.private = kind.endswith("priv")
        file = region.file = File(kind.removesuffix("priv"), region.pages)
        file.regions.add(region)
        self.files.append(file)
        if file.of_disk:
            self.writes += 1
            file.disk = dict.fromkeys(range(file.pages), self.writes)
            file.holds = dict(file.disk)
            self.drain()

    def leave_file(self, region):
        if region.file is not None:
            region.file.regions.discard(region)
            self.end_file(region.file)

    def remove_file(self, file):
        if file is not None:
            file.named = False
            self.end_file(file)
            if file.of_disk:
                self.drain()

    def end_file(self, file):
        """Drops the cache of a file without users, whether it was written back or not."""
        if file.named or file.regions or file not in self.files:
            return
        self.files.remove(file)
        for _, frame in sorted(file.slots.items()):
            frame.file = None
            frame.flags -= {"DIRTY", "PRIVATE", "MAPPEDTODISK"}
            self.let_go(frame)

    def cached(self, file, index, node, *, overwritten=False):
        """Returns the page in the cache, and whether it was newly allocated."""
        if index in file.slots:
            return file.slots[index], False
        if index in file.swapped:
            slot = self.unname(file, index)
            frame = self.take(slot, file.policy.get(index, (node, None))[0], alone=True)
            file.slots[index], frame.file = frame, (file, index)
            self.set_dirty(frame)
            frame.held -= 1
            return frame, False
        frame = file.slots[index] = self.frame(file.policy.get(index, (node, None))[0])
        frame.file = file, index
        if not file.of_disk:
            frame.flags |= {"SWAPBACKED"}
        shadow = file.shadows.pop(index, None)
        if shadow is not None and not overwritten:
            self.refault(frame, *shadow)
        self.lru_add(frame)
        if not overwritten:
            frame.flags |= {"UPTODATE"}
            if file.of_disk:
                frame.content = file.disk[index]
                frame.flags |= {"MAPPEDTODISK"}
                self.events["pgpgin"] += 4
        return frame, True

    def refault(self, frame, age, node):
        """Activates a refaulted page if its distance is at most the number of competing pages."""
        competing = {"nr_active_file"}
        if "SWAPBACKED" in frame.flags:
            competing |= {"nr_inactive_file"}
        if self.swap:
            competing |= {"nr_active_anon"}
            if "SWAPBACKED" not in frame.flags:
                competing |= {"nr_inactive_anon"}
        size = sum(each.list in competing for each in self.frames if each.node == node)
        if self.age[node] - age <= size:
            frame.flags |= {"ACTIVE"}
            self.age[frame.node] += 1

    def set_dirty(self, frame):
        if frame.file is not None:
            frame.flags -= {"RECLAIM"}
        frame.flags |= {"DIRTY"}

    def leave_cache(self, frame):
        file, index = frame.file
        del file.slots[index]
        frame.file = None

    def fault_file(self, region, index, node, cause):
        """Handles a fault of a mapped file; False if it is handled as one of anonymous memory."""
        entry = region.entries.get(index)
        if entry is not None:
            if not (region.shared and cause == "write"):
                return False
            if not entry.write:
                self.make_writable(region.file, entry.frame)
                self.events["pgreuse"] += 1
                entry.write = entry.young = entry.dirty = True
            return True
        major = index in region.file.swapped
        frame, new = self.cached(region.file, index, node)
        self.events["pgmajfault"] += major or (new and region.file.of_disk)
        if cause != "read" and region.private:
            self.new_page(region, index, node, frame.content, write=cause == "write")
            return True
        store = cause != "read"
        if store:
            self.make_writable(region.file, frame)
        # The mapping of a disk's file starts read-only, so that the first store faults and marks
        # the page dirty.
        write = store or (region.shared and not region.file.of_disk)
        self.map_frame(region, index, frame, young=True, dirty=store, write=write)
        if index in region.locked:
            self.lock(frame)
        return True

    def make_writable(self, file, frame):
        if file.of_disk:
            frame.flags |= {"PRIVATE"}
        self.set_dirty(frame)

    def tells_use(self, region, frame):
        """True if dropping an accessed entry marks its page as accessed."""
        if region.file is None or "ANON" in frame.flags:
            return False
        return region.file.kind == "shm" or self.profile["random_marks_accessed"]

"""move_pages and migration."""

from .parts import PIN, ZERO


class Migrate:
    def op_drain(self):
        self.drain()

    def op_query(self, word):
        region, selected = self.selected(self.regions, word)
        return {"status": [[1, self.where(region, index)] for index in selected]}

    def where(self, region, index):
        entry = region.entries.get(index)
        if index in region.gone or (entry and entry.frame is ZERO):
            return "-EFAULT"
        if entry is not None:
            return entry.frame.node
        if index in region.swapped:
            return "-ENOENT"
        # For a file the status does not depend on whether a page table exists.
        return "-ENOENT" if region.file else f"-{self.profile['hole_status'].upper()}"

    def op_move(self, word, node, *options):
        region, selected = self.selected(self.regions, word)
        node = int(node.removeprefix("node="))
        status = dict.fromkeys(selected, "unset")
        with self.without_batches():
            left = self.move_runs(region, selected, node, status, shared="all" in options)
        return {"ret": left, "status": [[1, each] for each in status.values()]}

    def move_runs(self, region, selected, node, status, *, shared):
        """Migrates isolated neighbours as a run. A page that cannot be isolated ends its run."""
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
        """Migrates frames; returns the number left. With one thread obstacles stay."""
        left = []
        passes = self.profile["passes"]
        # The number of times that each attempt may try to unmap.
        attempts = [1] * passes
        if self.profile["migration"] == "batched":
            attempts = [passes, self.profile["sync_passes"]]
        for frame in frames:
            if any(self.attempt(frame, node, unmaps) for unmaps in attempts):
                self.events["pgmigrate_success"] += 1
            else:
                self.events["pgmigrate_fail"] += 1
                left.append(frame)
        self.put_back(left)
        return len(left)

    def attempt(self, frame, node, unmaps):
        """Unmaps the page, moves it if it has no other references, and maps it again."""
        locked = "MLOCKED" in frame.flags
        for _ in range(unmaps):
            entries, stuck = self.unmap_all(frame)
            if not stuck:
                break
            self.map_all(frame, entries)
        else:
            return False
        if frame.count > 1 + frame.owned:
            self.map_all(frame, entries)
            return False
        new = self.frame(node)
        new.content = frame.content
        stay = set() if self.profile["reclaim_mark_moves"] else {"RECLAIM"}
        new.flags = frame.flags - {"MLOCKED", "EXCLUSIVE"} - stay
        if frame.file is not None:
            file, index = new.file = frame.file
            file.slots[index], frame.file = new, None
            frame.flags -= {"DIRTY", "PRIVATE"}
        if frame.slot is not None:
            new.slot, frame.slot.cached, frame.slot = frame.slot, new, None
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
                self.set_dirty(frame)
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

"""Frames, their references, and the LRU batches in which they wait."""

from .parts import MOVES, Entry, Frame


class Batches:
    def frame(self, node):
        frame = Frame(node)
        self.frames.add(frame)
        return frame

    def let_go(self, frame):
        """Frees a frame if its last reference is gone."""
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
        """Adds a page to a list; a locked page goes to the unevictable one, with 0 locks."""
        if "MLOCKED" in frame.flags:
            if "UNEVICTABLE" not in frame.flags:
                self.events["unevictable_pgs_culled"] += 1
            frame.flags |= {"UNEVICTABLE"}
            frame.flags -= {"ACTIVE"}
            frame.locks = 0
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
        if move == "rotate":
            flags -= {"ACTIVE"}
            self.events["pgrotated"] += 1
        elif move == "deactivate_file" and not frame.maps:
            self.events["pgdeactivate"] += "ACTIVE" in flags
            flags -= {"ACTIVE", "REFERENCED"}
            if "DIRTY" in flags:
                flags |= {"RECLAIM"}
            else:
                self.events["pgrotated"] += 1
        elif move == "activate" and "ACTIVE" not in flags:
            flags |= {"ACTIVE"}
            self.events["pgactivate"] += 1
        elif move == "deactivate" and "ACTIVE" in flags:
            flags -= {"ACTIVE", "REFERENCED"}
            self.events["pgdeactivate"] += 1
        elif move == "lazyfree" and flags >= {"ANON", "SWAPBACKED"}:
            flags -= {"ACTIVE", "REFERENCED", "SWAPBACKED"}
            self.events["pglazyfree"] += 1

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
            self.age[frame.node] += 1

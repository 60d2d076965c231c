"""madvise."""

from .parts import ZERO, Refused


class Advice:
    def op_madv(self, word, advice):
        region, selected = self.selected(self.regions, word)
        holes = False
        known = dict(region.holds), set(region.free)
        for stretch in region.stretches(selected):
            if stretch[0] in region.gone:
                holes = True
                continue
            if stretch[0] in region.locked:
                region.holds, region.free = known
                raise Refused("EINVAL")
            if advice == "free" and region.file is not None:
                raise Refused("EINVAL")
            self.drain()
            getattr(self, f"advice_{advice}")(region, stretch)
        if holes:
            # The caller got an error, so the program expects the content from before the call.
            region.holds, region.free = known
            raise Refused("ENOMEM")
        return {"calls_ret": [[1, 0]]}

    def advice_dontneed(self, region, stretch):
        self.zap(region, stretch)
        for index in stretch:
            region.holds.pop(index, None)
            region.free.discard(index)

    def aged(self, region, stretch):
        """Yields the listed pages that only this process maps, with accessed bits cleared."""
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
        """Pages out a stretch. A page that is neither dropped nor swapped goes back to a list."""
        isolated = []
        for frame in self.aged(region, stretch):
            frame.flags -= {"LRU"}
            if "UNEVICTABLE" in frame.flags:
                self.lru_add(frame)
            else:
                frame.isolated = 1
                isolated.append(frame)
        kept = []
        for frame in isolated:
            if self.thrown_away(region, frame):
                frame.isolated = 0
                self.let_go(frame)
            else:
                kept.append(frame)
        self.put_back(kept)

    def thrown_away(self, region, frame):
        frame.flags -= {"ACTIVE"}
        if "MLOCKED" in frame.flags:
            return False
        if frame.file is not None:
            return self.dropped(frame)
        if "SWAPBACKED" in frame.flags:
            return self.swapped_out(frame)
        ((index, entry),) = [(i, e) for i, e in region.entries.items() if e.frame is frame]
        # A count of two is the isolation's reference and the mapping's. With more the page has
        # another user.
        if frame.count == 2 and not entry.dirty and "DIRTY" not in frame.flags:
            self.unmap_frame(region, index)
            self.events["pglazyfreed"] += 1
            return True
        frame.flags |= {"SWAPBACKED", "ACTIVE"} | ({"DIRTY"} if entry.dirty else set())
        self.events["pgactivate"] += 1
        return False

    def advice_free(self, region, stretch):
        region.free |= set(stretch)
        for index in stretch:
            if index in region.swapped:
                self.drop_name(region, index)
            entry = region.entries.get(index)
            if entry is None or entry.frame is ZERO:
                continue
            frame = entry.frame
            if "DIRTY" in frame.flags or frame.slot is not None:
                if len(frame.maps) > 1:
                    continue
                self.free_swap(frame)
                if frame.slot is not None:
                    continue
                frame.flags -= {"DIRTY"}
            if frame.flags >= {"LRU", "SWAPBACKED"} and "UNEVICTABLE" not in frame.flags:
                self.queue_move(frame, "lazyfree")
            entry.young = entry.dirty = False

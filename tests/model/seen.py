"""The visible state of the model, in the terms of recordings."""

from collections import Counter

from .parts import NODES, SHOWN, ZERO


class Seen:
    def counters(self):
        counters = {"vm": Counter(self.events)}
        for node in NODES:
            counted = counters[f"n{node}"] = Counter()
            for frame in self.frames:
                if frame.node == node:
                    counted[frame.list] += 1
                    counted["nr_anon_pages"] += bool(frame.maps) and "ANON" in frame.flags
                    counted["nr_mapped"] += bool(frame.maps) and "ANON" not in frame.flags
                    if frame.file is not None:
                        swapbacked = "SWAPBACKED" in frame.flags
                        counted["nr_file_pages"] += 1
                        counted["nr_shmem"] += swapbacked
                        counted["nr_dirty"] += "DIRTY" in frame.flags and not swapbacked
                    if frame.slot is not None:
                        counted["nr_file_pages"] += 1
                        counted["nr_swapcached"] += 1
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
                pages[index] = {"pte": "S" if index in region.swapped else "-"}
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
        if frame.content == region.must_hold(index):
            return "ok"
        if frame.content == 0:
            return "zero"
        return "old" if frame.content < region.must_hold(index) else "bad"

    def flags(self, frame):
        names = [flag for flag in SHOWN if flag in frame.flags]
        names += ["SWAPCACHE", "OWNER_PRIVATE"] * (frame.slot is not None)
        names += ["MMAP"] * bool(frame.maps)
        names += ["KSM"] * ("ANON" in frame.flags and bool(self.profile["kpageflags_ksm"]))
        names += ["ANON_EXCLUSIVE"] * ("EXCLUSIVE" in frame.flags)
        return "|".join(sorted(names))

    def view(self, regions, name):
        mine, theirs = self.regions[name], regions.get(name)
        letters = []
        for index in range(mine.pages):
            known = theirs if theirs and theirs.number == mine.number else None
            entry, own = known and known.entries.get(index), mine.entries.get(index)
            if entry is None:
                letters.append("S" if known and index in known.swapped else "-")
            elif entry.frame is ZERO:
                letters.append("z")
            elif own and own.frame is entry.frame:
                letters.append("=")
            else:
                letters.append("PQ"[entry.frame.node])
        return "".join(letters)

"""Mappings, and the children that copy them: creation and end."""

from .parts import PIN, ZERO, Entry, Region


class Processes:
    @staticmethod
    def selected(regions, word):
        name, _, pages = word.partition(":")
        region = regions[name]
        first, _, last = pages.partition("-")
        every = range(region.pages)
        return region, every if not pages else range(int(first), int(last or first) + 1)

    def op_map(self, name, kind, pages, node="node=0"):
        self.made += 1
        region = Region(self.made, int(pages), int(node.removeprefix("node=")))
        self.regions[name] = region
        if kind != "anon":
            self.map_file(region, kind)

    def op_fork(self, child):
        self.children[child] = {name: self.copy(region) for name, region in self.regions.items()}
        for pipe in self.pipes:
            if not pipe["closed"]:
                pipe["children"].add(child)

    def copy(self, parent):
        child = Region(parent.number, parent.pages, 0, gone=set(parent.gone))
        child.policy = dict(parent.policy)
        child.holds, child.free = dict(parent.holds), set(parent.free)
        child.file, child.private, child.forks = parent.file, parent.private, set(parent.forks)
        if child.file is not None and len(child.gone) < child.pages:
            child.file.regions.add(child)
        for index, slot in parent.swapped.items():
            self.name(child, index, slot)
            slot.exclusive = False
        for index, entry in sorted(parent.entries.items()):
            frame = entry.frame
            if index not in parent.forks:
                continue
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
            self.leave_file(region)
        for pipe in list(self.pipes):
            pipe["children"].discard(child)
            self.close(pipe)

    def zap(self, region, selected):
        """Drops the entries of some pages, and puts the pages afterwards."""
        frames, queued = [], False
        for index in selected:
            if index in region.swapped:
                self.drop_name(region, index)
            entry = region.entries.get(index)
            if entry is None:
                continue
            if entry.frame is ZERO:
                del region.entries[index]
                continue
            if entry.young and self.tells_use(region, entry.frame):
                self.mark_accessed(entry.frame)
                queued = True
            self.unmap_frame(region, index)
            entry.frame.held += 1
            frames.append((entry.frame, entry.dirty))
            if index in region.locked:
                self.queue_mlock(entry.frame, "unlock")
                queued = True
        for frame, dirty in frames:
            if dirty and "ANON" not in frame.flags:
                self.set_dirty(frame)
        if queued:
            self.drain()
        for frame, _ in frames:
            self.free_swap_unmapped(frame)
            frame.held -= 1
            self.let_go(frame)

    def op_unmap(self, word):
        region, selected = self.selected(self.regions, word)
        self.drain()
        region.gone |= set(selected)
        self.zap(region, selected)
        region.locked -= set(selected)
        if len(region.gone) == region.pages:
            self.leave_file(region)
        if ":" not in word:
            del self.regions[word]
            self.remove_file(region.file)
        return {"calls_ret": [[1, 0]]}

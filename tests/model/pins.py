"""References without mappings: pipes and registered buffers."""

from .parts import PIN, ZERO, Refused


class Pins:
    def op_pin(self, pin, word, kind):
        region, selected = self.selected(self.regions, word)
        taken = []
        try:
            for index in selected:
                if kind == "longterm" and region.file is not None and region.file.of_disk:
                    self.look_at_file(region, index)
                taken.append(self.pin_page(region, index, longterm=kind == "longterm"))
        except Refused:
            # A splice ends at the first page that it cannot take; a registered buffer takes all
            # pages or none.
            if kind == "longterm" or not taken:
                self.unpin(taken)
                raise
        if kind == "pipe":
            self.pipes.append({"pin": pin, "taken": taken, "children": set(), "closed": False})
            return {"ret": len(taken)}
        self.pins[pin] = taken
        return {}

    def pin_page(self, region, index, *, longterm):
        """Pins a page; returns frame and number of references, or None for the zero page."""
        faulted = not longterm and index not in region.entries
        if faulted:
            self.fault(region, index, 0, "read")
        if not longterm and region.entries[index].frame is ZERO:
            return None
        while True:
            entry = region.entries.get(index)
            if entry is None or entry.frame is ZERO or (longterm and not entry.write):
                self.fault(region, index, 0, "write")
            elif longterm and not region.shared and "EXCLUSIVE" not in entry.frame.flags:
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

    def look_at_file(self, region, index):
        """Refuses a lasting pin of a disk's file: its device could dirty pages without a fault."""
        if self.profile["file_pin"] == "refused":
            # These kernels refuse only after the page was faulted in.
            if region.private:
                self.unpin([self.pin_page(region, index, longterm=True)])
            elif index not in region.entries or not region.entries[index].write:
                self.fault(region, index, 0, "write")
            raise Refused("EOPNOTSUPP")
        if region.shared:
            raise Refused("EFAULT")

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
        """Puts the pages of a pipe when the last process has closed it."""
        if pipe["closed"] and not pipe["children"]:
            self.pipes.remove(pipe)
            self.unpin(pipe["taken"])

"""Who holds pages without mapping them: pipes and registered buffers."""

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
            # A splice ends where it cannot go on; a registered buffer is all or nothing.
            if kind == "longterm" or not taken:
                self.unpin(taken)
                raise
        if kind == "pipe":
            self.pipes.append({"pin": pin, "taken": taken, "children": set(), "closed": False})
            return {"ret": len(taken)}
        self.pins[pin] = taken
        return {}

    def pin_page(self, region, index, *, longterm):
        """The frame and how often it is held; nothing for the zero page, which nobody counts."""
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
        """A device that writes to a disk's file for long would dirty its pages unheard."""
        if self.profile["file_pin"] == "refused":
            # Found out when the page is there.
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
        """Who closes a pipe last lets the pages go."""
        if pipe["closed"] and not pipe["children"]:
            self.pipes.remove(pipe)
            self.unpin(pipe["taken"])

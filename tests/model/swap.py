"""Swap space: slots, the entries that name them, and the swap cache."""

from dataclasses import dataclass, field

from .parts import PIN, Frame


@dataclass(eq=False)
class Slot:
    """A slot of the swap space. Its content may still be in the swap cache alone."""

    content: int = 0
    #: The page of the slot in the swap cache, if there is one.
    cached: Frame | None = None
    #: The entries of mappings, and the pages of files, that name the slot.
    names: list = field(default_factory=list)
    #: True if the page was exclusive when it was unmapped, and no fork has copied the entry since.
    exclusive: bool = False
    #: The age and the number of the node at the page's eviction; None if it was read back since.
    shadow: tuple | None = None


class Swap:
    def op_swapon(self, _megabytes):
        self.drain()
        self.swap = True

    def op_swapoff(self):
        """Reads all slots back without marking an access: first for files, then for processes."""
        for file in self.files:
            for index in sorted(file.swapped):
                self.cached(file, index, 0)
        for regions in (self.regions, *self.children.values()):
            for region in regions.values():
                for index, slot in sorted(region.swapped.items()):
                    frame = self.take(slot, region.node_for(index, 0), alone=False)
                    self.unname(region, index)
                    self.map_swapped(region, index, frame, slot.exclusive)
                    self.free_swap(frame)
                    frame.held -= 1
        for frame in self.frames:
            self.free_swap(frame)
        self.swap = False
        self.drain()

    def name(self, holder, index, slot):
        holder.swapped[index] = slot
        slot.names.append((holder, index))

    def unname(self, holder, index):
        slot = holder.swapped.pop(index)
        slot.names.remove((holder, index))
        return slot

    def drop_name(self, holder, index):
        """Drops a swap entry; a page in the swap cache that has no other user is freed too."""
        frame = self.unname(holder, index).cached
        if frame is not None:
            self.free_swap_unmapped(frame)
            self.let_go(frame)

    def free_swap(self, frame):
        """Frees the slot of a page if no entry names it; the page is then dirty.

        The page has the only copy of the content: a clean page would be dropped and lost.
        """
        if frame.slot is not None and not frame.slot.names:
            frame.slot.cached = frame.slot = None
            frame.flags |= {"DIRTY"}

    def free_swap_unmapped(self, frame):
        if not frame.maps:
            self.free_swap(frame)

    def swapped_out(self, frame):
        """Unmaps an isolated page and writes it to swap.

        Returns True if the page has no other user and is freed; False if it stays in memory.
        """
        pinned, exclusive = frame.count >= PIN, "EXCLUSIVE" in frame.flags
        if pinned and frame.slot is None:
            return False
        if (pinned and exclusive) or (frame.slot is None and not self.swap):
            frame.flags |= {"ACTIVE"}
            self.events["pgactivate"] += 1
            return False
        if frame.slot is None:
            frame.slot = Slot(cached=frame)
            frame.flags |= {"DIRTY"}
        slot = frame.slot
        ((region, index),) = frame.maps
        if self.unmap_frame(region, index).dirty:
            frame.flags |= {"DIRTY"}
        self.name(region, index, slot)
        slot.exclusive = exclusive
        frame.flags -= {"EXCLUSIVE"}
        if frame.count > frame.isolated + frame.owned:
            return False
        self.write_slot(slot, frame)
        slot.cached = frame.slot = None
        return True

    def write_slot(self, slot, frame):
        """Writes a dirty page to its slot, and notes the eviction in the slot's shadow."""
        if "DIRTY" in frame.flags:
            slot.content = frame.content
            self.events["pswpout"] += self.is_written(slot)
        slot.shadow = self.age[frame.node], frame.node
        self.age[frame.node] += 1

    def take(self, slot, node, *, alone):
        """Returns the page of a slot with a reference: from the swap cache, or read anew.

        With `alone` a page that is read anew does not enter the swap cache.
        """
        if slot.cached is not None:
            slot.cached.held += 1
            return slot.cached
        frame = self.frame(node)
        frame.held = 1
        frame.content = slot.content
        frame.flags |= {"UPTODATE", "SWAPBACKED"}
        if not alone:
            frame.slot, slot.cached = slot, frame
        if slot.shadow is not None:
            self.refault(frame, *slot.shadow)
            slot.shadow = None
        self.events["pswpin"] += self.is_written(slot)
        self.events["pgpgin"] += 4 * (self.profile["swap_counts_blocks"] and self.is_written(slot))
        self.lru_add(frame)
        return frame

    def is_written(self, slot):
        return slot.content != 0 or not self.profile["swap_notes_zeroes"]

    def fault_swapped(self, region, index, node, *, write):
        slot = region.swapped[index]
        self.events["pgmajfault"] += slot.cached is None
        frame = self.take(slot, region.node_for(index, node), alone=len(slot.names) == 1)
        fresh = frame.slot is None
        if write and not fresh and "LRU" not in frame.flags:
            self.drain()
        self.unname(region, index)
        if index in region.locked or "MLOCKED" in frame.flags or (write and frame.count == 2):
            self.free_swap(frame)
        own = fresh or slot.exclusive or frame.count == 1
        self.map_swapped(region, index, frame, own)
        entry = region.entries[index]
        entry.young, entry.dirty = True, own and write
        entry.write = own and bool(write or self.profile["swapin_writable"])
        frame.held -= 1

    def map_swapped(self, region, index, frame, own):
        first = "ANON" not in frame.flags
        frame.flags |= {"ANON"} | ({"EXCLUSIVE"} if own else set())
        self.map_frame(region, index, frame)
        if index in region.locked and (self.profile["swapin_mlocks"] or not first):
            self.lock(frame)

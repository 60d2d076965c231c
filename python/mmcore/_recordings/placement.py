"""Skips recorded values that depend on the frame numbers of a boot.

A balloon and zsmalloc take their frames from the node's free lists, and so does everything on the
first node, where the kernel itself and the recording's other processes live. The order of these
lists when the script began is not recorded: it comes from the boot. So the machine's pages can lie
in other frames than the recorded ones, and then a compaction of the node moves other pages.

`passes` compares the values that the script's comparison skips. Where a layout was recorded before
a compaction, `passes` repeats the compaction on a node that is arranged by this layout, and
compares every move, the counters, the free blocks and the layout afterwards. Where the machine's
layout is the recorded one, the script's comparison skips nothing either. Only a compaction without
a recorded layout stays unchecked, because no record shows which pages it has to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcore._recordings.layouts import AS_RECORDED, KERNELS, letters_of, node_of, scanned

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Placement"]

#: Letters of pages whose frames come from the free lists that a boot has left.
_FROM_LISTS = frozenset("bz")
#: The node on which the kernel itself and the other processes of the recording's guest live.
_HOME = 0
#: The nodes whose counters a recording has.
_NODES = frozenset({0, 1, 2})
#: The kinds of frames that only a script makes. The layout of the home node is compared by them.
_OF_THE_SCRIPT = frozenset("bzH")
#: The fields of a step that a compaction changes: its counters, moves and failures.
_OF_A_COMPACTION = frozenset({"vm", "n0", "n1", "n2", "calls", "moves", "fails"})
#: The counters of a node's lists. A page that has moved waits in a batch and is in none of them.
_OF_LISTS = ("nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file")
#: The most pages in a batch of any kernel.
_MOST_IN_BATCH = 31
#: The letters of anonymous pages on a list and in a batch.
_ANONYMOUS = frozenset("av")
#: A kernel may mistake slab pages for movable pages, and then makes these calls once for each slab
#: allocation. A layout does not show where an allocation begins.
_ASKED_OF_SLABS = frozenset({"calls.isolate_movable_page", "calls.isolate_movable_page=0"})


class Placement:
    """The nodes whose pages lie in other frames than in the recording, step by step."""

    def __init__(self, *, frames: bool = True) -> None:
        """Begins a comparison; `frames` as in `layouts.scanned`."""
        self._frames = frames
        self._letters: dict[int | None, str] = {}
        self._apart: set[int] = set()
        # Nodes whose pages may wait in batches since a compaction that moved other pages.
        self._batched: set[int] = set()
        # Nodes whose last layout has as many anonymous pages as the recorded one, lists and batches
        # added.
        self._as_many: set[int] = set()
        # True if a compaction can have moved other pages since the last `nonlru`, which counts the
        # pages that have left their frames.
        self._left = False
        #: True if a compaction of the script so far can have moved other pages than recorded.
        self.moved_others = False

    def apply(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        """Takes note of a step before it is compared."""
        words = theirs["op"].split()
        node = node_of(words)
        if words[0] == "layout" and node is not None and (recorded := letters_of(theirs)):
            self._letters[node] = recorded
            machine = letters_of(ours).translate(AS_RECORDED)
            listed = node == _HOME or not _FROM_LISTS.isdisjoint(recorded)
            self._apart.discard(node)
            if listed and not _alike(recorded, machine):
                self._apart.add(node)
            self._as_many.discard(node)
            if _anonymous(theirs) == _anonymous(ours):
                self._as_many.add(node)
        elif words[0] == "compact" and self._moves_others(node):
            self._batched |= _NODES if node is None else {node}
            self._left = self.moved_others = True

    def after(self, theirs: Mapping[str, Any]) -> None:
        """Takes note of a step after it was compared."""
        word = theirs["op"].split()[0]
        if word == "drain":
            self._batched.clear()
        elif word == "nonlru":
            self._left = False

    def _moves_others(self, node: int | None) -> bool:
        """True if a compaction of a node (of all, if None) can move other pages than recorded.

        It can if the layouts differ, or if no layout of the node was recorded.
        """
        return node in self._apart or node not in self._letters

    def skipped(self, theirs: Mapping[str, Any]) -> set[str]:
        """Returns the fields of a step that depend on the frames, and are not compared."""
        words = theirs["op"].split()
        if words[0] == "compact" and self._moves_others(node_of(words)):
            return set(_OF_A_COMPACTION)
        if words[0] == "layout" and node_of(words) in self._apart:
            return {"layout", "buddy"}
        return set()

    def _of(self, words: list[str]) -> str:
        """The letters of the last layout of the node that an operation names; empty if unknown."""
        return self._letters.get(node_of(words), "")

    def covers(self, theirs: Mapping[str, Any], field: str, recorded: Any, machine: Any) -> bool:
        """True if the frames explain that one value of a step differs.

        Args:
            theirs: the recorded step.
            field: the field and the place within it, such as `n2.nr_inactive_anon`.
            recorded: the value of the kernel.
            machine: the value of the machine.
        """
        words = theirs["op"].split()
        if field == "vm.compact_migrate_scanned":
            known = self._letters.values() if node_of(words) is None else [self._of(words)]
            letters = "".join(known)
            return scanned(recorded, machine, letters, frames=self._frames)
        first, _, rest = field.partition(".")
        place = rest.rpartition(".")[2]
        if words[0] == "layout" and first == "kinds" and node_of(words) == _HOME:
            return rest not in _OF_THE_SCRIPT
        if words[0] == "layout" and first == "kinds" and rest in _ANONYMOUS:
            # The compaction has left other pages in the batch, and another number of them.
            return node_of(words) in self._batched & self._as_many
        if words[0] == "compact" and field in _ASKED_OF_SLABS:
            known = self._letters.values() if node_of(words) is None else [self._of(words)]
            slabs = sum(letters.count("S") for letters in known)
            return bool(machine <= recorded <= machine + slabs)
        if words[0] == "compact" and place == "moved":
            return self._moves_others(node_of(words))
        if first == "nonlru":
            return rest == "left_frames" and self._left
        if field == f"n{_HOME}.nr_unevictable" and _HOME in self._batched:
            # The compaction has left mlocked pages of the recording program in a batch.
            return bool(0 < recorded - machine <= _MOST_IN_BATCH)
        return any(first == f"n{node}" for node in self._batched) and rest in _OF_LISTS


def _anonymous(step: Mapping[str, Any]) -> int:
    """The anonymous pages that a layout shows on lists and in batches."""
    kinds = step.get("kinds", {}).items()
    return sum(pages for letter, pages in kinds if letter.translate(AS_RECORDED) in _ANONYMOUS)


def _alike(recorded: str, machine: str) -> bool:
    """True if two layouts differ only in frames that are free or the kernel's own in both."""
    free = KERNELS | {"."}
    pairs = zip(recorded, machine, strict=False)
    return len(recorded) == len(machine) and all(a == b or {a, b} <= free for a, b in pairs)

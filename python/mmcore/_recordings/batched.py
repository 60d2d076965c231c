"""Pages of files that wait in a batch, followed from layout to layout.

A layout shows a page of a file that waits in a batch with the letter of the kernel's own pages
(`k`), because such a page is on no list of the LRU. An earlier layout shows the page on its list,
and the recorded moves show each frame to which the page has moved since. So the page is found in
its batch as long as no operation in between can have freed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcore._recordings.compare import moves
from mmcore._recordings.layouts import field_of, letters_of, node_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Batched"]

#: Letters of pages that belong to a file or to shared memory.
_OF_FILES = frozenset("fdsu")
#: Operations that free no page of a file, and move none.
_KEEPING = frozenset(
    {"layout", "trace", "isolated", "nonlru", "extfrag", "set", "pin", "unpin", "drain", "fork"}
)


class Batched:
    """The frames of each node that are known to hold a page of a file, step by step."""

    def __init__(self) -> None:
        self._anonymous: set[str] = set()
        self._frames: dict[int, set[int]] = {}
        # The frames with the letter `k` in the last layout of each node.
        self._kernels: dict[int, set[int]] = {}

    def apply(self, step: Mapping[str, Any]) -> None:
        """Updates the frames after a step."""
        words = step["op"].split()
        node = node_of(words)
        if words[0] == "map":
            self._anonymous.discard(words[1])
            if words[2] == "anon":
                self._anonymous.add(words[1])
        elif words[0] == "layout" and node is not None and (letters := letters_of(step)):
            known = self._frames.get(node, set())
            kernels = {frame for frame, letter in enumerate(letters) if letter == "k"}
            files = {frame for frame, letter in enumerate(letters) if letter in _OF_FILES}
            self._frames[node] = files | (kernels & known)
            self._kernels[node] = kernels
        elif words[0] == "compact" and node is not None and field_of(step, "cev") is not None:
            known = self._frames.setdefault(node, set())
            # The kernel's own pages do not move: a page `k` that moved was a page of a file.
            kernels = self._kernels.pop(node, set())
            for source, target in moves(field_of(step, "moves") or []):
                of_a_file = source in known or source in kernels
                known -= {source, target}
                kernels.discard(source)
                if of_a_file:
                    known.add(target)
        elif not self._keeps(words):
            self._frames.clear()

    def _keeps(self, words: list[str]) -> bool:
        """True if an operation leaves every page of a file in its frame."""
        if words[0] == "madv":
            return words[1].partition(":")[0].partition("@")[0] in self._anonymous
        return words[0] in _KEEPING

    def letters(self, node: int, letters: str) -> str:
        """Returns the letters of a layout, with `q` for each page of a file in a batch."""
        known = self._frames.get(node, set())
        return "".join(
            "q" if letter == "k" and frame in known else letter
            for frame, letter in enumerate(letters)
        )

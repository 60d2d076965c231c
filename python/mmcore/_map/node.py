"""The map of one node, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmcore._mmcore import FRAME_KINDS, pattern_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FREE", "NodeMap"]

#: The letter of a free frame.
FREE: Final = "."
#: The number of frames that are counted at a time.
_PART: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class NodeMap:
    """The kind of each frame of a node.

    Attributes:
        node: the number of the node.
        base: the number of the node's first frame.
        letters: the letter of each frame (`mmcore.results.FRAME_KINDS`), in the order of the
            frames. Shape (frames,), uint8.
        owners: for each movable page a number that stands for its owner; 0 for all other frames.
            Shape (frames,), uint32.
        free_blocks: the number of free blocks of each order, as in `/proc/buddyinfo`.
        types: the migratetype of each pageblock, a letter each: `M` movable, `U` unmovable, `E`
            reclaimable, `H` high-atomic, `I` isolated.
        pageblock: the frames of a pageblock.
    """

    node: int
    base: int
    letters: NDArray[np.uint8]
    owners: NDArray[np.uint32]
    free_blocks: tuple[int, ...]
    types: str
    pageblock: int

    @property
    def text(self) -> str:
        """The letters as one text."""
        return bytes(self.letters).decode("ascii")

    @property
    def totals(self) -> dict[str, int]:
        """The number of frames of each kind that the node has, by letter."""
        counts = np.zeros(128, int)
        # In parts: the count of a long array takes eight times its memory, and hears no signal.
        for first in range(0, len(self.letters), _PART):
            counts += np.bincount(self.letters[first : first + _PART], minlength=128)
        return {letter: int(n) for letter in FRAME_KINDS if (n := counts[ord(letter)])}

    @property
    def runs(self) -> list[tuple[int, str]]:
        """The letters as runs: how often in a row each pattern comes, as recordings write it."""
        return pattern_runs(bytes(self.letters))

    @property
    def free(self) -> int:
        """The number of free frames in the buddy lists."""
        return int(np.count_nonzero(self.letters == ord(FREE)))

    @property
    def free_pageblocks(self) -> int:
        """The number of whole pageblocks whose frames are all free."""
        whole = len(self.letters) // self.pageblock * self.pageblock
        free = (self.letters[:whole] == ord(FREE)).reshape(-1, self.pageblock)
        return int(np.count_nonzero(free.all(axis=1)))

    @property
    def pages_by_owner(self) -> dict[int, int]:
        """The number of movable pages of each owner, by the number in `owners`."""
        numbers, counts = np.unique(self.owners[self.owners != 0], return_counts=True)
        return dict(zip(map(int, numbers), map(int, counts), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The map as plain data for JSON."""
        return {
            "node": self.node,
            "base": self.base,
            "frames": len(self.letters),
            "layout": [list(run) for run in self.runs],
            "kinds": self.totals,
            "free_blocks": list(self.free_blocks),
            "free_pageblocks": self.free_pageblocks,
            "types": self.types,
            "pageblock": self.pageblock,
            "owners": {str(owner): pages for owner, pages in self.pages_by_owner.items()},
        }

    def __repr__(self) -> str:
        """The node, its frames and how many of them are free."""
        return f"<NodeMap node={self.node} frames={len(self.letters)} free={self.free}>"

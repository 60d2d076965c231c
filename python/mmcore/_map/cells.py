"""The picture of a node: rows of cells, each with one letter for one or several adjacent frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mmcore._map.node import FREE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcore._map.node import NodeMap

__all__ = ["COLORS", "COLUMNS", "cell_letters", "frames_per_cell"]

#: The number of cells in a row.
COLUMNS: Final = 64

#: The most rows of a picture. A node that would need more rows gets more frames in each cell.
_ROWS: Final = 40

#: The colour of each letter (`mmcore.results.FRAME_KINDS`). Anonymous pages are blue, pages of
#: files green, other movable pages orange. Frames of the kernel are dark grey, free and absent ones
#: light grey, poisoned ones red. Pages under writeback and huge pages are brown, isolated pages
#: purple.
COLORS: Final[dict[str, str]] = {
    ".": "#e5e7eb",
    "a": "#2563eb",
    "v": "#60a5fa",
    "p": "#1e1b4b",
    "U": "#4f46e5",
    "A": "#0891b2",
    "f": "#16a34a",
    "d": "#65a30d",
    "s": "#0d9488",
    "u": "#166534",
    "w": "#a16207",
    "q": "#4ade80",
    "z": "#f97316",
    "b": "#f59e0b",
    "m": "#fb923c",
    "i": "#c026d3",
    "h": "#78350f",
    "H": "#dc2626",
    "S": "#374151",
    "T": "#4b5563",
    "R": "#111827",
    "k": "#6b7280",
    "c": "#cbd5e1",
    "x": "#f8fafc",
    "?": "#f1f5f9",
}


def frames_per_cell(frames: int) -> int:
    """Returns the frames of a cell: the smallest power of two that gives at most `_ROWS` rows.

    Args:
        frames: the number of frames of the node.
    """
    cell = 1
    while frames > COLUMNS * _ROWS * cell:
        cell *= 2
    return cell


def cell_letters(node: NodeMap, cell: int) -> str:
    """Returns one letter for each cell of a node, in the order of the frames.

    A cell whose frames are all free is free. Any other cell has the letter of the most frequent
    kind among its frames that are not free, so that a single page in a free range stays visible.

    Args:
        node: the map of the node.
        cell: the number of frames in a cell; the last cell may have fewer.
    """
    if cell == 1:
        return node.text
    # Cell by cell: numbers of the cells of all frames would take eight times the memory of the map.
    firsts = range(0, len(node.letters), cell)
    parts = (node.letters[first : first + cell] for first in firsts)
    counts: NDArray[np.int64] = np.stack([np.bincount(part, minlength=128) for part in parts])
    # With a count of 0, the letter for free loses to any other kind that the cell has.
    counts[:, ord(FREE)] = 0
    largest = counts.argmax(axis=1)
    return "".join(chr(c) if counts[i, c] else FREE for i, c in enumerate(map(int, largest)))

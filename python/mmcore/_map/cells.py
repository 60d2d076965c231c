"""The picture of a node: rows of cells, each the letter of some frames in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mmcore._map.node import FREE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcore._map.node import NodeMap

__all__ = ["COLORS", "COLUMNS", "cell_letters", "frames_per_cell"]

#: Cells of a row.
COLUMNS: Final = 64

#: The most rows of a picture: a larger node has more frames in a cell.
_ROWS: Final = 40

#: The colour of each letter. Kinds that a compaction moves are blue, green or orange, those that
#: stay in place are grey, poison is red.
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
    """The frames of a cell: the smallest power of two with which a node needs few rows."""
    cell = 1
    while frames > COLUMNS * _ROWS * cell:
        cell *= 2
    return cell


def cell_letters(node: NodeMap, cell: int) -> str:
    """One letter for each `cell` frames of a node, in the order of the frames.

    A cell is free only if all of its frames are; else it has the kind of most of the others, so
    that a single page in a free range stays visible.
    """
    if cell == 1:
        return node.text
    count = -(-len(node.letters) // cell)
    counts: NDArray[np.int64] = np.zeros((count, 128), dtype=np.int64)
    places = np.arange(len(node.letters)) // cell
    np.add.at(counts, (places, node.letters), 1)
    # Free counts less than one frame of any other kind.
    counts[:, ord(FREE)] = 0
    largest = counts.argmax(axis=1)
    return "".join(chr(c) if counts[i, c] else FREE for i, c in enumerate(map(int, largest)))

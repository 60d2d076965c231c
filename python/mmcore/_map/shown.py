"""The parts that all results with maps show: pictures, kinds of frames, free blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._map.cells import COLORS, COLUMNS, cell_letters, frames_per_cell
from mmcore._mmcore import FRAME_KINDS
from mmcore.reporting import Cells, Grid
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore._map.node import NodeMap
    from mmcore.reporting import Part

__all__ = ["blocks", "kinds", "picture"]


def blocks(node: NodeMap) -> str:
    """The free blocks of each order, as one text."""
    return " ".join(map(str, node.free_blocks))


def picture(maps: tuple[NodeMap, ...]) -> Iterator[Part]:
    """The pictures of one node side by side, under a line with the meaning of the letters."""
    frames = len(maps[0].letters)
    cell = frames_per_cell(frames)
    each = "a frame" if cell == 1 else f"{cell} frames, free only if all of them are"
    yield f"node {maps[0].node}: {frames:,} frames; a letter is {each}"
    letters = [cell_letters(node, cell) for node in maps]
    width = len(str(frames))
    yield Cells(
        tuple(
            (
                f"{first * cell:>{width}}",
                tuple(picture[first : first + COLUMNS] for picture in letters),
            )
            for first in range(0, len(letters[0]), COLUMNS)
        ),
        COLORS,
    )


def kinds(maps: tuple[NodeMap, ...], *titles: str) -> Grid:
    """A table of the kinds of frames, with a column for each map of one node."""
    totals = [node.totals for node in maps]
    rows = tuple(
        (letter, *(f"{each.get(letter, 0):,}" for each in totals), meaning)
        for letter, meaning in FRAME_KINDS.items()
        if any(letter in each for each in totals)
    )
    return Grid(columns("letter", *(f">{title}" for title in titles), "what it is"), rows)

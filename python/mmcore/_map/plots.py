"""Maps as image files, with matplotlib: one coloured square for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._extras import need
from mmcore._map.cells import COLORS, COLUMNS, cell_letters, frames_per_cell
from mmcore._mmcore import FRAME_KINDS
from mmcore._plotting import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmcore._map.node import NodeMap
    from mmcore.reporting import Drawing

__all__ = ["pictures"]


def pictures(shown: Sequence[tuple[str, NodeMap]], *, side_by_side: int) -> Drawing:
    """Maps as one drawing.

    Args:
        shown: the title and the map of each picture.
        side_by_side: the number of pictures in a row.
    """
    return drawing(lambda: _figure(shown, side_by_side), "The frames as coloured squares")


def _figure(shown: Sequence[tuple[str, NodeMap]], side_by_side: int) -> Any:
    figure_module = need("matplotlib.figure", "plotting")
    colors_module = need("matplotlib.colors", "plotting")
    patches = need("matplotlib.patches", "plotting")
    letters = list(COLORS)
    places = np.full(128, len(letters))
    places[[ord(letter) for letter in letters]] = range(len(letters))
    palette = colors_module.ListedColormap([*COLORS.values(), "#ffffff"])
    rows = -(-len(shown) // side_by_side)
    figure = figure_module.Figure(
        figsize=(6.4 * side_by_side, 0.8 + 4.2 * rows), layout="constrained"
    )
    every = np.atleast_1d(figure.subplots(rows, side_by_side, squeeze=False).ravel())
    seen: set[str] = set()
    for axes, (title, node) in zip(every, shown, strict=True):
        cell = frames_per_cell(len(node.letters))
        text = cell_letters(node, cell)
        seen.update(text)
        height = -(-len(text) // COLUMNS)
        grid = np.full(height * COLUMNS, len(letters))
        grid[: len(text)] = places[np.frombuffer(text.encode("ascii"), dtype=np.uint8)]
        axes.imshow(
            grid.reshape(height, COLUMNS),
            cmap=palette,
            vmin=0,
            vmax=len(letters),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(f"{title}: a square is {cell} frame{'s' if cell > 1 else ''}", loc="left")
        ticks = range(0, height, max(1, height // 8))
        axes.set_yticks(ticks, [f"{row * COLUMNS * cell:,}" for row in ticks])
        axes.set_xticks([])
    figure.legend(
        handles=[
            patches.Patch(facecolor=COLORS[letter], label=f"{letter} {FRAME_KINDS[letter]}")
            for letter in letters
            if letter in seen
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    return figure

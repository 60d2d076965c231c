"""The drawings of a result as one image file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmcore import _output
from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmcore.reporting._parts import Drawing

__all__ = ["save"]


def save(drawings: Sequence[Drawing], path: Path) -> None:
    """Writes drawings to an image file, one below the other.

    Args:
        drawings: the drawings of one result.
        path: the file; its ending selects the format.

    Raises:
        InputError: if there is no drawing, or the drawings have no such format.
        MissingExtraError: if matplotlib is needed and not installed.
        OSError: if the file cannot be written.
    """
    if not drawings:
        raise InputError("the result has no drawing: to_html writes a page without one")
    if len(drawings) == 1 and drawings[0].save is not None:
        drawings[0].save(path)
        return
    if path.suffix.lower() != ".svg":
        raise InputError(f"{path}: the name must end in .svg, the one format of these drawings")
    _output.write(path, _stacked([drawing.svg() for drawing in drawings]) + "\n")


def _stacked(images: list[str]) -> str:
    """One SVG element that shows SVG elements one below the other."""
    if len(images) == 1:
        return images[0]
    width = height = 0
    placed = []
    for image in images:
        placed.append(image.replace("<svg", f'<svg y="{height}"', 1))
        head = image[: image.index(">")]
        wide, high = (int(re.findall(rf'\b{name}="(\d+)', head)[0]) for name in ("width", "height"))
        width, height = max(width, wide), height + high
    size = f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg"'
    return f"<svg {size}>{''.join(placed)}</svg>"

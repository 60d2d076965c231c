"""The formats of images that results are plotted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._extras import need
from mmcore._errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FORMATS", "check_path"]

FORMATS = (".svg", ".pdf", ".png")


def check_path(path: Path) -> None:
    """Checks that matplotlib can write the image format, before the work.

    Raises:
        InputError: if the ending of the name is none of `FORMATS`.
        MissingExtraError: if matplotlib is not installed.
    """
    need("matplotlib", "plotting")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: the name of a plot must end in one of {', '.join(FORMATS)}")

"""Figures of matplotlib as drawings of results: SVG on a page, and image files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from mmcore import _output
from mmcore._errors import InputError
from mmcore._extras import need
from mmcore.reporting import Drawing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FORMATS", "check_path", "drawing"]

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


def drawing(draw: Callable[[], Any]) -> Drawing:
    """A drawing of the figure that `draw` makes; nothing is drawn before it is shown or saved."""

    def svg() -> str:
        buffer = io.StringIO()
        _figure(draw).savefig(buffer, format="svg", metadata=_metadata(".svg"))
        text = buffer.getvalue()
        return text[text.index("<svg") :]

    def save(path: Path) -> None:
        check_path(path)
        suffix = path.suffix.lower()
        figure = _figure(draw)
        with _output.replacing(path) as file:
            figure.savefig(file, format=suffix[1:], metadata=_metadata(suffix))

    return Drawing(svg, save)


def _figure(draw: Callable[[], Any]) -> Any:
    matplotlib = need("matplotlib", "plotting")
    # Text stays text in an SVG, and ids are hashes of the content: random ids would make each file
    # differ.
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "mmcore"
    return draw()


def _metadata(suffix: str) -> dict[str, None]:
    # Without a date the same result gives the same bytes.
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})

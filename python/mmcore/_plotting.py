"""Figures of matplotlib as drawings of results: SVG on a page, and image files."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from mmcore import _output
from mmcore._errors import InputError
from mmcore._extras import need
from mmcore.reporting import Drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mmcore.reporting import Grid

__all__ = ["COLORS", "FORMATS", "check_path", "drawing"]

FORMATS = (".svg", ".pdf", ".png")

#: The attributes of SVG elements that hold coordinates, and coordinates with many digits in them.
_PLACE = re.compile(r' (?:d|x|y)="[^"]*"')
_LONG = re.compile(r"(\d\.\d\d)\d+")

#: Colours that can be told from a white and from a dark page: each has a contrast of at least 3.7
#: with both.
COLORS = (
    "#2f7dd1",
    "#c96a12",
    "#2c9160",
    "#c94f7c",
    "#8b6fd6",
    "#8a7a00",
    "#0f8c99",
    "#7a7f87",
)


def check_path(path: Path) -> None:
    """Checks that matplotlib can write the image format, before the work.

    Raises:
        InputError: if the ending of the name is none of `FORMATS`.
        MissingExtraError: if matplotlib is not installed.
    """
    need("matplotlib", "plotting")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: the name of a plot must end in one of {', '.join(FORMATS)}")


def drawing(
    draw: Callable[[], Any],
    title: str,
    tables: Callable[[], Sequence[Grid]] | None = None,
) -> Drawing:
    """A drawing of the figure that `draw` makes; nothing is drawn before it is shown or saved.

    Args:
        draw: makes the figure.
        title: the title of the figure.
        tables: makes tables with the values of the figure; None if the result has such a table.
    """

    def svg() -> str:
        figure = _figure(draw)
        # On a web page, which is light or dark, the background shows through. An image file stays
        # white.
        for axes in figure.axes:
            axes.set_facecolor("none")
        text = _as_svg(figure, facecolor="none")
        return text[text.index("<svg") :]

    def save(path: Path) -> None:
        check_path(path)
        suffix = path.suffix.lower()
        figure = _figure(draw)
        if suffix == ".svg":
            _output.write(path, _as_svg(figure))
            return
        with _output.replacing(path) as file:
            figure.savefig(file, format=suffix[1:], metadata=_metadata(suffix))

    return Drawing(svg, save, title, tables)


def _figure(draw: Callable[[], Any]) -> Any:
    matplotlib = need("matplotlib", "plotting")
    # Text stays text in an SVG, and ids are hashes of the content: random ids would make each file
    # differ.
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "mmcore"
    return draw()


def _as_svg(figure: Any, **options: Any) -> str:
    """The figure as SVG, with coordinates of hundredths of a point: the file is half as large."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_metadata(".svg"), **options)
    return _PLACE.sub(lambda found: _LONG.sub(r"\1", found[0]), buffer.getvalue())


def _metadata(suffix: str) -> dict[str, None]:
    # Without a date the same result gives the same bytes.
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})

"""Results as self-contained web pages: styles, scripts and images are inside the file.

All pages have one skeleton: a header with the title and the status, the parts of the result, the
command that repeats it, and a footer with the environment. The style has light and dark colours,
which the reader's system selects. A table or picture that is wider than the window scrolls in a box
of its own, which the keyboard reaches; the page never scrolls sideways.
"""

from __future__ import annotations

import json
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mmcore.reporting._parts import Cells, Code, Drawing, Grid, Listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcore.reporting._parts import Live, Part

__all__ = ["fragment", "page"]


def page(title: str, parts: Iterable[Part], document: Mapping[str, Any]) -> str:
    """Builds an HTML page of the parts, the repeating command, the environment and the build.

    Args:
        title: the heading of the page.
        parts: the parts of the result, in the order of the page.
        document: the JSON document of the result as plain data (`Result.to_dict`).
    """
    facts = {name: document[name] for name in ("environment", "build", "seed")}
    kind, status = document["kind"], document["status"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{_shipped("page.css")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>mmcore {escape(kind)} · <span class="status status-{status}">{status}</span></p>
</header>
<main>
{fragment(parts, drawings=True)}
<h2>Repeat it</h2>
<pre class="wrapped">{escape(document["command"])}</pre>
</main>
<footer>
<details><summary>Where it was made</summary>
<pre class="wrapped">{escape(json.dumps(facts, indent=2))}</pre></details>
</footer>
</body>
</html>
"""


def fragment(parts: Iterable[Part], *, drawings: bool) -> str:
    """Builds the HTML elements of the parts, without a page around them.

    Args:
        parts: the parts of the result.
        drawings: whether to draw images too, which needs matplotlib.
    """
    return "\n".join(_elements(parts, drawings=drawings))


def _elements(parts: Iterable[Part], *, drawings: bool) -> Iterator[str]:
    """The elements; lines that follow each other without an empty one are one paragraph."""
    for is_text, group in groupby(parts, lambda part: isinstance(part, str) and part != ""):
        if is_text:
            text = "\n".join(map(str, group))
            yield f'<p class="lines">{escape(text)}</p>'
            continue
        for part in group:
            match part:
                case Grid():
                    yield _table(part)
                case Code():
                    box = f"<pre>{escape(part.text)}</pre>"
                    yield _scrolled(box, part.title)
                case Listed():
                    yield from (_table(grid) for grid in part.tables if grid.rows)
                case Cells():
                    yield _scrolled(_cells(part), "the frames as letters")
                case Drawing() if drawings:
                    yield _figure(part)


def _scrolled(element: str, name: str) -> str:
    """A box that scrolls sideways. Only a focusable box with a name is in reach of the keyboard."""
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-label="{escape(name)}">{element}</div>'
    )


def _table(grid: Grid) -> str:
    styles = [' class="right"' if column.right else "" for column in grid.columns]
    titles = "".join(
        # A heading without words would be read out as an empty heading.
        f'<th scope="col"{style}>{escape(column.title)}</th>' if column.title else "<td></td>"
        for column, style in zip(grid.columns, styles, strict=True)
    )

    def row(cells: Iterable[str]) -> str:
        made = zip(cells, styles, strict=True)
        return "".join(f"<td{style}>{escape(cell)}</td>" for cell, style in made)

    body = "\n".join(f"<tr>{row(cells)}</tr>" for cells in grid.rows)
    caption = f"<caption>{escape(grid.title)}</caption>\n" if grid.title else ""
    table = (
        f"<table>\n{caption}<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )
    named = ", ".join(column.title for column in grid.columns if column.title)
    return _scrolled(table, grid.title or f"table: {named}")


def _figure(drawing: Drawing) -> str:
    tables = "\n".join(map(_table, drawing.tables())) if drawing.tables is not None else ""
    caption = f"<figcaption>{escape(drawing.title)}</figcaption>"
    if drawing.live is not None:
        return f"<figure>\n{_live(drawing.live())}\n{caption}\n</figure>\n{tables}"
    # The ink of a figure is black, which would not be seen on a dark page.
    image = drawing.svg().replace("#000000", "currentColor")
    name = f'<svg class="drawn" role="img" aria-label="{escape(drawing.title)}"'
    image = _scrolled(image.replace("<svg", name, 1), drawing.title)
    return f"<figure>\n{image}\n{caption}\n</figure>\n{tables}"


def _live(live: Live) -> str:
    # In a script element only "</" could end the data early, and text of JSON may escape it.
    data = json.dumps(live.data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'{live.html}\n<script type="application/json" id="data">{data}</script>\n'
        f"<script>{_shipped(live.script)}</script>"
    )


def _shipped(name: str) -> str:
    # Imported here and not above: it loads modules of archives, which every result would wait for.
    from importlib.resources import files

    return files("mmcore").joinpath("data", name).read_text(encoding="utf-8")


def _cells(cells: Cells) -> str:
    """The rows of a picture; letters of one kind in a row share an element."""

    def colored(letters: str) -> str:
        runs = (("".join(run), letter) for letter, run in groupby(letters))
        return "".join(
            f'<span style="{_color(cells.colors.get(letter, "#ffffff"))}">{escape(run)}</span>'
            for run, letter in runs
        )

    lines = ("  ".join([escape(label), *map(colored, parts)]) for label, parts in cells.rows)
    text = "\n".join(lines)
    return f'<pre class="cells">{text}</pre>'


def _color(background: str) -> str:
    """A background and the ink that can be read on it, black or white, as a style.

    Black and white have the same contrast with a colour of the relative luminance 0.179.
    """
    shares = [int(background[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179
    return f"background:{background};color:{'#000' if light else '#fff'}"

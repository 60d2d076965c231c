"""Results as self-contained web pages: styles and images are inside the file."""

from __future__ import annotations

import json
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mmcore.reporting._parts import Cells, Code, Drawing, Grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmcore.reporting._parts import Part

__all__ = ["fragment", "page"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: .2rem .75rem; text-align: left; border-bottom: 1px solid #ddd; }
th.right, td.right { text-align: right; }
td { white-space: pre-wrap; }
.scroll, figure { overflow-x: auto; margin: 1rem 0; }
pre, code { font: 12px/1.4 ui-monospace, monospace; }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto; }
pre.cells { background: none; line-height: 1.15; color: rgba(0, 0, 0, .45); }
"""


def page(title: str, parts: Iterable[Part], document: Mapping[str, Any]) -> str:
    """Builds an HTML page of the parts, the repeating command, the environment and the build.

    Args:
        title: the heading of the page.
        parts: the parts of the result, in the order of the page.
        document: the JSON document of the result as plain data (`Result.to_dict`).
    """
    facts = {name: document[name] for name in ("environment", "build", "seed")}
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{fragment(parts, drawings=True)}
<h2>Repeat it</h2>
<pre>{escape(document["command"])}</pre>
<details><summary>Where it was made</summary>
<pre>{escape(json.dumps(facts, indent=2))}</pre></details>
</body>
</html>
"""


def fragment(parts: Iterable[Part], *, drawings: bool) -> str:
    """Builds the HTML elements of the parts, without a page around them.

    Args:
        parts: the parts of the result.
        drawings: whether to draw images too, which needs matplotlib.
    """
    return "\n".join(_element(part, drawings=drawings) for part in parts if part != "")


def _element(part: Part, *, drawings: bool) -> str:
    match part:
        case str():
            return f"<p>{'<br>'.join(escape(line) for line in part.splitlines())}</p>"
        case Grid():
            return _table(part)
        case Code():
            return f"<pre>{escape(part.text)}</pre>"
        case Cells():
            return _cells(part)
        case Drawing():
            return f"<figure>{part.svg()}</figure>" if drawings else ""


def _table(grid: Grid) -> str:
    styles = [' class="right"' if column.right else "" for column in grid.columns]

    def row(element: str, cells: Iterable[str]) -> str:
        made = zip(cells, styles, strict=True)
        return "".join(f"<{element}{style}>{escape(cell)}</{element}>" for cell, style in made)

    titles = row("th", (column.title for column in grid.columns))
    body = "\n".join(f"<tr>{row('td', cells)}</tr>" for cells in grid.rows)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _cells(cells: Cells) -> str:
    """The rows of a picture; letters of one kind in a row share an element."""

    def colored(letters: str) -> str:
        runs = (("".join(run), letter) for letter, run in groupby(letters))
        return "".join(
            f'<span style="background:{cells.colors.get(letter, "#ffffff")}">{escape(run)}</span>'
            for run, letter in runs
        )

    lines = ("  ".join([escape(label), *map(colored, parts)]) for label, parts in cells.rows)
    text = "\n".join(lines)
    return f'<pre class="cells">{text}</pre>'

"""A comparison as a web page that needs no other file."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from mmcore.comparison.plots import as_svg
from mmcore.comparison.text import preface, rows

if TYPE_CHECKING:
    from mmcore.comparison.result import Comparison

__all__ = ["as_html"]

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child { text-align: left; white-space: pre; font-weight: normal; }
thead th { font-weight: bold; }
.scroll { overflow-x: auto; }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto; font-size: 13px; }
svg { max-width: 100%; height: auto; }
"""


def as_html(comparison: Comparison) -> str:
    """The page."""
    head = "".join(f"<th>{escape(label)}</th>" for label in comparison.labels)
    body = "\n".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows(comparison)
    )
    verdict = "".join(f"<li>{escape(line)}</li>" for line in comparison.verdict.splitlines())
    data = comparison.as_dict()
    facts = {key: data[key] for key in ("environment", "configurations", "verified")}
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mmcore compare: {escape(" · ".join(comparison.labels))}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(" · ".join(comparison.labels))}</h1>
<p>{"<br>".join(escape(line) for line in preface(comparison))}</p>
<ul>{verdict}</ul>
<div class="scroll"><table>
<thead><tr><th></th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
<figure>{as_svg(comparison)}</figure>
<h2>Repeat it</h2>
<pre>{escape(comparison.plan.command)}</pre>
<details><summary>Where it was measured</summary>
<pre>{escape(json.dumps(facts, indent=1))}</pre></details>
</body>
</html>
"""

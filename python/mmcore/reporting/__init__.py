"""The base of all results, and their three views: text, web page and JSON document.

| file | idea |
|---|---|
| `result` | the base class of all results |
| `parts` | lines, tables, code and drawings that a result is shown as, and the plain text of them |
| `page` | the parts as one self-contained web page |
| `image` | the drawings as one image file |
| `document` | the head of every JSON document, and the published schemas |
"""

from __future__ import annotations

from mmcore.reporting.document import KINDS, head, schema
from mmcore.reporting.parts import Cells, Code, Column, Drawing, Grid, Part
from mmcore.reporting.result import Result

__all__ = [
    "KINDS",
    "Cells",
    "Code",
    "Column",
    "Drawing",
    "Grid",
    "Part",
    "Result",
    "head",
    "schema",
]

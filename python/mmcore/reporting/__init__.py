"""The base of all results, and their three views: text, web page and JSON document.

| file | idea |
|---|---|
| `_result` | the base class of all results |
| `_parts` | lines, tables, code and drawings that a result is shown as, and their plain text |
| `_page` | the parts as one self-contained web page |
| `_image` | the drawings as one image file |
| `_arrow` | the rows as a table for polars, pandas, DuckDB and pyarrow |
| `_document` | the head of every JSON document, and the published schemas |
"""

from __future__ import annotations

from mmcore.reporting._document import KINDS, head, schema
from mmcore.reporting._parts import Cells, Code, Column, Drawing, Grid, Listed, Live, Part
from mmcore.reporting._result import Result

__all__ = [
    "KINDS",
    "Cells",
    "Code",
    "Column",
    "Drawing",
    "Grid",
    "Listed",
    "Live",
    "Part",
    "Result",
    "head",
    "schema",
]

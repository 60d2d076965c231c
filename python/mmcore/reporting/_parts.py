"""The parts of a shown result: lines, tables, code and drawings.

A result lists its parts once. The plain text (here), the web page (`_page`) and the tables of the
command line are made from the same list: with lists of their own, one view could lack a line that
another has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Cells",
    "Code",
    "Column",
    "Drawing",
    "Grid",
    "Listed",
    "Live",
    "Part",
    "as_text",
    "columns",
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: the text at the head of the column.
        right: whether cells are aligned to the right, as numbers are.
    """

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        columns: the columns, from left to right.
        rows: the rows; each has one cell per column.
        title: the title of the table; a web page has it above the table.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""

    def lines(self) -> list[str]:
        """Formats the table as text lines, the titles first; columns are two spaces apart."""
        table = [tuple(column.title for column in self.columns), *self.rows]
        widths = [max(len(row[number]) for row in table) for number in range(len(self.columns))]
        return ["  ".join(self._padded(row, widths)).rstrip() for row in table]

    def _padded(self, row: tuple[str, ...], widths: Sequence[int]) -> Iterable[str]:
        for cell, width, column in zip(row, widths, self.columns, strict=True):
            yield cell.rjust(width) if column.right else cell.ljust(width)


@dataclass(frozen=True, slots=True)
class Code:
    """Lines shown in a fixed-width font without wrapping, such as a program.

    Attributes:
        text: the lines.
        title: the name of the lines, such as "the program"; a web page names the box by it.
    """

    text: str
    title: str = "code"

    def lines(self) -> list[str]:
        """Splits the text into lines, each indented by four spaces."""
        return [f"    {line}".rstrip() for line in self.text.splitlines()]


@dataclass(frozen=True, slots=True)
class Listed:
    """Lines in a text, and tables of the same facts on a web page.

    A terminal shows a long row better as lines; a page has room for columns.

    Attributes:
        text: the lines.
        tables: the tables; those without a row are left out.
    """

    text: str
    tables: tuple[Grid, ...]

    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()


@dataclass(frozen=True, slots=True)
class Cells:
    """A picture of letters, coloured on a terminal and on a page; several may stand side by side.

    Attributes:
        rows: for each row its label and the letters of each picture.
        colors: the colour of each letter, as `#rrggbb`.
    """

    rows: tuple[tuple[str, tuple[str, ...]], ...]
    colors: Mapping[str, str]

    def lines(self) -> list[str]:
        """Formats the rows as text lines; pictures are two spaces apart."""
        pictures = zip(*(parts for _, parts in self.rows), strict=True)
        widths = [max(map(len, picture)) for picture in pictures]
        return [
            "  ".join([label, *map(str.ljust, parts, widths)]).rstrip()
            for label, parts in self.rows
        ]


@dataclass(frozen=True, slots=True)
class Live:
    """HTML elements that a web page shows instead of a drawing, with a script that moves them.

    Attributes:
        html: the elements. Without the script they must still show everything.
        script: the name of the script in the folder `data` of the package.
        data: the input of the script, plain data for JSON, in the element with the id `data`.
    """

    html: str
    script: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """An image, for a web page and for `Result.plot`.

    Attributes:
        svg: draws the image and returns an SVG element. Called only for a page or an image file, so
            that text and JSON need no drawing library.
        save: draws the image and writes it to a file; the ending selects the format. None for an
            image that is SVG alone.
        title: the title of the image; a web page has it under the image.
        tables: makes tables with the values of the image, which a web page shows under it; None if
            the part after the drawing is such a table.
        live: makes the elements that a web page shows instead of the image; None for the image.
    """

    svg: Callable[[], str]
    save: Callable[[Path], None] | None = None
    title: str = "picture"
    tables: Callable[[], Sequence[Grid]] | None = None
    live: Callable[[], Live] | None = None


#: One part of a shown result. A str is one or more lines; an empty str is a blank line.
Part: TypeAlias = str | Grid | Code | Listed | Cells | Drawing


def columns(*titles: str) -> tuple[Column, ...]:
    """Makes columns from titles; a title that begins with `>` makes a right-aligned column."""
    return tuple(Column(title.removeprefix(">"), title.startswith(">")) for title in titles)


def as_text(parts: Iterable[Part]) -> str:
    """Formats the parts as plain text; drawings are left out."""
    lines: list[str] = []
    for part in parts:
        match part:
            case Drawing():
                continue
            case str():
                lines.append(part)
            case _:
                lines += part.lines()
    return "\n".join(lines)

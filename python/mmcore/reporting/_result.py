"""The base class of all results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _output
from mmcore.reporting._document import as_json, head
from mmcore.reporting._image import save
from mmcore.reporting._page import fragment, page
from mmcore.reporting._parts import Drawing, as_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mmcore.reporting._parts import Part
    from mmcore.typing import Status

__all__ = ["Result"]


class Result(ABC):
    """The result of a library call: `print` shows it as text, a notebook as a page.

    A subclass defines `kind`, `command`, `table`, `verdict`, `status`, `content` and `parts`; the
    text, the page and the JSON document are made from these.

    Attributes:
        kind: the kind of the JSON document; names its schema.
    """

    __slots__ = ()

    kind: ClassVar[str]

    if TYPE_CHECKING:
        # Only for type checkers: at run time this property would become the default value of the
        # field `command` of a dataclass.
        @property
        def command(self) -> str:
            """The command line or Python call that makes the result again."""

    @property
    @abstractmethod
    def table(self) -> list[dict[str, Any]]:
        """The rows of the result, as plain data: one dict per row."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The conclusion as text, of one line or several."""

    @property
    @abstractmethod
    def status(self) -> Status:
        """The conclusion in one of four words that all results share.

        `clean`: no finding. `finding`: a rule broke, or two sides differ. `unusable`: some of the
        input could not be used. `inconclusive`: the work ended too early for a conclusion.
        """

    @property
    def seed(self) -> int | None:
        """The seed of all random choices; None if there were none."""
        return None

    @property
    def title(self) -> str:
        """The heading of the web page."""
        return f"mmcore {self.kind}: {self.status}"

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """The keys of the JSON document beside head, status and verdict, as plain data."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """The parts that the text, the page and the command line show, in order."""

    def drawings(self) -> list[Drawing]:
        """The images that `plot` writes; none for a result that is text and tables alone."""
        return [part for part in self.parts() if isinstance(part, Drawing)]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as plain data (docs/json.md)."""
        outcome = {"status": self.status, "verdict": self.verdict}
        return {**head(self.kind, self.command, self.seed), **outcome, **self.content()}

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Formats the JSON document (docs/json.md), and writes it to `path` if one is given.

        Raises:
            OSError: if the file cannot be written.
        """
        text = as_json(self.to_dict())
        if path is not None:
            _output.write(path, f"{text}\n")
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Builds a self-contained HTML page, and writes it to `path` if one is given.

        Raises:
            MissingExtraError: if the result has plots and matplotlib is not installed.
            OSError: if the file cannot be written.
        """
        text = page(self.title, self.parts(), self.to_dict())
        if path is not None:
            _output.write(path, text)
        return text

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Writes the drawings of the result as an image file.

        Args:
            path: the file; its ending selects the format: .svg for the steps of a schedule, .svg,
                .pdf or .png for any other drawing.

        Raises:
            InputError: if the result has no drawing, or the name has another ending.
            MissingExtraError: if the drawings need matplotlib, and it is not installed.
            OSError: if the file cannot be written.
        """
        save(self.drawings(), Path(path))

    def __str__(self) -> str:
        return as_text(self.parts())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows of `table` as an Arrow stream, which polars, pandas, DuckDB and pyarrow take.

        Raises:
            MissingExtraError: if nanoarrow is not installed.
        """
        # Imported here and not above: only tables that leave mmcore need it.
        from mmcore.reporting._arrow import stream

        return stream(self.table, requested_schema)

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: the page without its drawings."""
        return fragment(self.parts(), drawings=False)

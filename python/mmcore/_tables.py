"""Values of a machine that are tables: its counters, and the states of many pages.

The counters are a dict, and the states a NumPy array. Both also show themselves in notebooks, and
leave mmcore as tables of Arrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore import _notebook as notebook
from mmcore._mmcore import FLAGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Counters", "PageStates", "of_events", "of_findings", "of_migrated"]

#: The most rows of an array that a notebook shows.
_SHOWN = 20


class Counters(dict[str, int]):
    """The counters of `Machine.vmstat`: a dict of the kernel's names.

    A notebook shows the counters that are not 0. As a table of Arrow it has the columns ``counter``
    and ``value``, one row for each counter.
    """

    __slots__ = ()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The counters as an Arrow stream, which polars, pandas, DuckDB and pyarrow take.

        Raises:
            MissingExtraError: if nanoarrow is not installed.
        """
        from mmcore.reporting._arrow import stream

        rows = [{"counter": name, "value": value} for name, value in self.items()]
        return stream(rows, requested_schema)

    def _repr_html_(self) -> str:
        rows = [(name, f"{value:,}") for name, value in self.items() if value]
        rest = len(self) - len(rows)
        left = f"{rest:,} counters are 0" if rest else ""
        return notebook.table(("counter", ">value"), rows, left)


class PageStates(np.ndarray[Any, np.dtype[np.void]]):
    """The array of `Machine.page_states`: one record of `mmcore.results.PAGE_STATE` for each page.

    A field of it, such as ``states["refcount"]``, is a plain array of NumPy. As a table of Arrow it
    has the fields as columns; ``flags`` has the names of the flags that are set.
    """

    def __getitem__(self, key: Any) -> Any:
        """Records, or the plain array of a field."""
        found = super().__getitem__(key)
        if isinstance(found, PageStates) and found.dtype.names is None:
            return found.view(np.ndarray)
        return found

    def __array_wrap__(self, array: NDArray[Any], *_context: Any) -> Any:
        """The result of a comparison of two arrays: booleans, and no states of pages."""
        return array[()] if array.ndim == 0 else array

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The states as an Arrow stream, which polars, pandas, DuckDB and pyarrow take.

        Raises:
            MissingExtraError: if nanoarrow is not installed.
        """
        from mmcore.reporting._arrow import stream_of

        flat = self.reshape(-1)
        names = [name for name in flat.dtype.names or () if name not in ("flags", "reserved")]
        columns = {name: flat[name] for name in names}
        if "flags" in (flat.dtype.names or ()):
            columns["flags"] = _named(flat["flags"])
        return stream_of(columns, requested_schema)

    def _repr_html_(self) -> str:
        flat = self.reshape(-1)[:_SHOWN]
        names = [name for name in flat.dtype.names or () if name != "reserved"]
        shown = {name: flat[name].tolist() for name in names}
        if "flags" in shown:
            shown["flags"] = _named(flat["flags"]).tolist()
        rows = [tuple(map(str, row)) for row in zip(*shown.values(), strict=True)]
        left = self.size - len(rows)
        return notebook.table(tuple(names), rows, f"and {left:,} more pages" if left else "")


def _named(words: NDArray[np.uint64]) -> NDArray[np.object_]:
    """The names of the flags of each word. Few different words occur, and each is named once."""
    found, places = np.unique(words, return_inverse=True)
    texts = [" ".join(name for name, bit in FLAGS.items() if word & bit) for word in found.tolist()]
    return np.array(texts, dtype=object)[places]


def of_events(recorded: Any, requested_schema: object = None) -> object:
    """The events of a `Tracing` as an Arrow stream: one row for each event.

    Raises:
        MissingExtraError: if nanoarrow is not installed.
    """
    from mmcore.reporting._arrow import stream

    return stream(
        [{**each._asdict(), "args": dict(each.args)} for each in recorded.events], requested_schema
    )


def of_findings(audit: Any, requested_schema: object = None) -> object:
    """The findings of an `Audit` as an Arrow stream: one row for each finding.

    Raises:
        MissingExtraError: if nanoarrow is not installed.
    """
    from mmcore.reporting._arrow import stream

    rows = [{"rule": each.rule, "pfn": each.pfn, "detail": each.detail} for each in audit]
    return stream(rows, requested_schema)


def of_migrated(migrated: Any, requested_schema: object = None) -> object:
    """The pages of a `Migrated` as an Arrow stream: status and frame of each page.

    Raises:
        MissingExtraError: if nanoarrow is not installed.
    """
    from mmcore.reporting._arrow import stream_of

    return stream_of({"status": migrated.status, "pfn": migrated.pfns}, requested_schema)

"""The extension, and the modules that its calls import.

If a call imported a module for the first time while another thread forks, the child would inherit
an import lock that no thread releases, and its next import would wait for ever. So the modules are
loaded together with the first class of the extension.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from mmcore import _events as _events
from mmcore import _notebook as notebook
from mmcore import _state as _state
from mmcore import _tables as tables
from mmcore._mmcore import Machine, Page, Pin, Profile, Region, Tracing, __version__, build_info

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Machine", "Page", "Pin", "Profile", "Region", "__version__", "build_info"]


def _shaped(method: Callable[..., Any], shape: Callable[[Any], Any]) -> Callable[..., Any]:
    """A method of the core whose answer becomes a table: an object of a class in Python."""

    @wraps(method)
    def call(machine: Machine, *arguments: Any, **options: Any) -> Any:
        return shape(method(machine, *arguments, **options))

    return call


Machine.vmstat = _shaped(Machine.vmstat, tables.Counters)  # type: ignore[method-assign]
Machine.page_states = _shaped(  # type: ignore[method-assign]
    Machine.page_states, lambda states: states.view(tables.PageStates)
)

# The HTML that notebooks show of the classes of the core is made in Python, as all HTML is.
Machine._repr_html_ = notebook.of_machine  # type: ignore[attr-defined]
Page._repr_html_ = notebook.of_page  # type: ignore[attr-defined]
Tracing._repr_html_ = notebook.of_events  # type: ignore[attr-defined]
Tracing.__arrow_c_stream__ = tables.of_events  # type: ignore[attr-defined]
_state.Audit.__arrow_c_stream__ = tables.of_findings  # type: ignore[attr-defined]
_state.Migrated.__arrow_c_stream__ = tables.of_migrated  # type: ignore[attr-defined]

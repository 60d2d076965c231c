"""The extension, and the modules that its calls import.

If a call imported a module for the first time while another thread forks, the child would inherit
an import lock that no thread releases, and its next import would wait for ever. So the modules are
loaded together with the first class of the extension.
"""

from __future__ import annotations

from mmcore import _events as _events
from mmcore import _notebook as notebook
from mmcore import _state as _state
from mmcore._mmcore import Machine, Page, Pin, Profile, Region, __version__, build_info

__all__ = ["Machine", "Page", "Pin", "Profile", "Region", "__version__", "build_info"]

# What notebooks show of the classes of the core is written in Python, as all HTML is.
Machine._repr_html_ = notebook.of_machine  # type: ignore[attr-defined]
Page._repr_html_ = notebook.of_page  # type: ignore[attr-defined]

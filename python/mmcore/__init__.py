"""The life of a Linux memory page, as a library."""

from __future__ import annotations

from mmcore._mmcore import __version__, build_info

__all__ = ["__version__", "build_info"]

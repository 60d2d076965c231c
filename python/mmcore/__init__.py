"""The life of a Linux memory page, as a library.

This module has the names that most users need. The parts of programs are in `mmcore.program`, the
other handles of a machine in `mmcore.handles`, classes of results in `mmcore.results`, exceptions
in `mmcore.errors`, searches of many programs in `mmcore.searches`, tools for tests in
`mmcore.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._lazy import lazily

if TYPE_CHECKING:
    from mmcore import errors as errors
    from mmcore import handles as handles
    from mmcore import program as program
    from mmcore import results as results
    from mmcore import searches as searches
    from mmcore import typing as typing
    from mmcore._choices import profiles
    from mmcore._comparison import Comparison, compare
    from mmcore._core import Machine, Page, Pin, Profile, Region, __version__, build_info
    from mmcore._difference import diff
    from mmcore._exploration import (
        Counterexample,
        Exploration,
        Replay,
        Schedule,
        explore,
        replay,
        shrink,
    )
    from mmcore._recordings import conformance
    from mmcore._replacement import policies
    from mmcore._running import run, stress
    from mmcore._sweep import sweep
    from mmcore._trace import Trace
    from mmcore.errors import MmcoreError
    from mmcore.program import Program
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "mmcore._core": (
                "Machine",
                "Page",
                "Pin",
                "Profile",
                "Region",
                "__version__",
                "build_info",
            ),
            "mmcore._choices": ("profiles",),
            "mmcore._comparison": ("Comparison", "compare"),
            "mmcore._difference": ("diff",),
            "mmcore.errors": ("MmcoreError",),
            "mmcore._exploration": (
                "Counterexample",
                "Exploration",
                "Replay",
                "Schedule",
                "explore",
                "replay",
                "shrink",
            ),
            "mmcore.program": ("Program",),
            "mmcore._recordings": ("conformance",),
            "mmcore._replacement": ("policies",),
            "mmcore._running": ("run", "stress"),
            "mmcore._sweep": ("sweep",),
            "mmcore._trace": ("Trace",),
        },
        modules=("errors", "handles", "program", "results", "searches", "typing"),
    )

__all__ = [
    "Comparison",
    "Counterexample",
    "Exploration",
    "Machine",
    "MmcoreError",
    "Page",
    "Pin",
    "Profile",
    "Program",
    "Region",
    "Replay",
    "Schedule",
    "Trace",
    "__version__",
    "build_info",
    "compare",
    "conformance",
    "diff",
    "explore",
    "policies",
    "profiles",
    "replay",
    "run",
    "shrink",
    "stress",
    "sweep",
]

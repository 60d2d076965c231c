"""The life of a Linux memory page, as a library."""

from __future__ import annotations

from mmcore._mmcore import __version__, build_info
from mmcore.errors import FindingError, InputError, MissingExtraError, ProgramError
from mmcore.program import Boot, MachineSpec, Op, Program, Selection, Thread
from mmcore.trace import Trace

__all__ = [
    "Boot",
    "FindingError",
    "InputError",
    "MachineSpec",
    "MissingExtraError",
    "Op",
    "Program",
    "ProgramError",
    "Selection",
    "Thread",
    "Trace",
    "__version__",
    "build_info",
]

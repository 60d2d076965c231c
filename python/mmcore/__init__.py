"""The life of a Linux memory page, as a library."""

from __future__ import annotations

from mmcore._mmcore import __version__, build_info
from mmcore.errors import InputError, ProgramError
from mmcore.program import Boot, MachineSpec, Op, Program, Selection, Thread

__all__ = [
    "Boot",
    "InputError",
    "MachineSpec",
    "Op",
    "Program",
    "ProgramError",
    "Selection",
    "Thread",
    "__version__",
    "build_info",
]

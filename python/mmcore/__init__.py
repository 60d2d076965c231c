"""The life of a Linux memory page, as a library."""

from __future__ import annotations

from mmcore._mmcore import (
    FLAGS,
    UNWRITTEN,
    AddressSpace,
    CpuBinding,
    File,
    Isolated,
    Machine,
    Node,
    Page,
    PageLock,
    PagePool,
    PageRef,
    Pin,
    Profile,
    Region,
    Writeback,
    __version__,
    build_info,
)
from mmcore.comparison import Comparison, compare
from mmcore.errors import (
    FindingError,
    InputError,
    KernelError,
    MissingExtraError,
    MisuseError,
    ProgramError,
)
from mmcore.exploration import (
    Counterexample,
    Exploration,
    Race,
    Schedule,
    explore,
    replay,
    shrink,
)
from mmcore.movable import MovableOps
from mmcore.program import Boot, MachineSpec, Op, Program, Selection, Thread
from mmcore.recordings import Conformance, conformance
from mmcore.running import RunResult, StressResult, run, stress
from mmcore.state import PAGE_STATE, Audit, Finding, Holder, PageState
from mmcore.trace import Trace

__all__ = [
    "FLAGS",
    "PAGE_STATE",
    "UNWRITTEN",
    "AddressSpace",
    "Audit",
    "Boot",
    "Comparison",
    "Conformance",
    "Counterexample",
    "CpuBinding",
    "Exploration",
    "File",
    "Finding",
    "FindingError",
    "Holder",
    "InputError",
    "Isolated",
    "KernelError",
    "Machine",
    "MachineSpec",
    "MissingExtraError",
    "MisuseError",
    "MovableOps",
    "Node",
    "Op",
    "Page",
    "PageLock",
    "PagePool",
    "PageRef",
    "PageState",
    "Pin",
    "Profile",
    "Program",
    "ProgramError",
    "Race",
    "Region",
    "RunResult",
    "Schedule",
    "Selection",
    "StressResult",
    "Thread",
    "Trace",
    "Writeback",
    "__version__",
    "build_info",
    "compare",
    "conformance",
    "explore",
    "replay",
    "run",
    "shrink",
    "stress",
]

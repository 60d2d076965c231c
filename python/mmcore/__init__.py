"""The life of a Linux memory page, as a library."""

from __future__ import annotations

from mmcore._mmcore import (
    FLAGS,
    UNWRITTEN,
    AddressSpace,
    CpuBinding,
    Fault,
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
    Tracing,
    Writeback,
    __version__,
    build_info,
)
from mmcore.choices import ProfileField, Profiles, profiles
from mmcore.comparison import Comparison, compare
from mmcore.difference import OutcomeDiff, StepDiff, diff
from mmcore.errors import (
    FindingError,
    InputError,
    KernelError,
    MissingExtraError,
    MisuseError,
    ProgramError,
    RefusedWarning,
    SigbusError,
)
from mmcore.events import Event
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
from mmcore.refusals import Refused
from mmcore.replacement import Policies, PolicyOutcome, policies
from mmcore.running import RunResult, StressResult, run, stress
from mmcore.state import PAGE_STATE, Audit, Finding, Holder, Migrated, PageState, Signal
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
    "Event",
    "Exploration",
    "Fault",
    "File",
    "Finding",
    "FindingError",
    "Holder",
    "InputError",
    "Isolated",
    "KernelError",
    "Machine",
    "MachineSpec",
    "Migrated",
    "MissingExtraError",
    "MisuseError",
    "MovableOps",
    "Node",
    "Op",
    "OutcomeDiff",
    "Page",
    "PageLock",
    "PagePool",
    "PageRef",
    "PageState",
    "Pin",
    "Policies",
    "PolicyOutcome",
    "Profile",
    "ProfileField",
    "Profiles",
    "Program",
    "ProgramError",
    "Race",
    "Refused",
    "RefusedWarning",
    "Region",
    "RunResult",
    "Schedule",
    "Selection",
    "SigbusError",
    "Signal",
    "StepDiff",
    "StressResult",
    "Thread",
    "Trace",
    "Tracing",
    "Writeback",
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
]

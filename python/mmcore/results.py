"""Classes of results: plain data that stays valid after the machine is closed.

| returned by | results |
|---|---|
| `Page`, `Machine` | `PageState`, `Holder`, `Migrated`, `Reclaimed`, `Signal`, `Audit`, `Finding` |
| `Machine.vmstat`, `Machine.page_states` | `Counters`, `PageStates` |
| compaction | `Compacted` with `Move`, `CompactionState` |
| files, swap, traces, faults | `Evicted`, `SwapUse`, `Event`, `FaultHit` |
| memory pressure | `Watermarks` |
| zsmalloc, zram | `ZsUse`, `ZspageCount`, `ZramUse` |
| `Machine.map` | `NodeMaps` of `NodeMap`; `MapChange`, of `NodeMaps.beside`; `MapSteps` |
| `mmcore.run`, `mmcore.stress` | `RunResult`, `StressResult`, `Refused` |
| `mmcore.explore` | `TraceStep`, of `Replay.trace`; `Run`, of `Schedule.runs`; `Refused` |
| `mmcore.explore(pairs=True)` | `Pairs`, of `Exploration.pairs`, with `Pair` and `CoveredLine` |
| `mmcore.diff` | `StepDiff` with `Difference`, `OutcomeDiff` with `Outcome` and `Reached` |
| parts of these | `PerSide`, one value for each side; `NearestValues`, of `Outcome.nearest` |
| `mmcore.conformance` | `Conformance`, `Replayed`, `CompactionPass` |
| `mmcore.policies` | `Policies`, `PolicyOutcome` |
| `Trace.summary` | `TraceSummary` with `Reuse` and `TraceThread` |
| `mmcore.sweep` | `Sweep` of `SweepPoint` |
| `mmcore.profiles` | `Profiles`, `ProfileField`, `FieldText` |

`FRAME_KINDS` maps the letter of each kind of frame to its meaning.
`PAGE_STATE` is the dtype of the array of `Machine.page_states`; `FLAGS` maps each page flag to its
bit in the field ``flags`` of that array. `UNWRITTEN` is the status of a page for which the kernel's
`move_pages` writes none, or that `Machine.migrate_pages` did not try to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._lazy import lazily

if TYPE_CHECKING:
    from mmcore._choices import ProfileField, Profiles
    from mmcore._difference import (
        Difference,
        NearestValues,
        Outcome,
        OutcomeDiff,
        PerSide,
        Reached,
        StepDiff,
    )
    from mmcore._events import Event
    from mmcore._exploration import Run, TraceStep
    from mmcore._exploration.pairs import CoveredLine, Pair, Pairs
    from mmcore._map import MapChange, MapSteps, NodeMap, NodeMaps
    from mmcore._mmcore import FLAGS, FRAME_KINDS, UNWRITTEN
    from mmcore._recordings import CompactionPass, Conformance, Replayed
    from mmcore._refusals import Refused
    from mmcore._replacement import Policies, PolicyOutcome
    from mmcore._running import RunResult, StressResult
    from mmcore._state import (
        PAGE_STATE,
        Audit,
        Compacted,
        CompactionState,
        Evicted,
        FaultHit,
        FieldText,
        Finding,
        Holder,
        Migrated,
        Move,
        PageState,
        Reclaimed,
        Signal,
        SwapUse,
        Watermarks,
        ZramUse,
        ZspageCount,
        ZsUse,
    )
    from mmcore._sweep import Sweep, SweepPoint
    from mmcore._tables import Counters, PageStates
    from mmcore._trace import Reuse, TraceSummary, TraceThread
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "mmcore._mmcore": ("FLAGS", "FRAME_KINDS", "UNWRITTEN"),
            "mmcore._map": ("MapChange", "MapSteps", "NodeMap", "NodeMaps"),
            "mmcore._choices": ("ProfileField", "Profiles"),
            "mmcore._difference": (
                "Difference",
                "NearestValues",
                "Outcome",
                "OutcomeDiff",
                "PerSide",
                "Reached",
                "StepDiff",
            ),
            "mmcore._events": ("Event",),
            "mmcore._exploration": ("Run", "TraceStep"),
            "mmcore._exploration.pairs": ("CoveredLine", "Pair", "Pairs"),
            "mmcore._recordings": ("CompactionPass", "Conformance", "Replayed"),
            "mmcore._refusals": ("Refused",),
            "mmcore._replacement": ("Policies", "PolicyOutcome"),
            "mmcore._running": ("RunResult", "StressResult"),
            "mmcore._state": (
                "PAGE_STATE",
                "Audit",
                "Compacted",
                "CompactionState",
                "Evicted",
                "FaultHit",
                "FieldText",
                "Finding",
                "Holder",
                "Migrated",
                "Move",
                "PageState",
                "Reclaimed",
                "Signal",
                "SwapUse",
                "Watermarks",
                "ZramUse",
                "ZsUse",
                "ZspageCount",
            ),
            "mmcore._sweep": ("Sweep", "SweepPoint"),
            "mmcore._tables": ("Counters", "PageStates"),
            "mmcore._trace": ("Reuse", "TraceSummary", "TraceThread"),
        },
    )

__all__ = [
    "FLAGS",
    "FRAME_KINDS",
    "PAGE_STATE",
    "UNWRITTEN",
    "Audit",
    "Compacted",
    "CompactionPass",
    "CompactionState",
    "Conformance",
    "Counters",
    "CoveredLine",
    "Difference",
    "Event",
    "Evicted",
    "FaultHit",
    "FieldText",
    "Finding",
    "Holder",
    "MapChange",
    "MapSteps",
    "Migrated",
    "Move",
    "NearestValues",
    "NodeMap",
    "NodeMaps",
    "Outcome",
    "OutcomeDiff",
    "PageState",
    "PageStates",
    "Pair",
    "Pairs",
    "PerSide",
    "Policies",
    "PolicyOutcome",
    "ProfileField",
    "Profiles",
    "Reached",
    "Reclaimed",
    "Refused",
    "Replayed",
    "Reuse",
    "Run",
    "RunResult",
    "Signal",
    "StepDiff",
    "StressResult",
    "SwapUse",
    "Sweep",
    "SweepPoint",
    "TraceStep",
    "TraceSummary",
    "TraceThread",
    "Watermarks",
    "ZramUse",
    "ZsUse",
    "ZspageCount",
]

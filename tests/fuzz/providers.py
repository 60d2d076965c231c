"""One object of each class that no machine returns: results, and the objects in them."""

import functools
from pathlib import Path

import numpy as np

import mmcore
from fuzz.values import MATCHING, PROGRAM, STEPS
from mmcore import _comparison as comparison
from simulated_rig import SimulatedBackend


def compare(**options):
    """Makes a comparison in simulated time, because rounds of real storms take minutes."""
    backend, comparison._mmcore = comparison._mmcore, SimulatedBackend()
    try:
        return mmcore.compare(**{"seconds": 0.1, "vary": "release=split,packed", **options})
    finally:
        comparison._mmcore = backend


def machine_bound():
    """Values that a machine has returned. The machine is closed by now."""
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        region = machine.address_space().mmap("4KiB")
        with machine.trace() as tracing:
            region[0] = 1
        machine.drain()
        state = region.page(0).state()
        signals = machine.memory_failure(region.page(0))
        moved = machine.migrate_pages([], node=0)
        return machine.audit(), tracing.events[0], state, signals, moved


def _signal():
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        space = machine.address_space()
        space.early_kill = True
        region = space.mmap("4KiB")
        region[0] = 1
        machine.drain()
        return machine.memory_failure(region.page(0))[0]


def _replayed():
    folder = Path(__file__).parents[1] / "recordings" / "6.12"
    return mmcore.conformance(next(folder.rglob("*.json"))).rows[0]


MAKERS = {
    "Argument": lambda: mmcore.program.operations()[0].args[0],
    "Audit": lambda: machine_bound()[0],
    "Boot": mmcore.program.Boot,
    "Compacted": lambda: maps()[0],
    "CompactionPass": lambda: passes()[0],
    "CompactionState": lambda: mmcore.Machine(nodes=["1MiB"]).compaction_state(),
    "Comparison": compare,
    "Cells": lambda: mmcore.reporting.Cells((("a", ("xy", "z")),), {"x": "#000000"}),
    "Code": lambda: mmcore.reporting.Code(PROGRAM),
    "Column": lambda: mmcore.reporting.Column("pages", right=True),
    "Conformance": lambda: mmcore.conformance([]),
    "Counterexample": lambda: mmcore.explore(PROGRAM, max_steps=1, jobs=1).counterexample,
    "CoveredLine": lambda: mmcore.results.CoveredLine("page/lock.rs:3", "Page::lock", 2, 1),
    "Defect": lambda: hunted().hunts[0].defect,
    "Difference": lambda: mmcore.results.Difference(0, "write r0", "status", 0, 1),
    "Drawing": lambda: mmcore.reporting.Drawing(lambda: "<svg/>"),
    "Evicted": lambda: mmcore.results.Evicted(2, 1),
    "Event": lambda: machine_bound()[1],
    "Exploration": lambda: mmcore.explore(PROGRAM, schedules=5, jobs=1),
    "Explored": lambda: explored().searches[0],
    "FaultHit": lambda: mmcore.results.FaultHit("a step", None),
    "FieldSetting": lambda: mmcore.program.FieldSetting("pagevec", "15"),
    "FieldText": lambda: mmcore.Profile.describe("release"),
    "Finding": lambda: mmcore.results.Finding("rule", 3, "detail"),
    "FindingError": lambda: mmcore.errors.FindingError("broken"),
    "Grid": lambda: next(part for part in hunted().parts() if not isinstance(part, str)),
    "Holder": lambda: machine_bound()[2].holders[0],
    "Hunt": lambda: hunted().hunts[0],
    "HuntResult": lambda: hunted(),
    "InputError": lambda: mmcore.errors.InputError("wrong"),
    "Listed": lambda: mmcore.reporting.Listed("a page", ()),
    "KernelError": lambda: mmcore.errors.KernelError(16, "busy"),
    "Live": lambda: mmcore.reporting.Live("<div></div>", "steps.js"),
    "MachineSpec": mmcore.program.MachineSpec,
    "MapChange": lambda: maps()[1],
    "MapSteps": lambda: maps()[1].steps(),
    "Minimum": lambda: hunted().hunts[0].defect.minimum,
    "Migrated": lambda: machine_bound()[4],
    "MissingExtraError": lambda: mmcore.errors.MissingExtraError("a", "b"),
    "MisuseError": lambda: mmcore.errors.MisuseError("spent"),
    "MmcoreError": lambda: mmcore.MmcoreError("broken"),
    "MovableOps": mmcore.handles.MovableOps,
    "Move": lambda: maps()[0].moves[0],
    "NamedArg": lambda: mmcore.program.Op.parse("write r0").args[0],
    "NodeMap": lambda: maps()[2].nodes[0],
    "NodeMaps": lambda: maps()[2],
    "NearestValues": lambda: mmcore.results.NearestValues(0, 1),
    "Op": lambda: mmcore.program.Op.parse("write r0"),
    "Operation": lambda: mmcore.program.operations()[0],
    "Outcome": lambda: mmcore.results.Outcome("6.1", True, None, None, "0x3", 1, {}),
    "OutcomeDiff": lambda: mmcore.diff(PROGRAM, kernel="6.1,6.12", schedules=5),
    "PageRange": lambda: mmcore.program.PageRange(0, 1),
    "PageState": lambda: machine_bound()[2],
    "Pair": lambda: mmcore.results.Pair("page word", "fork", "unmap", 2, 1),
    "Pairs": lambda: mmcore.explore(PROGRAM, schedules=5, jobs=1, pairs=True).pairs,
    "PerSide": lambda: mmcore.results.PerSide("6.1", "6.12"),
    "Policies": lambda: mmcore.policies(trace(), policy="lru", size=64),
    "PolicyOutcome": lambda: mmcore.policies(trace(), policy="lru", size=64).outcomes[0],
    "Profile": mmcore.Profile,
    "ProfileField": lambda: mmcore.profiles("6.1", "6.12").fields[0],
    "Profiles": lambda: mmcore.profiles("6.1", "6.12"),
    "Program": lambda: mmcore.Program.parse(PROGRAM),
    "ProgramError": lambda: mmcore.errors.ProgramError("wrong", 1, 2),
    "RaceError": lambda: mmcore.errors.RaceError(mmcore.replay(PROGRAM, "0")),
    "RaceSize": lambda: hunted().hunts[0].defect.minimum.size,
    "Reached": lambda: mmcore.results.Reached("6.1", 1, 5, "sampled", "a sample"),
    "Reclaimed": lambda: mmcore.results.Reclaimed(1, 2),
    "Refused": lambda: mmcore.results.Refused(
        "A", 0, "isolate r0", ("EBUSY",), "the page is on no list"
    ),
    "RefusedWarning": lambda: mmcore.errors.RefusedWarning("refused"),
    "Replay": lambda: mmcore.replay(PROGRAM, "0x3,1"),
    "Replayed": _replayed,
    "Reuse": lambda: trace().summary().reuse[-1],
    "Run": lambda: mmcore.Schedule.parse("0x3,1").runs[0],
    "RunResult": lambda: mmcore.run(PROGRAM, patience=1.0),
    "Schedule": lambda: mmcore.Schedule.parse("0x3,1"),
    "Selection": lambda: mmcore.program.Selection("r0", ((0, 1),)),
    "SigbusError": lambda: mmcore.errors.SigbusError(133, "lost", None, 4096),
    "Signal": _signal,
    "SoakResult": lambda: soaked(),
    "Soaked": lambda: soaked().searches[0],
    "StandardResult": lambda: explored(),
    "StepDiff": lambda: mmcore.diff(STEPS, kernel="6.1,6.12"),
    "StressResult": lambda: mmcore.stress(STEPS, seconds=0.01),
    "SwapUse": lambda: mmcore.results.SwapUse(16, 1),
    "Sweep": lambda: sweep(),
    "SweepPoint": lambda: sweep().points[0],
    "Thread": lambda: mmcore.program.Thread("A", (mmcore.program.Op.parse("write r0"),)),
    "Trace": lambda: trace(),
    "TraceStep": lambda: mmcore.replay(PROGRAM, "0x3,1").trace[0],
    "TraceSummary": lambda: trace().summary(),
    "TraceThread": lambda: trace().summary().threads[0],
    "Watermarks": lambda: mmcore.Machine(nodes=["1MiB"], pressure=True).watermarks(),
    "WorkersLostError": lambda: mmcore.errors.WorkersLostError(("seed 1",), "killed"),
    "ZramUse": lambda: mmcore.Machine(nodes=["1MiB"]).zram("16KiB").mm_stat,
    "ZsUse": lambda: store().usage,
    "ZspageCount": lambda: store().zspages()[0],
}


def hunted():
    return mmcore.searches.hunt("unmap-without-flush", schedules=5, shrink=0)


def soaked():
    return mmcore.searches.soak(5, jobs=1)


def explored():
    return mmcore.searches.standard(preemptions=0, matching=MATCHING[0], release="split", jobs=1)


def store():
    """A pool of zsmalloc with one object."""
    pool = mmcore.Machine(nodes=["1MiB"]).zsmalloc()
    pool.put(b"object" * 20)
    return pool


def sweep():
    """A sweep of one point, at which nothing is timed."""
    options = {"vary": "release=split,packed", "gate": "work", "alone": True}
    return mmcore.sweep({"load": ["storm"]}, nodes="4MiB,4MiB", **options)


def maps():
    """A run of compaction, the maps around it, and the first of these."""
    with mmcore.Machine(nodes=["4MiB"]) as machine:
        machine.arrange("a." * 256 + "." * 256 + "a." * 128)
        before = machine.map()
        run = machine.compact(0, moves=True)
        return run, before.beside(machine.map(), run.moves), before


def passes():
    """The passes of compaction in a recording."""
    path = Path(__file__).parent.parent / "recordings" / "6.12" / "c01-every-second.json"
    return mmcore.conformance(path).rows[0].passes


def trace():
    return mmcore.Trace(np.arange(900) % 300, [True] * 900)


@functools.cache
def provided(name):
    """The one object of a class in this process; None if machines return the class."""
    maker = MAKERS.get(name)
    return None if maker is None else maker()

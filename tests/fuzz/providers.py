"""One object of each class of the library that no machine gives: results, and what they hold."""

import functools

import numpy as np

import mmcore
from fuzz.values import PROGRAM, STEPS
from mmcore import comparison
from simulated_rig import SimulatedBackend


def compare(**options):
    """A comparison whose time is simulated: rounds of real storms are minutes."""
    backend, comparison._mmcore = comparison._mmcore, SimulatedBackend()
    try:
        return mmcore.compare(**{"seconds": 0.1, "vary": "release=split,packed", **options})
    finally:
        comparison._mmcore = backend


def machine_bound():
    """Values that machines give, without one."""
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


MAKERS = {
    "Audit": lambda: machine_bound()[0],
    "Boot": mmcore.Boot,
    "Comparison": compare,
    "Conformance": lambda: mmcore.conformance([]),
    "Counterexample": lambda: mmcore.replay(PROGRAM, "0x3,1"),
    "Event": lambda: machine_bound()[1],
    "Exploration": lambda: mmcore.explore(PROGRAM, schedules=5, jobs=1),
    "Finding": lambda: mmcore.Finding("rule", 3, "detail"),
    "FindingError": lambda: mmcore.FindingError("broken"),
    "Holder": lambda: machine_bound()[2].holders[0],
    "InputError": lambda: mmcore.InputError("wrong"),
    "KernelError": lambda: mmcore.KernelError(16, "busy"),
    "MachineSpec": mmcore.MachineSpec,
    "Migrated": lambda: machine_bound()[4],
    "MissingExtraError": lambda: mmcore.MissingExtraError("a", "b"),
    "MisuseError": lambda: mmcore.MisuseError("spent"),
    "MovableOps": mmcore.MovableOps,
    "Op": lambda: mmcore.Op.parse("write r0"),
    "OutcomeDiff": lambda: mmcore.diff(PROGRAM, kernel="6.1,6.12", schedules=5),
    "PageState": lambda: machine_bound()[2],
    "Policies": lambda: mmcore.policies(trace(), policy="lru", size=64),
    "PolicyOutcome": lambda: mmcore.policies(trace(), policy="lru", size=64).outcomes[0],
    "Profile": mmcore.Profile,
    "ProfileField": lambda: mmcore.profiles("6.1", "6.12").fields[0],
    "Profiles": lambda: mmcore.profiles("6.1", "6.12"),
    "Program": lambda: mmcore.Program.parse(PROGRAM),
    "ProgramError": lambda: mmcore.ProgramError("wrong", 1, 2),
    "Race": lambda: mmcore.Race(mmcore.replay(PROGRAM, "0")),
    "Refused": lambda: mmcore.Refused("A", 0, "isolate r0", ("EBUSY",), "the page is on no list"),
    "RefusedWarning": lambda: mmcore.RefusedWarning("refused"),
    "RunResult": lambda: mmcore.run(PROGRAM, patience=1.0),
    "Schedule": lambda: mmcore.Schedule.parse("0x3,1"),
    "Selection": lambda: mmcore.Selection("r0", ((0, 1),)),
    "SigbusError": lambda: mmcore.SigbusError(133, "lost", None, 4096),
    "Signal": _signal,
    "StepDiff": lambda: mmcore.diff(STEPS, kernel="6.1,6.12"),
    "StressResult": lambda: mmcore.stress(STEPS, seconds=0.01),
    "Thread": lambda: mmcore.Thread("A", (mmcore.Op.parse("write r0"),)),
    "Trace": lambda: trace(),
}


def trace():
    return mmcore.Trace(np.arange(900) % 300, [True] * 900)


@functools.cache
def provided(name):
    """The one object of a class in this process; None if machines give them."""
    maker = MAKERS.get(name)
    return None if maker is None else maker()

"""Odd calls: whatever a script does, a machine refuses or obeys; it never stops, hangs or leaks."""

import gc
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmcore

CLASSES = (
    mmcore.Machine,
    mmcore.Node,
    mmcore.CpuBinding,
    mmcore.Profile,
    mmcore.Page,
    mmcore.PageRef,
    mmcore.PageLock,
    mmcore.Pin,
    mmcore.Isolated,
    mmcore.PagePool,
    mmcore.AddressSpace,
    mmcore.Region,
    mmcore.File,
    mmcore.Writeback,
)

# What a wrong call may raise. A panic is none of these.
ALLOWED = (
    mmcore.KernelError,
    mmcore.MisuseError,
    mmcore.InputError,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    BufferError,
    TimeoutError,
)

SPECIAL = (
    "__getitem__",
    "__setitem__",
    "__len__",
    "__iter__",
    "__contains__",
    "__enter__",
    "__exit__",
    "__eq__",
    "__hash__",
    "__index__",
    "__repr__",
)

NAMES = {
    cls: [
        name
        for name in dir(cls)
        # Closed machines are among the objects from the start; `close` would end every example.
        if (not name.startswith("_") and name != "close")
        or (name in SPECIAL and hasattr(cls, name))
    ]
    for cls in CLASSES
}

KEYWORDS = (
    "node",
    "order",
    "cpu",
    "mode",
    "reason",
    "timeout",
    "write",
    "offset",
    "move_all",
    "ops",
    "file",
    "private",
    "kind",
    "pagevec",
    "nonsense",
)

INTEGERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from(
        [255, 256, 511, 512, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63)]
    ),
    st.integers(0x10000000, 0x10004000),
)
VALUES = st.one_of(
    INTEGERS,
    st.none(),
    st.booleans(),
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e300, 0.001]),
    st.sampled_from(
        ["", "4KiB", "16KiB", "-1", "tmpfs", "sync", "async", "compaction", "nonsense", "\0"]
    ),
    st.sampled_from([b"", b"bytes", bytearray(16)]),
    st.lists(INTEGERS, max_size=3),
    st.builds(slice, INTEGERS, INTEGERS, st.none() | INTEGERS),
    st.sampled_from([np.zeros(3), np.arange(3, dtype=np.uint8), np.zeros((2, 2), int)]),
)


class Holder:
    """An argument that names an object of the pool."""

    def __init__(self, index):
        self.index = index

    def __repr__(self):
        return f"Holder({self.index})"


ARGUMENTS = st.one_of(VALUES, st.builds(Holder, st.integers(0, 40)))
CALLS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 30),
        st.lists(ARGUMENTS, max_size=3),
        st.dictionaries(st.sampled_from(KEYWORDS), ARGUMENTS, max_size=1),
    ),
    max_size=25,
)


class Owner(mmcore.MovableOps):
    """Touches everything it is given."""

    def isolate(self, page):
        return page.refcount > 0

    def migrate(self, source, target, mode):
        assert mode in ("async", "sync_light", "sync")
        if (source.pfn + target.pfn) % 7 == 0:
            raise BlockingIOError


def resolve(objects, value):
    return objects[value.index % len(objects)] if isinstance(value, Holder) else value


def furnish(machine):
    """A little of everything on one machine."""
    region = machine.address_space().mmap("16KiB")
    region[0:8192] = b"x" * 8192
    machine.drain()
    pool = machine.page_pool(ops=Owner())
    pool.add()
    file = machine.file("16KiB")
    file.write(b"y" * 4096)
    mapped = region.space.mmap(file=file)
    mapped[4096:4100] = b"file"
    memory = machine.file("8KiB", kind="tmpfs")
    return [
        machine,
        region,
        region.space,
        region.page(0),
        region.page(1),
        region.page(0).isolate(),
        region.page(1).get(),
        region.pin(1),
        machine.alloc(node=1, order=1),
        machine.page(511),
        pool,
        pool.page(0),
        machine.nodes[1],
        machine.cpu(1),
        machine.profile,
        file,
        mapped,
        memory,
        file.begin_writeback(0),
    ]


@pytest.mark.parametrize("release", ["putback", "split", "hook", "hook_late", "packed"])
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(calls=CALLS)
def test_no_call_stops_hangs_or_leaks(release, calls):
    machines = [mmcore.Machine(nodes=["1MiB", "1MiB"], release=release) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        objects = [thing for machine in machines[:2] for thing in furnish(machine)]
        objects += furnish(machines[2])[:8]
        machines[2].close()
        for at, number, arguments, keywords in calls:
            thing = objects[at % len(objects)]
            names = NAMES.get(type(thing))
            if names is None:
                continue
            arguments = [resolve(objects, value) for value in arguments]
            keywords = {name: resolve(objects, value) for name, value in keywords.items()}
            try:
                result = getattr(thing, names[number % len(names)])
                if callable(result):
                    result = result(*arguments, **keywords)
            except ALLOWED:
                continue
            if type(result) in NAMES:
                objects.append(result)
        objects, thing, result, arguments, keywords = [], None, None, None, None
        gc.collect()
    for machine in machines[:2]:
        if machine.closed:  # one of the calls was close()
            continue
        # A write to disk that was dropped is ended by the next call that waits for nothing.
        machine.vmstat()
        for space in machine.address_spaces:
            space.exit()
        for file in machine.files:
            file.remove()
        machine.audit().raise_for_findings()
        machine.drain()
        leaked = sum(node.frames - node.free for node in machine.nodes)
        # The pools' own pages are all that is left.
        states = machine.page_states(np.arange(512))
        movable = np.count_nonzero(states["flags"] & np.uint64(mmcore.FLAGS["movable"]))
        assert leaked == movable
        machine.close()


@pytest.mark.parametrize("cls", CLASSES)
def test_only_machines_and_profiles_are_made_from_nothing(cls):
    if cls in (mmcore.Machine, mmcore.Profile):
        cls()
        return
    with pytest.raises(TypeError):
        cls()


@given(
    nodes=st.none() | st.lists(VALUES, max_size=3),
    cpus=VALUES,
    backed=st.booleans(),
    field=st.sampled_from(["release", "pagevec", "kernel", "profile", "passes", "nonsense"]),
    value=VALUES,
)
@settings(deadline=None, max_examples=200)
def test_no_configuration_stops(nodes, cpus, backed, field, value):
    try:
        machine = mmcore.Machine(nodes=nodes, cpus=cpus, backed=backed, **{field: value})
    except ALLOWED:
        return
    machine.audit().raise_for_findings()
    machine.close()

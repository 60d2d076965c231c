"""Odd calls: whatever a script does, a machine refuses or obeys; it never stops, hangs or leaks."""

import contextlib
import copy
import faulthandler
import gc
import inspect
import pickle
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
    mmcore.Tracing,
)

#: Longer than any example takes: what hangs ends with every thread's stack.
HANGS = 300

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
    NotImplementedError,  # the bytes of a region cannot be deleted
    FileNotFoundError,  # a path to write to
)

SPECIAL = (
    "__getitem__",
    "__setitem__",
    "__delitem__",
    "__len__",
    "__bool__",
    "__iter__",
    "__contains__",
    "__enter__",
    "__exit__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__hash__",
    "__index__",
    "__repr__",
)

NAMES = {
    cls: [
        name
        for name in dir(cls)
        # A closed machine is among the objects from the start; closing one would end an example.
        if (cls, name) not in ((mmcore.Machine, "close"), (mmcore.Machine, "__exit__"))
        and (not name.startswith("_") or name in SPECIAL)
    ]
    for cls in CLASSES
}


def parameters_of(method):
    """The names that a method's arguments have."""
    try:
        return [name for name in inspect.signature(method).parameters if name != "self"]
    except (TypeError, ValueError):
        return []


PARAMETERS = {
    (cls, name): parameters_of(getattr(cls, name)) for cls, names in NAMES.items() for name in names
}

INTEGERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from(
        [255, 256, 511, 512, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63)]
    ),
    st.integers(0x10000000, 0x10004000),
)
WORDS = ["", "4KiB", "16KiB", "-1", "nonsense", "\0", "no/such/folder/file"]
WORDS += ["disk", "tmpfs", "shm", "sync", "sync_light", "async", "compaction", "longterm_pin"]
WORDS += ["cold", "pageout", "dontneed", "free", "willneed"]


def raises(*_):
    raise ArithmeticError


CALLABLES = (lambda *_: None, lambda *_: 1, lambda *_: -1, lambda page, *_: page, raises)
VALUES = st.one_of(
    INTEGERS,
    st.none(),
    st.booleans(),
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e300, 0.001]),
    st.sampled_from(WORDS),
    st.sampled_from([b"", b"bytes", bytearray(16)]),
    st.lists(INTEGERS, max_size=3),
    st.builds(slice, INTEGERS, INTEGERS, st.none() | INTEGERS),
    st.sampled_from([np.zeros(3), np.arange(3, dtype=np.uint8), np.zeros((2, 2), int)]),
    st.sampled_from(CALLABLES),
)


class Holder:
    """An argument that names an object of the pool, alone or in a list."""

    def __init__(self, index, listed=False):
        self.index = index
        self.listed = listed

    def __repr__(self):
        return f"Holder({self.index}, {self.listed})"


#: Of all objects and of all names, however many there are.
ANY = st.integers(0, 255)
ARGUMENTS = st.one_of(VALUES, st.builds(Holder, ANY, st.booleans()))
CALLS = st.lists(
    st.tuples(
        ANY,
        ANY,
        st.lists(ARGUMENTS, max_size=3),
        # Arguments by name: by the number of the name.
        st.dictionaries(st.integers(0, 9), ARGUMENTS, max_size=3),
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
    if not isinstance(value, Holder):
        return value
    found = objects[value.index % len(objects)]
    return [found] if value.listed else found


def call(thing, name, arguments, named):
    """Calls a method, looks at an attribute or sets one."""
    if name in ("copy", "pickle", "memoryview"):
        {"copy": copy.copy, "pickle": pickle.dumps, "memoryview": memoryview}[name](thing)
        return None
    if isinstance(getattr(type(thing), name, None), type(mmcore.AddressSpace.early_kill)):
        if arguments:
            # Of most attributes this says that they cannot be set.
            with contextlib.suppress(AttributeError):
                setattr(thing, name, arguments[0])
        return getattr(thing, name)
    result = getattr(thing, name)
    if not callable(result):
        return result
    known = PARAMETERS[type(thing), name] or ["nonsense"]
    return result(*arguments, **{known[at % len(known)]: value for at, value in named.items()})


def furnish(machine, *, waiting):
    """A little of everything on one machine.

    Who holds a page lock or has begun a write (`waiting`) is refused calls that may have to wait.
    """
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
    large = region.space.mmap("32KiB", order=2)
    large[0] = 1
    machine.swapon("32KiB")
    away = region.space.mmap("8KiB")
    away[0:4096] = b"z" * 4096
    away.madvise("pageout")
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
        large,
        large.page(1),
        machine.alloc(order=2),
        away,
        machine.trace(),
        *([file.begin_writeback(0), region.page(1).trylock()] if waiting else []),
    ]


@pytest.mark.parametrize("release", ["putback", "split", "hook", "hook_late", "packed"])
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(calls=CALLS)
def test_no_call_stops_hangs_or_leaks(release, calls):
    machines = [mmcore.Machine(nodes=["1MiB", "1MiB"], release=release) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        objects = furnish(machines[0], waiting=False)
        objects += furnish(machines[1], waiting=True)
        objects += furnish(machines[2], waiting=True)
        machines[2].close()
        faulthandler.dump_traceback_later(HANGS, exit=True)
        for at, number, arguments, named in calls:
            thing = objects[at % len(objects)]
            names = NAMES.get(type(thing))
            if names is None:
                continue
            names = [*names, "copy", "pickle", "memoryview"]
            arguments = [resolve(objects, value) for value in arguments]
            named = {at: resolve(objects, value) for at, value in named.items()}
            try:
                result = call(thing, names[number % len(names)], arguments, named)
            except ALLOWED:
                continue
            except ArithmeticError:  # what a callable of ours raised
                continue
            if type(result) in NAMES:
                objects.append(result)
            elif isinstance(result, (list, tuple)):
                objects += [each for each in result if type(each) in NAMES]
        faulthandler.cancel_dump_traceback_later()
        objects, thing, result, arguments, named = [], None, None, None, None
        gc.collect()
    for machine in machines[:2]:
        # A write to disk that was dropped is ended by the next call that waits for nothing.
        machine.vmstat()
        for space in machine.address_spaces:
            space.exit()
        for file in machine.files:
            file.remove()
        machine.audit().raise_for_findings()
        machine.drain()
        leaked = sum(node.frames - node.free for node in machine.nodes)
        # The pools' own pages are all that is left, and what is poisoned.
        states = machine.page_states(np.arange(512))
        stays = np.uint64(mmcore.FLAGS["movable"] | mmcore.FLAGS["hwpoison"])
        assert leaked == np.count_nonzero(states["flags"] & stays)
        assert machine.swap[1] == 0
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

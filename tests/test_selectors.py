"""Pages that do not exist: every operation in every runner refuses them, and no rule breaks."""

import json
from itertools import product

import pytest

import mmcore
from mmcore import _mmcore
from mmcore.program import Op, Program, Selection, Thread, operations

#: Makes an object of each kind that an operation can name: regions, a child, a pin, an owner, a
#: page.
SETUP = """\
machine nodes=2 pages=64 cpus=2
swapon 1
map r0 anon 2
map r1 {kind} 2
write r0
write r1
drain
fork c0
pin g0 r0:0 {pin}
movable m0 2
allocate p0 order=1
zs_open 8
"""

#: Page lists for objects with two pages.
ODD = [
    ((2, 2),),
    ((1, 2),),
    ((5, 9),),
    ((0, 0), (7, 7), (1, 1)),
    ((99, 99),),
    ((65_535, 65_536),),
    ((2**32 - 1, 2**32 - 1),),
    ((0, 2**32 - 1),),
]
NUMBERS = {"node": (0, 7), "cpu": (0, 99), "refs": (0, 1, 2**32 - 1), "flags": (4,)} | {
    "nth": (1, 255),
    "times": (1, 255),
}
HUGE = (0, 2**32 - 1)


#: Operations that make an object. Their name is tried with an existing and with a new object.
MAKES = {"map", "fork", "pin", "movable", "allocate", "alloc_range"}


def values(operation, argument):
    """The values of an argument to try, ordinary and odd ones."""
    match argument.syntax:
        case {"name": letter}:
            return [f"{letter}0", *([f"{letter}5"] if operation.name in MAKES else [])]
        case {"selection": selection}:
            names = [f"{letter}0" for letter in selection["listed"]]
            names += ["r1"] if "r0" in names else []
            odd = [Selection(name, pages) for name in names for pages in ODD]
            return [(one,) for one in odd] if selection["sum"] else odd
        case {"number": _}:
            return [*NUMBERS.get(argument.name, HUGE), *([] if argument.required else [None])]
        case {"choice": choices}:
            choices = [(one,) for one in choices] if argument.place == "options" else choices
            return [*choices, *([] if argument.required else [None])]
        case {"options": options}:
            return [None, *((word,) for word, value in options if value is None)]
        case _:
            return ["0"]


def odd(operation):
    """All forms of an operation, with every combination of values."""
    every = product(*(values(operation, argument) for argument in operation.args))
    names = [argument.name for argument in operation.args]
    return [Op(operation.name, **dict(zip(names, each, strict=True))) for each in every]


def is_selector(operation):
    return any(isinstance(a.syntax, dict) and "selection" in a.syntax for a in operation.args)


#: Operations that need a machine on which no thread runs.
QUIET = {"audit"}
ALL = [operation for operation in operations() if operation.name not in QUIET and operation.args]


@pytest.fixture(params=["shm", "tmpfs", "tmpfspriv", "file", "filepriv"])
def kind(request):
    return request.param


def setup(kind, pin="longterm"):
    return Program.parse(SETUP.format(kind=kind, pin=pin))


def without_device(base, ops):
    """The set-up, without its zram device if the operations make one: a program has one at most."""
    made = any(op.name in {"zs_open", "zram_fill"} for op in ops)
    return tuple(op for op in base.setup if not (made and op.name == "zs_open"))


def program(base, *ops):
    """A program with the operations in a thread, and once more in `finally`."""
    threads = (Thread("A", ops), Thread("B", (Op("drain"),)))
    return Program(
        setup=without_device(base, ops), threads=threads, finally_=ops, machine=base.machine
    )


def few(ops, size=6):
    return [ops[at : at + size] for at in range(0, len(ops), size)]


@pytest.mark.parametrize("operation", ALL, ids=[operation.name for operation in ALL])
def test_no_run_breaks_a_rule(operation, kind):
    base = setup(kind)
    for ops in few(odd(operation)):
        result = mmcore.run(program(base, *ops))
        assert result.clean, f"{[op.text for op in ops]}: {result.findings}"


@pytest.mark.parametrize("operation", ALL, ids=[operation.name for operation in ALL])
def test_no_search_no_round_and_no_comparison_breaks_a_rule(operation):
    base = setup("file", "pipe")
    for ops in few(odd(operation), 12):
        tried = program(base, *ops)
        found = mmcore.explore(tried, schedules=3, jobs=1).counterexample
        assert found is None, f"{[op.text for op in ops]}: {found!s}"
        rounds = mmcore.stress(tried, seconds=0.001)
        assert rounds.clean, f"{[op.text for op in ops]}: {rounds.found.findings}"
        sides = mmcore.diff(tried, vary="pagevec=15,31", schedules=2)
        broken = [outcome for outcome in sides.outcomes if outcome.rule]
        assert not broken, f"{[op.text for op in ops]}: {broken}"


@pytest.mark.parametrize("operation", ALL, ids=[operation.name for operation in ALL])
def test_no_script_breaks_a_rule(operation):
    base = setup("file", "pipe")
    for ops in few(odd(operation), 12):
        script = Program(setup=(*without_device(base, ops), *ops), machine=base.machine)
        replayed = json.loads(_mmcore.replay_program(script.text, ""))
        assert not replayed["findings"], f"{[op.text for op in ops]}: {replayed['findings']}"


#: The kernel's errors for pages beyond the end of a mapping, where nothing is mapped.
BEYOND = {
    "write r0:2": "EFAULT",
    "read r0:1-2": "EFAULT",
    "cread c0 r0:5": "EFAULT",
    "fread r1:2": "EFAULT",
    "pin g1 r0:2 longterm": "EFAULT",
    "mlock r0:1-2": "ENOMEM",
    "munlock r0:2": "ENOMEM",
    "msync r1:2": "ENOMEM",
    "mbind r0:1-2 node=1": "EFAULT",
    "madv r0:2 cold": "ENOMEM",
    "madv r0:1-9 dontneed": "ENOMEM",
    "madv r0:2 soft_offline": "EFAULT",
    "madv r0:2 hwpoison force": "EFAULT",
    "numa_fault r0:2 node=1": "EFAULT",
    "phys soft r0:2": "ENXIO",
    "unpoison r0:2": "ENXIO",
    "isolate r0:2": "ENOENT",
    "get m0:9": "ENOENT",
    "lock r0:4294967295": "ENOENT",
    "drain cpu=99": "EINVAL",
    "numa_fault r0:0 node=7": "EINVAL",
    "mbind r0 node=7": "EINVAL",
}


@pytest.mark.parametrize(("op", "errno"), BEYOND.items())
def test_an_access_beyond_the_end_is_refused_as_by_the_kernel(op, errno):
    result = mmcore.run(f"{SETUP.format(kind='file', pin='longterm')}{op}\n")
    assert result.clean, result.findings
    last = result.steps[-1]
    assert (last["op"], last["ret"], last["errno"]) == (op, -1, errno)


def test_pages_of_a_move_beyond_the_end_are_nobodys():
    result = mmcore.run("map r0 anon 1\nmap r1 anon 4\nwrite r1\nmove r0:1-4 node=1\nquery r1\n")
    move, query = result.steps[-2:]
    assert move["status"] == [[4, "-EFAULT"]]
    assert query["status"] == [[4, 0]], "the pages of r1, which may lie behind r0, stay"


def test_advice_is_heard_up_to_the_end():
    result = mmcore.run("map r0 anon 2\nwrite r0\nmadv r0:1-5 dontneed\nread r0\n")
    assert result.steps[-1]["acc"] == [[1, "ok"], [1, "zero"]]

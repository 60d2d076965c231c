"""Out of memory: a request that is too long raises `MemoryError`, and the interpreter goes on."""

import textwrap

import pytest

from subprocesses import runs_clean

#: A limit of address space that allows the array that NumPy makes of the argument, but no second
#: one.
SCRIPT = """
import resource
import numpy as np
import mmcore

COUNT = 16 << 20
machine = mmcore.Machine(nodes=["1MiB"])
space = machine.address_space()
region = space.mmap("16KiB")
file = machine.file("512MiB")
big = machine.address_space().mmap("512MiB", file=file)
space.query_pages([region.address])
machine.page_states([0])
values = np.zeros(COUNT, np.int64)
bytes_ = np.zeros(8 * COUNT, np.uint8)


def leave(room):
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))


def refused(call):
    try:
        call()
    except MemoryError:
        return
    raise SystemError("not refused")
"""

CALLS = {
    "query_pages": "leave(12 * COUNT); refused(lambda: space.query_pages(values))",
    "move_pages": "leave(12 * COUNT); refused(lambda: space.move_pages(values, 0))",
    "page_states": "leave(12 * COUNT); refused(lambda: machine.page_states(values))",
    "read": "leave(64 << 20); refused(lambda: file.read(512 << 20))",
    "slice": "leave(64 << 20); refused(lambda: big[:])",
    "write": "leave(64 << 20); refused(lambda: file.write(bytes_))",
    "store": "leave(64 << 20); refused(lambda: big.__setitem__(slice(0, 8 * COUNT), bytes_))",
    "read_into": "leave(64 << 20); refused(lambda: big.read_into(bytes_))",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_without_memory_for_its_result_is_refused(call):
    after = """
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert space.query_pages([region.address]).tolist() == [-2]
        machine.audit().raise_for_findings()
    """
    runs_clean(SCRIPT + CALLS[call] + textwrap.dedent(after))

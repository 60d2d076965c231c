"""Out of the host's memory: a call succeeds or raises `MemoryError`, and the process goes on."""

import subprocess
import sys
import textwrap

import pytest

PREPARE = """
import contextlib, resource, numpy, mmcore

def size():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * 4096

@contextlib.contextmanager
def spare(bytes):
    resource.setrlimit(resource.RLIMIT_AS, (size() + bytes, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

PAGE = 4096
machine = mmcore.Machine(nodes=["256MiB", "256MiB"], backed=False)
space = machine.address_space()
region = space.mmap("64MiB")
outcomes = set()

def attempt(call, after=lambda: None):
    # From hardly any to enough: wherever the memory ends, nothing is lost.
    for mib in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512):
        with spare(mib << 20):
            try:
                call()
            except MemoryError:
                outcomes.add("refused")
            else:
                outcomes.add("done")
        after()
        machine.drain()
        assert machine.audit() == (), mib
    # Else the budgets say nothing.
    assert outcomes == {"refused", "done"}, outcomes
"""

CALLS = {
    "move_pages": """
        for number in range(0, len(region) // PAGE, 64):
            region.fault(number)
        machine.drain()
        addresses = numpy.resize(region.addresses(), 2_000_000)
        attempt(lambda: space.move_pages(addresses, 1))
    """,
    "move_pages, one after the other": """
        addresses = numpy.resize(region.addresses(), 2_000_000)
        nodes = numpy.arange(2_000_000) % 2
        attempt(lambda: space.move_pages(addresses, nodes))
    """,
    "query_pages": """
        addresses = numpy.resize(region.addresses(), 4_000_000)
        attempt(lambda: space.query_pages(addresses))
    """,
    "page_states": """
        pfns = numpy.arange(4_000_000) % 65536
        attempt(lambda: machine.page_states(pfns))
    """,
    "bytes of a region": """
        data = bytes(32 << 20)
        whole = space.mmap("32MiB")
        attempt(lambda: whole.__setitem__(slice(0, len(data)), data))
    """,
    "bytes of a file": """
        data = bytes(32 << 20)
        file = machine.file(len(data), kind="tmpfs")
        attempt(lambda: file.write(data, offset=0))
    """,
    "madvise": """
        huge = mmcore.Machine(nodes=["16GiB"], backed=False)
        wide = huge.address_space().mmap("8GiB")
        attempt(lambda: wide.madvise("pageout"))
    """,
    "compact": """
        machine = mmcore.Machine(nodes=["2GiB"], backed=False)
        machine.arrange("a." * (machine.nodes[0].frames // 2))
        attempt(lambda: machine.compact(0, moves=True))
    """,
    "audit": """
        for number in range(len(region) // PAGE):
            region.fault(number)
        attempt(machine.audit)
    """,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_without_memory_raises_and_changes_nothing(name):
    script = PREPARE + textwrap.dedent(CALLS[name])
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_a_trace_that_lost_events_says_so():
    script = PREPARE + textwrap.dedent("""
        with machine.trace() as trace:
            region.fault(0)
            with spare(2 << 20):
                for _ in range(12):
                    for number in range(1000):
                        region.fault(number)
                        region.madvise("dontneed", number, number + 1)
        try:
            trace.events
        except MemoryError:
            pass
        else:
            raise SystemExit("a trace with holes was shown")
        with machine.trace() as trace:
            region.fault(0)
        assert len(trace.events) > 0
        assert machine.audit() == ()
    """)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]

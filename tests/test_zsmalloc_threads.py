"""A pool of zsmalloc on several native threads against one dict of bytes, while its pages move."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore.errors import KernelError
from mmcore.results import ZsUse

KERNELS = ("4.8", "6.1", "6.12", "6.19")
THREADS = 3

step = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 2**32), st.integers(1, 4096)),
    st.tuples(st.just("put"), st.integers(0, 2**32), st.integers(1, 200)),
    st.tuples(st.just("get"), st.integers(0, 2**32), st.none()),
    st.tuples(st.just("free"), st.integers(0, 2**32), st.none()),
    st.tuples(st.just("move"), st.integers(0, 2**32), st.integers(1, 8)),
    st.tuples(st.just("compact objects"), st.none(), st.none()),
    st.tuples(st.just("compact node"), st.integers(0, 1), st.none()),
)


class Model:
    """The pool and the dict. The dict's lock is never held over a call of the pool."""

    def __init__(self, machine):
        self.machine = machine
        self.pool = machine.zsmalloc()
        self.kept = {}
        self.lock = threading.Lock()
        self.done = dict.fromkeys(("put", "get", "free", "move", "compact"), 0)

    def count(self, what, by=1):
        with self.lock:
            self.done[what] += by

    def some(self, number, *, take=False):
        """An object and its content, by a number; no other thread finds what is taken out."""
        with self.lock:
            if not self.kept:
                return None
            handle = sorted(self.kept)[number % len(self.kept)]
            return handle, (self.kept.pop(handle) if take else self.kept[handle])

    def get(self, handle, content):
        try:
            found = self.pool.get(handle)
        except KernelError:
            found = None
        with self.lock:
            # If another thread has freed the object meanwhile, the answer is not determined.
            still = self.kept.get(handle) is content
        if still:
            assert found == content
            self.count("get")

    def perform(self, what, number, more):
        if what == "put":
            content = random.Random(number).randbytes(more)
            handle = self.pool.put(content)
            with self.lock:
                assert handle not in self.kept, "two objects have one handle"
                self.kept[handle] = content
            self.count("put")
        elif what == "get" and (found := self.some(number)):
            self.get(*found)
        elif what == "free" and (found := self.some(number, take=True)):
            # Any thread frees: the object may be another thread's.
            assert self.pool.get(found[0]) == found[1]
            self.pool.free(found[0])
            self.count("free")
        elif what == "move" and (pages := self.pool.pages()):
            for page in random.Random(number).sample(pages, min(more, len(pages))):
                self.count("move", self.machine.migrate_pages([page], node=1 - page.node).succeeded)
        elif what == "compact objects":
            self.pool.compact()
            self.count("compact")
        elif what == "compact node":
            self.count("move", self.machine.compact(number).migrated)
            self.count("compact")

    def end(self):
        assert {handle: self.pool.get(handle) for handle in self.kept} == self.kept
        assert len(self.pool) == len(self.kept)
        self.machine.audit().raise_for_findings()
        for handle in self.kept:
            self.pool.free(handle)
        assert self.pool.usage == ZsUse(0, 0, self.pool.usage.compacted)
        assert self.machine.vmstat()["nr_zspages"] == 0
        self.pool.close()
        free = [node.free for node in self.machine.nodes]
        assert free == [node.frames for node in self.machine.nodes], "a page is lost"
        self.machine.audit().raise_for_findings()


def together(model, work):
    """Runs the threads, which begin at one moment; raises what one of them raised."""
    gate = threading.Barrier(len(work))

    def perform(steps):
        gate.wait()
        for each in steps:
            model.perform(*each)

    with ThreadPoolExecutor(len(work)) as threads:
        for future in [threads.submit(perform, steps) for steps in work]:
            future.result()


def small(kernel, size="2MiB"):
    fields = {"pageblock_order": 4}
    return mmcore.Machine(nodes=[size, size], kernel=kernel, **fields)


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from(KERNELS),
    first=st.lists(st.tuples(st.integers(0, 2**32), st.integers(1, 2000)), max_size=20),
    work=st.lists(st.lists(step, max_size=40), min_size=THREADS, max_size=THREADS),
)
def test_threads_find_in_the_pool_what_a_dict_holds(kernel, first, work):
    with small(kernel) as machine:
        model = Model(machine)
        for number, size in first:
            model.perform("put", number, size)
        together(model, work)
        model.end()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_crowd_of_threads_loses_no_byte_and_no_page(kernel):
    """Long enough that the threads surely meet, with every operation on every thread."""

    def steps(seed):
        draws = random.Random(seed)
        kinds = ("put", "put", "put", "get", "get", "free", "free", "move")
        for number in range(400):
            what = draws.choice(kinds)
            if number % 40 == 39:
                what = draws.choice(("compact objects", "compact node"))
            more = draws.randrange(1, 9) if what == "move" else draws.randrange(1, 3000)
            yield (
                what,
                draws.randrange(2) if what == "compact node" else draws.randrange(1000),
                more,
            )

    with small(kernel, "4MiB") as machine:
        model = Model(machine)
        together(model, [steps(seed) for seed in range(4)])
        assert all(count > 10 for count in model.done.values()), model.done
        model.end()

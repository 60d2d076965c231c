"""Memory blocks that go offline and come online, and contiguous ranges, from Python."""

import errno
import signal
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore.errors import InputError, KernelError, MisuseError

BLOCK = 16  # frames of a memory block


def machine(**kwargs):
    """Two nodes of four memory blocks each, in pageblocks of 8 frames."""
    nodes = [f"{4 * BLOCK * 4}KiB"] * 2
    return mmcore.Machine(**{"nodes": nodes, "block": BLOCK * 4096, "pageblock_order": 3} | kwargs)


def errno_of(call, *args, **kwargs):
    with pytest.raises(KernelError) as raised:
        call(*args, **kwargs)
    return raised.value.errno


def test_blocks_go_and_come_back():
    with machine() as m:
        node = m.nodes[1]
        assert node.blocks == ("kernel",) * 4
        m.offline(1, node=1)
        assert node.blocks == ("kernel", "offline", "kernel", "kernel")
        assert node.free == 3 * BLOCK
        assert errno_of(m.offline, 1, node=1) == errno.EINVAL
        m.online(1, node=1, zone="movable")
        assert node.blocks[1] == "movable"
        assert node.free == 4 * BLOCK
        assert errno_of(m.online, 1, node=1) == errno.EINVAL
        assert errno_of(m.online, 4, node=1) == errno.EINVAL
        assert errno_of(m.offline, 0, node=2) == errno.EINVAL
        with pytest.raises(ValueError, match="kernel, movable"):
            m.online(0, node=1, zone="dma")
        m.audit().raise_for_findings()


def test_a_node_can_begin_without_memory():
    with machine(offline=[1]) as m:
        node = m.nodes[1]
        assert (node.blocks, node.free) == (("offline",) * 4, 0)
        assert errno_of(m.alloc, node=1) == errno.ENOMEM
        m.audit().raise_for_findings()
        m.online(2, node=1)
        pages = [m.alloc(node=1) for _ in range(3)]
        assert [each.page.pfn - node.base for each in pages] == [32, 33, 34]
        for each in pages:
            each.put()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"offline": [2]}, "does not exist"),
        ({"offline": [0, 1]}, "not all nodes"),
        ({"block": "12KiB"}, "pageblocks of 8"),
        ({"block": "512KiB", "offline": [1]}, "not whole memory blocks"),
        ({"block": "1 MB"}, "64MiB"),
    ],
)
def test_blocks_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        machine(**wrong)


def test_a_node_smaller_than_a_block_has_none():
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as m:
        assert m.nodes[0].blocks == ()
        with pytest.raises(KernelError, match="smaller blocks"):
            m.offline(0, node=0)


def test_a_signal_ends_an_offlining():
    with machine() as m:
        region = m.address_space().mmap("4KiB", node=1)
        region[0] = 1
        m.drain()
        held = region.page(0).get()
        block = (region.page(0).pfn - m.nodes[1].base) // BLOCK

        def interrupt():
            time.sleep(0.05)
            signal.raise_signal(signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            m.offline(block, node=1, rounds=1 << 30)
        thread.join()
        assert m.nodes[1].blocks[block] == "kernel"
        held.put()
        m.offline(block, node=1)
        assert (region.page(0).node, region[0]) == (0, 1)
        m.audit().raise_for_findings()


def test_a_range_is_given_back_once():
    with machine() as m:
        free = m.nodes[0].free
        frames = m.alloc_range(5, 20)
        assert (frames.first, frames.count, len(frames), frames.freed) == (5, 20, 20, False)
        assert m.nodes[0].free == free - 20
        assert [str(h) for h in m.page(5).holders()] == ["1 × reference"]
        m.audit().raise_for_findings()
        assert errno_of(m.alloc_range, 20, 8) == errno.EBUSY
        frames.free()
        assert (frames.freed, m.nodes[0].free) == (True, free)
        assert repr(frames) == "<FrameRange first=0x5 count=20 freed>"
        with pytest.raises(MisuseError):
            frames.free()
        with pytest.raises(MisuseError), frames:
            pass
        with m.alloc_range(0, 8) as again:
            again.free()
        m.audit().raise_for_findings()


def test_a_range_that_is_dropped_is_given_back_with_a_warning():
    with machine() as m:
        free = m.nodes[0].free
        held = [m.alloc_range(0, 8)]
        with pytest.warns(ResourceWarning, match="frames from 0x0 on was never freed"):
            held.clear()
        assert m.nodes[0].free == free


def test_a_pool_of_huge_pages_grows_and_shrinks():
    with machine(nodes=["32MiB", "32MiB"], backed=False) as m:
        region = m.address_space().mmap("64KiB")
        for number in range(16):
            region.fault(number, write=True)
        m.drain()
        node = m.nodes[0]
        # 8 MiB are more than a block of the buddy allocator: the first range is emptied.
        assert node.set_huge_pages(2, size="8MiB") == 2
        assert m.vmstat()["pgmigrate_success"] > 0
        # For the last range the region's pages move to the other node.
        assert node.set_huge_pages(9, size="8MiB") == 4
        m.audit().raise_for_findings()
        assert node.set_huge_pages(0, size="8MiB") == 0
        assert node.set_huge_pages(3) == 3
        assert m.vmstat()["htlb_buddy_alloc_success"] == 3
        assert errno_of(node.set_huge_pages, 1, size="12KiB") == errno.EINVAL
        assert node.set_huge_pages(0) == 0
        m.audit().raise_for_findings()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offline"), st.integers(0, 1), st.integers(0, 3)),
        st.tuples(st.just("online"), st.integers(0, 1), st.integers(0, 3)),
        st.tuples(st.just("range"), st.integers(0, 127), st.integers(1, 40)),
        st.tuples(st.just("free"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("write"), st.integers(0, 19), st.integers(1, 255)),
        st.tuples(st.just("hold"), st.integers(0, 19), st.just(0)),
        st.tuples(st.just("put"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("poison"), st.integers(0, 19), st.just(0)),
        st.tuples(st.just("share"), st.integers(0, 4), st.integers(1, 255)),
        st.tuples(st.just("lose"), st.integers(0, 4), st.just(0)),
    ),
    max_size=25,
)


#: The errors that steps in any order may meet.
EXPECTED = {errno.EBUSY, errno.EINTR, errno.EINVAL, errno.ENOMEM, errno.EIO, 133}


class World:
    """A machine with a region, and what was done to it."""

    def __init__(self, m):
        self.machine = m
        self.region = m.address_space().mmap("80KiB", node=1)
        self.content = {}
        # Shared memory keeps the pages that it loses.
        self.file = m.file("20KiB", kind="tmpfs")
        self.shared = m.address_space().mmap(file=self.file, node=1)
        self.shared_content, self.lost = {}, set()
        self.ranges, self.held = [], []

    def step(self, name, a, b):
        m, region = self.machine, self.region
        match name:
            case "offline":
                m.offline(b, node=a, rounds=2)
            case "online":
                m.online(b, node=a, zone="movable" if a else None)
            case "range":
                self.ranges.append(m.alloc_range(a, min(b, 128 - a)))
            case "free" if a < len(self.ranges):
                self.ranges.pop(a).free()
            case "write":
                region[a * 4096] = b
                self.content[a] = b
            case "hold" if a in self.content:
                self.held.append(region.page(a).get())
            case "put" if a < len(self.held):
                self.held.pop(a).put()
            case "poison" if a in self.content:
                m.soft_offline_page(region.page(a))
            case "share" if a not in self.lost:
                self.shared[a * 4096] = b
                self.shared_content[a] = b
            case "lose" if a in self.shared_content:
                m.memory_failure(self.shared.page(a))
                del self.shared_content[a]
                self.lost.add(a)

    def check(self):
        assert {page: self.region[page * 4096] for page in self.content} == self.content
        shared = {page: self.shared[page * 4096] for page in self.shared_content}
        assert shared == self.shared_content
        self.machine.audit().raise_for_findings()

    def unaccounted(self):
        """Online frames that are neither free nor known to be in use: the poisoned ones."""
        nodes = self.machine.nodes
        online = sum(block != "offline" for node in nodes for block in node.blocks) * BLOCK
        taken = sum(len(frames) for frames in self.ranges)
        used = len({self.region.page(page).pfn for page in self.content})
        used += len(self.shared_content)
        return online - sum(node.free for node in nodes) - taken - used


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, kernel=st.sampled_from(["6.1", "6.12"]))
def test_contents_survive_and_frames_are_conserved(steps, kernel):
    """Offline, online, ranges, references and soft offline in any order: every byte stays right."""
    with machine(kernel=kernel) as m:
        world = World(m)
        for step in steps:
            try:
                world.step(*step)
            except KernelError as error:
                if error.errno not in EXPECTED:
                    raise
            world.check()
        # A page on which a reference was held while it was offlined may be among the poisoned.
        assert 0 <= world.unaccounted() <= m.num_poisoned_pages
        for handle in world.ranges:
            handle.free()
        for reference in world.held:
            reference.put()

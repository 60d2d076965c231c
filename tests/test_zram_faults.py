"""zsmalloc and zram with every fault at every site: each call does all of its work or none."""

import errno
import random

import numpy as np
import pytest

import mmcore
from mmcore._mmcore import CHOICES
from mmcore.errors import KernelError

PAGE = 4096
KINDS = CHOICES["FaultKind"]
#: The locking of zsmalloc, and the release design.
CHOSEN = (("class", "putback"), ("pool", "split"), ("pool", "hook"), ("pool", "packed"))
#: A number of sites that no call passes.
TOO_MANY = 3000


def content(number, size=3000):
    """Bytes that do not compress, by which an object is recognised."""
    return random.Random(number).randbytes(size)


class Pool:
    """Objects in four zspages of three pages, each with room for three objects more."""

    def __init__(self, machine):
        self.machine = machine
        self.pool = machine.zsmalloc()
        rows = [[self.pool.put(content(number)) for _ in range(4)] for number in range(4)]
        for row in rows:
            for handle in row[1:]:
                self.pool.free(handle)
        self.handles = [row[0] for row in rows]

    def pages(self):
        return self.pool.pages()

    def check(self):
        assert self.pool.usage.objects == 4
        for number, handle in enumerate(self.handles):
            assert self.pool.get(handle) == content(number)

    def end(self):
        for handle in self.handles:
            self.pool.free(handle)
        self.pool.close()


class Device:
    """Four blocks of a zram device, half of which are compressible."""

    def __init__(self, machine):
        self.machine = machine
        self.zram = machine.zram("32KiB")
        for block in range(4):
            self.zram.write(block, self.block(block))
        self.stat = self.shown()

    @staticmethod
    def block(number):
        return content(number, PAGE if number % 2 else 2000).ljust(PAGE, b"\0")

    def pages(self):
        return self.zram.pages()

    def shown(self):
        stat = self.zram.mm_stat
        return stat.orig, stat.compr, stat.same, stat.huge

    def check(self):
        assert self.shown() == self.stat
        for number in range(4):
            assert self.zram.read(number) == self.block(number)

    def end(self):
        self.zram.reset()
        assert self.zram.mm_stat.orig == 0


class Swapped:
    """Pages of a process that are swapped to a zram device."""

    def __init__(self, machine):
        self.machine = machine
        self.zram = machine.zram("64KiB")
        machine.swapon(self.zram)
        self.region = machine.address_space().mmap(4 * PAGE)
        for number in range(4):
            self.region[number * PAGE : (number + 1) * PAGE] = Device.block(number)
        machine.drain()
        self.region.madvise("pageout")
        assert machine.swap.used == 4

    def pages(self):
        return self.zram.pages()

    def check(self):
        for number in range(4):
            assert self.region[number * PAGE : (number + 1) * PAGE] == Device.block(number)

    def end(self):
        self.region.space.exit()
        self.machine.drain()
        if self.machine.swap.total:
            self.machine.swapoff()
        self.zram.reset()


# Each work does something to a scene that leaves the content as it is.


def store_and_free(scene):
    for size in (3000, 100, 1500):
        before = scene.pool.usage
        try:
            handle = scene.pool.put(content(9, size))
        except KernelError:
            assert scene.pool.usage == before
            raise
        assert scene.pool.get(handle) == content(9, size)
        scene.pool.free(handle)
        assert scene.pool.usage.objects == before.objects


def compact(scene):
    (scene.pool if isinstance(scene, Pool) else scene.zram).compact()


def migrate(scene):
    scene.machine.migrate_pages(scene.pages(), node=1)


def soft_offline(scene):
    scene.machine.soft_offline_page(scene.pages()[0])


def compact_the_node(scene):
    scene.machine.compact(0)


def write_and_discard(scene):
    for data in (content(9, PAGE), b"same" * 1024):
        try:
            scene.zram.write(5, data)
        except KernelError:
            assert scene.shown() == scene.stat
            raise
        assert scene.zram.read(5) == data
        scene.zram.discard(5)
    scene.zram.write(1, scene.block(1))


def make_and_reset(scene):
    other = scene.machine.zram("12KiB")
    try:
        other.write(2, content(9, PAGE))
    finally:
        other.reset()
        assert (other.mm_stat.orig, other.mm_stat.used) == (0, 0)


def swap_in(scene):
    for number in range(4):
        assert scene.region[number * PAGE] == Device.block(number)[0]


def read_ahead(scene):
    scene.region.madvise("willneed")


def swap_out_again(scene):
    for number in range(4):
        scene.region[number * PAGE] = Device.block(number)[0]
    scene.machine.drain()
    scene.region.madvise("pageout")


def swapoff(scene):
    if scene.machine.swap.total:
        scene.machine.swapoff()


WORKS = [
    *((Pool, work) for work in (store_and_free, compact, migrate, soft_offline, compact_the_node)),
    *((Device, work) for work in (write_and_discard, make_and_reset, compact, migrate)),
    *((Device, work) for work in (soft_offline, compact_the_node)),
    *((Swapped, work) for work in (swap_in, read_ahead, swap_out_again, swapoff, migrate, compact)),
]


#: Faults that strike at least once in these works.
WITH_SITES = {
    store_and_free: ("no_memory", "extra_pin", "poison"),
    migrate: ("no_memory", "extra_pin", "driver_error", "poison"),
    soft_offline: ("no_memory", "extra_pin", "driver_error"),
    write_and_discard: ("no_memory", "poison"),
    make_and_reset: ("no_memory", "poison"),
    swap_in: ("no_memory", "driver_error", "poison"),
    swap_out_again: ("no_memory", "driver_error", "extra_pin", "poison"),
}


def end(scene):
    """Gives all back: every frame is free, once those that are poisoned are good again."""
    machine = scene.machine
    scene.end()
    machine.drain()
    machine.audit().raise_for_findings()
    flags = machine.page_states(range(sum(node.frames for node in machine.nodes)))["flags"]
    for pfn in np.flatnonzero(flags & np.uint64(mmcore.results.FLAGS["hwpoison"])):
        machine.unpoison(int(pfn))
    machine.drain()
    machine.audit().raise_for_findings()
    assert all(node.free == node.frames for node in machine.nodes)
    machine.close()


@pytest.mark.parametrize(("locking", "release"), CHOSEN)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("kept", "work"), WORKS, ids=lambda each: each.__name__)
def test_a_fault_at_every_site_changes_all_or_nothing(kept, work, kind, locking, release):
    profile = mmcore.Profile(zs_locking=locking, release=release)
    for at in range(TOO_MANY):
        machine = mmcore.Machine(nodes=["512KiB", "512KiB"], profile=profile)
        scene = kept(machine)
        error = None
        with machine.inject(kind, at=at) as fault:
            try:
                work(scene)
            except (KernelError, mmcore.errors.SigbusError) as raised:
                error = raised
            hits = fault.hits
        assert error is None or hits, f"at {at}: {error}"
        machine.audit().raise_for_findings()
        if kind != "poison":
            scene.check()
            if error is not None:
                work(scene)
                scene.check()
        end(scene)
        if not hits:
            assert at > 0 or kind not in WITH_SITES.get(work, ())
            return
    pytest.fail(f"{kind} has no last site")


@pytest.mark.parametrize(("locking", "release"), CHOSEN)
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("moves", [False, True])
def test_a_page_of_a_zspage_that_fails_stays_with_its_pool(moves, number, locking, release):
    """Memory failure handles no page of zsmalloc (HWPoisonHandlable in mm/memory-failure.c).

    The page keeps its flag and its objects, and moves as the others do. Its frame is withheld as
    soon as the page has left it: after a migration, or when the pool frees the zspage.
    """
    profile = mmcore.Profile(zs_locking=locking, release=release)
    machine = mmcore.Machine(nodes=["512KiB", "512KiB"], profile=profile)
    scene = Pool(machine)
    page = scene.pages()[number]
    with pytest.raises(KernelError) as refused:
        machine.memory_failure(page)
    assert refused.value.errno == errno.EBUSY
    assert {"movable", "hwpoison"} <= set(page.flags)
    assert (page.refcount, machine.num_poisoned_pages) == (1, 1)
    machine.audit().raise_for_findings()
    if moves:
        machine.migrate_pages(scene.pages(), node=1)
        assert (page.flags, page.refcount) == (("hwpoison", "refused"), 0)
        machine.audit().raise_for_findings()
    scene.check()
    scene.end()
    machine.drain()
    assert (page.flags, page.refcount) == (("hwpoison", "refused"), 0)
    assert sum(node.frames - node.free for node in machine.nodes) == 1
    machine.audit().raise_for_findings()
    machine.unpoison(page)
    machine.audit().raise_for_findings()
    assert all(node.free == node.frames for node in machine.nodes)
    machine.close()

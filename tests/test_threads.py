"""32 Python threads make every kind of call on one machine: no rule breaks, no page stays."""

import contextlib
import faulthandler
import gc
import os
import random
import threading
import time
import warnings

import numpy as np
import pytest

import mmcore

THREADS = 32

#: Seconds of the run. `MMCORE_THREADS_SECONDS=180` is the long version.
SECONDS = float(os.environ.get("MMCORE_THREADS_SECONDS", "3"))

#: Seconds after which the process ends with every thread's stack: longer than any run takes.
HANGS = SECONDS + 280

#: Exceptions that a call may raise because other threads use the same page.
REFUSED = (
    mmcore.errors.KernelError,
    mmcore.errors.MisuseError,
    BufferError,
    IndexError,
    TimeoutError,
)


class Owner(mmcore.handles.MovableOps):
    """An owner that reads its arguments and sometimes refuses."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def isolate(self, page):
        return page.refcount > 0 and self.random.random() < 0.9

    def migrate(self, source, target, mode):
        if self.random.random() < 0.2:
            raise BlockingIOError
        assert source.pfn != target.pfn, mode

    def putback(self, page):
        repr(page)


class World:
    """The objects that the threads share."""

    def __init__(self, release):
        self.machine = mmcore.Machine(nodes=["8MiB", "8MiB"], cpus=4, release=release)
        self.machine.swapon("1MiB")
        self.spaces = [self.machine.address_space() for _ in range(4)]
        self.regions = [space.mmap("64KiB") for space in self.spaces]
        self.large = [space.mmap("64KiB", order=2) for space in self.spaces[:2]]
        self.files = [self.machine.file("64KiB", kind=kind) for kind in ("disk", "tmpfs", "shm")]
        self.mapped = [
            space.mmap(file=file) for space, file in zip(self.spaces, self.files, strict=False)
        ]
        self.pool = self.machine.page_pool(ops=Owner(1))
        self.plain = self.machine.page_pool()
        for n in range(8):
            self.pool.add(node=n % 2)
            self.plain.add(node=n % 2)

    def region(self, draw):
        return draw.choice([*self.regions, *self.large, *self.mapped])

    def page(self, draw):
        region = self.region(draw)
        return region.page(draw.randrange(region.pages))


def loads(world, draw):
    region = world.region(draw)
    at = draw.randrange(len(region) - 5000)
    assert len(region[at : at + draw.randrange(5000)]) < 5000


def stores(world, draw):
    region = world.region(draw)
    at = draw.randrange(len(region) - 5000)
    region[at : at + 100] = bytes([draw.randrange(256)]) * 100
    region[at] = 1


def looks(world, draw):
    page = world.page(draw)
    assert page.node in (0, 1)
    repr((page, page.state(), page.holders(), page.flags, page.mapcount, page.order, page.head))
    world.machine.page_states(np.arange(64))
    page.peek()


def references(world, draw):
    page = world.page(draw)
    with page.get(), page.get() as inner:
        assert inner.page == page
        assert page.head.refcount > 1


def pins(world, draw):
    region = world.region(draw)
    pin = (
        world.page(draw).pin() if draw.random() < 0.5 else region.pin(draw.randrange(region.pages))
    )
    with pin, memoryview(pin) as view:
        assert len(view) == 4096
        bytes(view[:8])
        with pytest.raises(BufferError):
            pin.unpin()


def locks(world, draw):
    page = world.page(draw)
    lock = page.trylock() if draw.random() < 0.5 else page.lock(timeout=0.05)
    if lock is not None:
        with lock:
            repr(page)


def isolates(world, draw):
    how = draw.randrange(4)
    token = world.page(draw).isolate()
    if how == 0:
        token.putback()
    elif how == 1:
        token.migrate(node=draw.randrange(2), mode=draw.choice(["async", "sync_light", "sync"]))
    elif how == 2:
        world.machine.migrate_pages([token], node=draw.randrange(2))
    else:
        with contextlib.suppress(mmcore.errors.KernelError):
            token.put()
            return
        token.putback()


def moves(world, draw):
    region = world.region(draw)
    region.space.move_pages(region.addresses(), draw.randrange(2), move_all=draw.random() < 0.5)
    region.space.query_pages(region.addresses())


def migrates(world, draw):
    pages = []
    for _ in range(draw.randrange(1, 6)):
        with contextlib.suppress(mmcore.errors.KernelError):
            pages.append(world.page(draw))

    def where(page):
        answer = draw.randrange(4)
        if answer == 3:
            return world.machine.alloc(order=page.order)
        return (0, 1, None)[answer]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world.machine.migrate_pages(pages, where, mode=draw.choice(["async", "sync"]))


def calls(world, draw):
    region = world.region(draw)
    how = draw.randrange(10)
    if how == 0:
        region.madvise(draw.choice(["cold", "pageout", "dontneed", "free", "willneed"]))
    elif how == 1:
        region.mlock(0, 2)
        region.munlock(0, 2)
    elif how == 2:
        region.mbind(draw.randrange(2), move=True)
    elif how == 3:
        region.space.migrate_pages(0, 1)
    elif how == 4:
        region.space.numa_fault(region.address, draw.randrange(2))
    elif how == 5:
        world.page(draw).split()
    elif how == 6:
        world.machine.reclaim(draw.randrange(8), node=draw.randrange(2))
    elif how == 7:
        world.machine.age_node(node=draw.randrange(2))
    elif how == 8:
        world.machine.drain()
    else:
        world.machine.reclaim_pages([world.page(draw)], demote_to=draw.choice([None, 1]))


def files(world, draw):
    file = draw.choice(world.files)
    how = draw.randrange(6)
    if how == 0:
        file.write(b"w" * 5000, offset=draw.randrange(50_000))
    elif how == 1:
        file.read(5000, offset=draw.randrange(50_000))
    elif how == 2:
        file.sync()
    elif how == 3:
        file.evict()
    elif how == 4:
        write = file.begin_writeback(draw.randrange(file.pages))
        if write is not None:
            with write:
                pass
    else:
        world.machine.drop_caches()


def processes(world, draw):
    child = draw.choice(world.spaces).fork()
    child.on_sigbus(lambda _: child)
    mine = child.mmap("16KiB")
    mine[:] = b"m" * 16384
    mine.unmap(1, 2)
    child.exit()


def movable(world, draw):
    pool = draw.choice([world.pool, world.plain])
    how = draw.randrange(4)
    number = draw.randrange(8)
    if how == 0:
        pool.page(number).isolate().putback()
    elif how == 1:
        pool.page(number).isolate().migrate(node=draw.randrange(2))
    elif how == 2:
        pool.write(number, 1, draw.randrange(2**64))
        pool.read(number, 1)
    else:
        pool.release(pool.add())


def failures(world, draw):
    mine = world.spaces[0].mmap("8KiB")
    try:
        mine[:] = b"f" * 8192
        if draw.random() < 0.5:
            world.machine.soft_offline_page(mine.page(0))
        else:
            page = mine.page(1)
            world.machine.memory_failure(page)
            with contextlib.suppress(mmcore.errors.KernelError):
                world.machine.unpoison(page)
    finally:
        mine.unmap()


def whole(world, draw):
    how = draw.randrange(6)
    if how == 0:
        with contextlib.suppress(mmcore.errors.KernelError):
            world.machine.audit().raise_for_findings()
    elif how == 1:
        with world.machine.trace() as tracing:
            world.machine.alloc().put()
            len(tracing)
    elif how == 2:
        with world.machine.cpu(draw.randrange(4)):
            world.machine.drain(cpu=draw.randrange(4))
    elif how == 3:
        world.machine.vmstat(node=draw.choice([None, 0, 1]))
    elif how == 4:
        with world.machine.alloc(order=2) as ref:
            for part in ref.split():
                part.put()
    else:
        repr((world.machine.address_spaces, world.machine.files, world.machine.swap))


def drops(world, draw):
    """Drops handles: the next call of the machine gives back what they held."""
    page = world.page(draw)
    keep = [page.get(), page.pin()]
    with contextlib.suppress(mmcore.errors.KernelError):
        keep.append(page.isolate())
    keep.append(page.trylock())
    keep.clear()


ALL = [
    loads,
    stores,
    looks,
    references,
    pins,
    locks,
    isolates,
    moves,
    migrates,
    calls,
    files,
    processes,
    movable,
    failures,
    whole,
    drops,
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("release", ["split", "packed", "hook"])
def test_all_calls_at_once(release):
    world = World(release)
    seed = random.SystemRandom().randrange(2**32)
    end = time.monotonic() + SECONDS / 3
    broken = []
    done = dict.fromkeys((work.__name__ for work in ALL), 0)

    def runs(number):
        draw = random.Random(seed + number)
        try:
            while time.monotonic() < end and not broken:
                work = draw.choice(ALL)
                with contextlib.suppress(*REFUSED):
                    work(world, draw)
                    done[work.__name__] += 1
        except BaseException as error:  # noqa: BLE001
            broken.append(error)

    faulthandler.dump_traceback_later(HANGS, exit=True)
    threads = [threading.Thread(target=runs, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    world.machine.vmstat()
    faulthandler.cancel_dump_traceback_later()
    assert not broken, (seed, broken)
    world.machine.audit().raise_for_findings()
    for space in world.machine.address_spaces:
        space.exit()
    for file in world.machine.files:
        file.remove()
    world.machine.drain()
    world.machine.audit().raise_for_findings()
    print({name: count for name, count in done.items() if count})
    world.machine.close()

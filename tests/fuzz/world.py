"""The objects that calls are made on, and the checks after they are dropped."""

import contextlib
import gc
import sys
import threading
from collections import defaultdict
from random import Random

import numpy as np

import mmcore
from fuzz.callbacks import LOUD, Callback, Depth, Owned
from fuzz.judge import DOCUMENTED, Failure, findings
from fuzz.providers import provided
from fuzz.surface import classes
from fuzz.values import FAULTS, LISTS, RELEASES

#: Number of objects of one class that are kept. Older ones are dropped, and give their handles
#: back.
KEPT = 24

#: Kernels of the machines. Older kernels account for poison in ways that an audit reports.
KERNELS = ("6.12", "6.12", "6.12", "6.1", "6.19")


class World:
    """Machines and their objects, by class; one for each case."""

    def __init__(self, seed, folder):
        self.random = Random(f"world {seed}")
        self.folder = folder
        self.pool = defaultdict(list)
        self.machines = []
        #: What ends each range of frames and each arrangement: dropped, they keep their frames.
        self.ends = []
        self.local = Depth()
        self.held = threading.local()
        self.dropped = self.random.random() < 0.2
        self.failures = []
        self.reported = []
        #: The function by which callables call the library again; the runner sets it.
        self.again = None
        with contextlib.suppress(OSError):
            (folder / "old").write_text("old", encoding="utf-8")
        for closed in (False, False, True):
            self.furnish(closed=closed)

    # --- the pool ---

    def pick(self, name, index):
        """Returns an object of a class; None if there is none."""
        found = self.pool.get(name)
        # Another thread may drop the object meanwhile.
        with contextlib.suppress(IndexError):
            if found:
                return found[index % len(found)]
        return provided(name)

    def add(self, value):
        """Keeps the result of a call."""
        if isinstance(value, (list, tuple)) and type(value).__name__ not in classes():
            for each in value[:8]:
                self.add(each)
            return
        name = type(value).__name__
        if name not in classes() and not isinstance(value, memoryview):
            return
        if isinstance(value, mmcore.Machine) and all(value is not one for one in self.machines):
            self.machines.append(value)
        if isinstance(value, (mmcore.handles.PageLock, mmcore.handles.Writeback)):
            self.mine().append(value)
        if isinstance(value, mmcore.handles.FrameRange):
            self.ends.append(value.free)
        if isinstance(value, mmcore.handles.Arrangement):
            self.ends.append(value.close)
        found = self.pool[name]
        found.append(value)
        if len(found) > KEPT:
            self.drop(name, self.random.randrange(KEPT))

    def drop(self, name, index):
        found = self.pool.get(name)
        with contextlib.suppress(IndexError):
            if found and name != "Machine":
                found.pop(index % len(found))

    def mine(self):
        """The page locks and writes to disk of this thread, for which other threads may wait."""
        if not hasattr(self.held, "objects"):
            self.held.objects = []
        return self.held.objects

    def give_back(self):
        """Gives these locks and writes back. A thread must do so itself before it ends."""
        for held in self.mine():
            with contextlib.suppress(*DOCUMENTED):
                held.unlock() if isinstance(held, mmcore.handles.PageLock) else held.end()
        self.mine().clear()

    # --- callables ---

    @property
    def depth(self):
        return self.local.calls

    def loud(self, error):
        self.local.loud = error
        return error

    def call_back(self, seed):
        if self.again is not None:
            self.again(seed)

    def close_one(self, seed):
        machine = self.pick("Machine", seed)
        if machine is not None:
            with contextlib.suppress(*DOCUMENTED):
                machine.close()

    # --- machines ---

    def furnish(self, *, closed):
        """Adds a machine with some objects of each class."""
        random = self.random
        options = {"release": random.choice(RELEASES), "kernel": random.choice(KERNELS)}
        if random.random() < 0.4:
            options["lru_policy"] = random.choice(LISTS)
        machine = mmcore.Machine(
            nodes=["1MiB", "1MiB", "64KiB"],
            cpus=random.choice((1, 2, 3)),
            pressure=random.random() < 0.3,
            **options,
        )
        region = machine.address_space().mmap("16KiB")
        region[0:8192] = b"x" * 8192
        machine.drain()
        pool = machine.page_pool(ops=Owned.draw(random).resolve(self))
        pool.add()
        balloon = machine.balloon()
        balloon.inflate(2)
        zsmalloc = machine.zsmalloc()
        zsmalloc.put(b"object" * 20)
        zram = machine.zram("32KiB")
        zram.write(0, b"page" * 1024)
        file = machine.file("16KiB")
        file.write(b"y" * 4096)
        mapped = region.space.mmap(file=file)
        mapped[4096:4100] = b"file"
        memory = machine.file("8KiB", kind="tmpfs")
        if random.random() < 0.5:
            region.space.on_sigbus(Callback.draw(random).resolve(self))
        large = region.space.mmap("32KiB", order=2)
        large[0] = 1
        machine.swapon("32KiB")
        away = region.space.mmap("8KiB")
        away[0:4096] = b"z" * 4096
        away.madvise("pageout")
        pin = region.pin(1)
        for made in (
            (machine, region, region.space, region.page(0), region.page(1), pool, pool.page(0)),
            (region.page(0).isolate(), region.page(1).get(), pin, memoryview(pin), file, mapped),
            (machine.alloc(node=1, order=1), machine.page(511), machine.nodes[1], machine.cpu(0)),
            (
                balloon,
                *balloon.pages(),
                zsmalloc,
                zram,
                machine.arrange("a." * 8, node=2),
                machine.alloc_range(384, 4),
            ),
            (machine.profile, memory, large, large.page(1), machine.alloc(order=2), away),
            (machine.trace(), file.begin_writeback(0), region.page(1).trylock()),
            machine.inject(random.choice(FAULTS), at=random.randrange(4)),
        ):
            self.add(made)
        self.give_back()
        if random.random() < 0.7:
            machine.drain()
        if closed:
            machine.close()

    # --- the end ---

    def finish(self):
        """Drops all objects, and checks that every machine is clean and all its frames are free."""
        self.give_back()
        self.local.loud = None
        # Daemons keep a machine alive that is in a cycle with an owner (docs/python.md).
        for machine in self.machines:
            with contextlib.suppress(*DOCUMENTED):
                machine.stop_daemons()
        if self.dropped:
            # In some cases all objects become garbage at once, in cycles with callables that refer
            # to this world. Repeating the case shows whether they were collected.
            return
        # From here on finalisers call the library only while a machine is closed.
        again, self.again = self.again, None
        self.pool.clear()
        for end in self.ends:
            with contextlib.suppress(*DOCUMENTED):
                end()
        self.ends.clear()
        gc.collect()
        for machine in self.machines:
            if machine.closed:
                continue
            try:
                self._check(machine)
            except Exception as error:
                self.failures.append(Failure("leak", "the end", f"cannot let go: {error!r}"))
            except BaseException as error:
                if not isinstance(error, LOUD):
                    self.failures.append(Failure("panic", "the end", repr(error)))
            self.again = again
            with contextlib.suppress(*DOCUMENTED, *LOUD):
                machine.close()
            self.again = None
        self.machines.clear()
        gc.collect()

    def _check(self, machine):
        # The next call ends a write to disk whose handle was dropped.
        machine.vmstat()
        for space in machine.address_spaces:
            space.exit()
        for file in machine.files:
            file.remove()
        # A page that was locked when its last entry was dropped is still in the swap cache.
        if machine.swap[0]:
            machine.swapoff()
        machine.drain()
        # Pools of huge pages hold frames until they are emptied.
        for node in machine.nodes:
            for order in range(1, 11):
                node.set_huge_pages(0, size=4096 << order)
        # The free frames of an isolated pageblock do not count as free.
        for node in machine.nodes:
            if "isolated" in machine.pageblock_types(node.number):
                machine.set_pageblock_type(node.base, "movable")
        found = findings(machine.audit())
        if found:
            self.failures.append(Failure("finding", "the end", found[:3000]))
        nodes = machine.nodes
        leaked = sum(node.frames - node.free for node in nodes)
        pfns = np.concatenate([np.arange(node.base, node.base + node.frames) for node in nodes])
        states = machine.page_states(pfns)
        flags = states["flags"]
        # Only pages of pools and poisoned frames may be in use.
        stays = np.uint64(mmcore.results.FLAGS["movable"] | mmcore.results.FLAGS["hwpoison"])
        free = np.uint64(mmcore.results.FLAGS["buddy"])
        stay = np.count_nonzero(flags & stays)
        # A frame that goes bad while it is free stays on its list until the allocator meets it.
        used = np.count_nonzero((flags & stays != 0) & (states["refcount"] > 0))
        if not used <= leaked <= stay:
            held = [
                machine.page(int(pfn)).state()
                for pfn, flag in zip(pfns, flags, strict=True)
                if flag and not flag & (stays | free)
            ]
            bad = pfns[flags & stays != 0].tolist()
            text = f"{leaked} frames are not free, {stay} may be ({bad}): {held[:4]}"
            self.failures.append(Failure("leak", "frames", text))


@contextlib.contextmanager
def reporting(world):
    """Collects exceptions in callbacks and finalisers, which Python can only report."""
    before = sys.unraisablehook

    def hear(unraisable):
        world.reported.append(unraisable.exc_value)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
        world.reported.clear()

"""The objects of a case, on which the calls are made, and the checks after they are dropped."""

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

#: The most objects of one class that a world keeps. Beyond it one is dropped at random; a dropped
#: handle gives its page back.
KEPT = 24

#: The kernels of the machines. No kernel before 6.1 is among them: their ways of counting poisoned
#: frames break rules of the audit.
KERNELS = ("6.12", "6.12", "6.12", "6.1", "6.19")

#: The most attempts at an end that an owner interrupts: the owner may be asked once for each page.
LAST_TRY = 1000


class World:
    """Machines and their objects, by class; one for each case."""

    def __init__(self, seed, folder):
        self.random = Random(f"world {seed}")
        self.folder = folder
        self.pool = defaultdict(list)
        self.machines = []
        #: The methods `free` of frame ranges and `close` of arrangements, called at the end of the
        #: case: an object of these classes keeps its frames when it is dropped.
        self.ends = []
        #: For each thread the depth of nested calls, and the exception that is leaving them.
        self.local = Depth()
        #: For each thread the page locks and writes to disk that it holds.
        self.held = threading.local()
        #: True if the case ends by dropping all objects at once, without a check of the machines.
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
        """Keeps the result of a call if its class is public, so that later calls are made on it."""
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
        """Gives the page locks and writes to disk of this thread back.

        Each thread does this before it ends; another thread may not unlock for it.
        """
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
        if self.dropped:
            # All objects become garbage at once, in cycles with callables that refer to this world.
            # If the collector missed one, the process would grow when the case is repeated.
            return
        # Callables must not add objects to the pool while it is emptied. They may call the library
        # again only during `close` below.
        again, self.again = self.again, None
        self.pool.clear()
        for end in self.ends:
            self._end(end)
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

    def _end(self, end):
        """Ends what an object stands for, again if an owner that is asked has interrupted it."""
        for _ in range(LAST_TRY):
            try:
                with contextlib.suppress(*DOCUMENTED):
                    end()
            except LOUD:
                continue
            return
        self.failures.append(Failure("leak", "the end", f"{end} is interrupted each time"))

    def _check(self, machine):
        # A write to disk whose handle was dropped ends in the next call, which is this one.
        machine.vmstat()
        for space in machine.address_spaces:
            space.exit()
        for file in machine.files:
            file.remove()
        # A page that was locked when its last entry was dropped is still in the swap cache, until
        # swapoff.
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
        # Only pages of pools (`movable`) and poisoned frames may still be in use.
        stays = np.uint64(mmcore.results.FLAGS["movable"] | mmcore.results.FLAGS["hwpoison"])
        free = np.uint64(mmcore.results.FLAGS["buddy"])
        stay = np.count_nonzero(flags & stays)
        # A frame that was poisoned while it was free may still be on its free list, with count 0:
        # so `used` is a lower bound of the frames that are not free, and `stay` an upper one.
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
    """Collects exceptions that callbacks and finalisers raise and no caller gets.

    Python hands them to `sys.unraisablehook`; without this hook it would print them.
    """
    before = sys.unraisablehook

    def hear(unraisable):
        world.reported.append(unraisable.exc_value)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
        world.reported.clear()

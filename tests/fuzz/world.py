"""The objects that calls are made on, and what has to be left when they are gone."""

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

#: Objects of one class that are kept; older ones are dropped, which gives back what they hold.
KEPT = 24

#: Kernels whose machines are called. Older ones account for poison in ways that an audit finds.
KERNELS = ("6.12", "6.12", "6.12", "6.1", "6.19")


class World:
    """Machines and their objects, by class; one for each case."""

    def __init__(self, seed, folder):
        self.random = Random(f"world {seed}")
        self.folder = folder
        self.pool = defaultdict(list)
        self.machines = []
        self.local = Depth()
        self.held = threading.local()
        self.dropped = self.random.random() < 0.2
        self.failures = []
        self.reported = []
        #: What callables call back: set by whoever draws calls.
        self.again = None
        with contextlib.suppress(OSError):
            (folder / "old").write_text("old", encoding="utf-8")
        for closed in (False, False, True):
            self.furnish(closed=closed)

    # --- the pool ---

    def pick(self, name, index):
        """An object of a class; None if there is none."""
        found = self.pool.get(name)
        # What another thread drops meanwhile is not there.
        with contextlib.suppress(IndexError):
            if found:
                return found[index % len(found)]
        return provided(name)

    def add(self, value):
        """Keeps what a call returned."""
        if isinstance(value, (list, tuple)) and type(value).__name__ not in classes():
            for each in value[:8]:
                self.add(each)
            return
        name = type(value).__name__
        if name not in classes() and not isinstance(value, memoryview):
            return
        if isinstance(value, mmcore.Machine) and all(value is not one for one in self.machines):
            self.machines.append(value)
        if isinstance(value, (mmcore.PageLock, mmcore.Writeback)):
            self.mine().append(value)
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
        """What this thread holds that others may wait for."""
        if not hasattr(self.held, "objects"):
            self.held.objects = []
        return self.held.objects

    def give_back(self):
        """Ends what others may wait for: a thread that has ended does not do it."""
        for held in self.mine():
            with contextlib.suppress(*DOCUMENTED):
                held.unlock() if isinstance(held, mmcore.PageLock) else held.end()
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
        """A machine with a little of everything."""
        random = self.random
        options = {"release": random.choice(RELEASES), "kernel": random.choice(KERNELS)}
        if random.random() < 0.4:
            options["lru_policy"] = random.choice(LISTS)
        machine = mmcore.Machine(nodes=["1MiB", "1MiB"], cpus=random.choice((1, 2, 3)), **options)
        region = machine.address_space().mmap("16KiB")
        region[0:8192] = b"x" * 8192
        machine.drain()
        pool = machine.page_pool(ops=Owned.draw(random).resolve(self))
        pool.add()
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
        """Lets go of everything; what every machine then has to show."""
        self.give_back()
        self.local.loud = None
        if self.dropped:
            # Everything goes at once, in cycles with the callables that have this world: what does
            # not go is found by repeating the case.
            return
        # Finalisers call back no more, but when a machine is closed.
        again, self.again = self.again, None
        self.pool.clear()
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
        # A write to disk that was dropped is ended by the next call that waits for nothing.
        machine.vmstat()
        for space in machine.address_spaces:
            space.exit()
        for file in machine.files:
            file.remove()
        # A page that somebody had locked when its last entry went is still in the swap cache.
        if machine.swap[0]:
            machine.swapoff()
        machine.drain()
        found = findings(machine.audit())
        if found:
            self.failures.append(Failure("finding", "the end", found[:3000]))
        nodes = machine.nodes
        leaked = sum(node.frames - node.free for node in nodes)
        pfns = np.concatenate([np.arange(node.base, node.base + node.frames) for node in nodes])
        flags = machine.page_states(pfns)["flags"]
        # Pages of pools, and what is poisoned.
        stays = np.uint64(mmcore.FLAGS["movable"] | mmcore.FLAGS["hwpoison"])
        stay = np.count_nonzero(flags & stays)
        if leaked != stay:
            held = [
                machine.page(int(pfn)).state()
                for pfn, flag in zip(pfns, flags, strict=True)
                if flag and not flag & stays
            ]
            text = f"{leaked} frames are not free, {stay} may be: {held[:4]}"
            self.failures.append(Failure("leak", "frames", text))


@contextlib.contextmanager
def reporting(world):
    """Hears what Python can only report: exceptions in callbacks and finalisers."""
    before = sys.unraisablehook

    def hear(unraisable):
        world.reported.append(unraisable.exc_value)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
        world.reported.clear()

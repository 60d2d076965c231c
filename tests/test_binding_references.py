"""Python objects in a machine: no Python code runs under a lock, and cycles are collected."""

import contextlib
import errno
import gc
import json
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import mmcore
from mmcore._mmcore import LoadRig

#: Seconds after which a wait counts as endless.
LIMIT = 60


def ends(work):
    """Runs `work` on a thread that may hang, and raises its exception."""
    raised = []

    def caught():
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]


class CallsBack:
    """Uses the machine in its finaliser, by each call that takes a lock of the binding."""

    def __init__(self, machine, space):
        self.machine = machine
        self.space = space
        self.done = []
        self.dropped = self.done

    def __call__(self, *_):
        return 1

    def isolate(self, _):
        return True

    def migrate(self, *_):
        pass

    def putback(self, _):
        pass

    def __del__(self):
        for call in (
            lambda: self.space.on_sigbus(lambda _: None),
            lambda: self.space.on_sigbus(None),
            lambda: self.machine.page_pool(ops=mmcore.handles.MovableOps()),
            lambda: self.machine.vmstat(),
            lambda: self.machine.audit(),
            lambda: self.machine.address_space().exit(),
            lambda: self.machine.close(),
            lambda: repr((self.machine, self.space)),
        ):
            with contextlib.suppress(mmcore.errors.MisuseError):
                call()
        self.done.append(True)


@pytest.mark.parametrize("how", ["close", "exit", "replace", "remove", "with"])
def test_a_handler_that_uses_its_machine_when_it_is_dropped_does_not_hang(how):
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    space = machine.address_space()
    handler = CallsBack(machine, space)
    done = handler.done
    space.on_sigbus(handler)
    del handler
    assert not done
    work = {
        "close": machine.close,
        "exit": space.exit,
        "replace": lambda: space.on_sigbus(print),
        "remove": lambda: space.on_sigbus(None),
        "with": lambda: machine.__exit__(),
    }[how]
    ends(work)
    assert done == [True]


def test_an_owner_that_uses_its_machine_when_it_is_dropped_does_not_hang():
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    owner = CallsBack(machine, machine.address_space())
    done = owner.done
    machine.page_pool(ops=owner).add()
    del owner
    ends(machine.close)
    assert done == [True]


def test_an_owner_is_told_of_a_dropped_token_with_no_lock_held():
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    told = []

    class Owner(mmcore.handles.MovableOps):
        def putback(self, page):
            # From here on the list of dropped handles is used again.
            with pytest.warns(ResourceWarning):
                machine.alloc()
            machine.vmstat()
            told.append(page)

    pool = machine.page_pool(ops=Owner())
    pool.add()
    with pytest.warns(ResourceWarning):
        pool.page(0).isolate()
    ends(machine.vmstat)
    assert told == [pool.page(0)]
    machine.vmstat()
    machine.audit().raise_for_findings()


def test_the_hook_that_reports_an_error_of_a_callback_may_do_no_more_than_the_callback(monkeypatch):
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    refused = []

    class Owner(mmcore.handles.MovableOps):
        def putback(self, _):
            raise ArithmeticError

    pool = machine.page_pool(ops=Owner())
    pool.add()

    def hook(_):
        # This thread holds the page lock, so a wait for it would never end.
        try:
            pool.page(0).lock()
        except mmcore.errors.MisuseError as error:
            refused.append(error)

    monkeypatch.setattr(sys, "unraisablehook", hook)
    token = pool.page(0).isolate()
    ends(token.putback)
    assert len(refused) == 1
    machine.audit().raise_for_findings()


def handler(machine, holder):
    holder.handler = lambda _: machine
    machine.address_space().on_sigbus(holder.handler)


def bound_region(machine, holder):
    region = machine.address_space().mmap("4KiB")
    holder.region = region
    region.space.on_sigbus(holder.method)


def owner(machine, holder):
    holder.pool = machine.page_pool(ops=holder)
    holder.pool.add()


def handles(machine, holder):
    region = machine.address_space().mmap("64KiB")
    region[:] = bytes(65536)
    machine.drain()
    pages = [region.page(n) for n in range(4)]
    holder.handles = [
        *pages,
        pages[0].pin(),
        machine.nodes,
        machine.cpu(0),
        machine.trace(),
        machine.file("4KiB"),
        region,
    ]
    holder.pin = pages[1].pin()
    holder.pin.unpin()
    holder.handles[4].unpin()
    region.space.on_sigbus(holder.method)


def background(machine, holder):
    machine.start_daemons()
    machine.page_pool(ops=holder).add()


def compressed(machine, holder):
    zram = machine.zram("64KiB")
    machine.swapon(zram)
    holder.handles = [machine.zsmalloc(), zram]
    machine.page_pool(ops=holder).add()


def token(machine, holder):
    holder.ref = machine.alloc()
    holder.ref.put()
    machine.address_space().on_sigbus(holder.method)


class Holder(mmcore.handles.MovableOps):
    def method(self, *_):
        return self


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    "make", [handler, bound_region, owner, handles, token, background, compressed]
)
def test_a_cycle_through_a_machine_is_collected(make, close):
    gc.collect()
    holder = Holder()
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    holder.machine = machine
    make(machine, holder)
    if close:
        machine.close()
    seen = weakref.ref(holder)
    del machine, holder
    gc.collect()
    assert seen() is None


def test_the_memory_of_machines_in_cycles_comes_back():
    def mapped():
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
            return int(statm.read().split()[0]) * 4096

    def make():
        machine = mmcore.Machine(nodes=["64MiB"])
        space = machine.address_space()
        space.on_sigbus(lambda _: space)
        machine.page_pool(ops=Holder())

    make()
    gc.collect()
    before = mapped()
    for _ in range(20):
        make()
    gc.collect()
    assert mapped() - before < 10 * (64 << 20)


def test_a_load_whose_policy_knows_it_is_collected():
    class Policy:
        asked = 0

        def __call__(self, *_):
            self.asked += 1
            if hasattr(self, "rig"):
                # The exception refers to the callable, by way of its stack frames.
                raise ArithmeticError
            return [], []

    policy = Policy()
    arrays = (
        np.arange(1000, dtype=np.uint32) % 100,
        np.zeros(1000, np.uint8),
        np.zeros(1000, np.uint16),
    )
    config = json.dumps({"load": "tiering", "mutators": 1, "memcpy": False})
    with contextlib.suppress(ArithmeticError):
        policy.rig = LoadRig(config, arrays, policy)
        policy.rig.run(0, 5.0)
    assert policy.asked
    seen = weakref.ref(policy)
    del policy
    gc.collect()
    assert seen() is None


def test_handlers_and_owners_in_use_are_never_collected():
    """Other threads run the garbage collector all the time while handlers and owners are called."""
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    stop = threading.Event()

    def collects():
        while not stop.is_set():
            gc.collect()

    collectors = [threading.Thread(target=collects, daemon=True) for _ in range(2)]
    for thread in collectors:
        thread.start()
    told = []
    space = machine.address_space()
    space.early_kill = True
    space.on_sigbus(lambda signal, machine=machine: told.append((signal.address, machine.closed)))
    pool = machine.page_pool(ops=Holder())
    pool.add()
    region = space.mmap("256KiB")
    # Now only objects of the machine refer to the handler and the owner.
    for n in range(60):
        region[4096 * n] = 1
        machine.memory_failure(region.page(n))
        assert machine.migrate_pages([pool.page(0)], node=n % 2).ret >= 0
    stop.set()
    for thread in collectors:
        thread.join(LIMIT)
    assert len(told) == 60
    machine.close()


def test_a_buffer_and_the_end_of_its_pin_exclude_each_other():
    """One thread exports buffers, another ends the pin: only one of the two can succeed."""
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    for _ in range(300):
        ref = machine.alloc()
        pin = ref.page.pin()
        ref.put()
        start = threading.Barrier(2)
        views = []

        def export(start=start, pin=pin, views=views):
            start.wait()
            try:
                while True:
                    view = memoryview(pin)
                    views.append(view)
                    views.pop(0).release()
            except mmcore.errors.MisuseError:
                pass

        thread = threading.Thread(target=export, daemon=True)
        thread.start()
        start.wait()
        while True:
            try:
                pin.unpin()
            except BufferError:
                continue
            break
        thread.join(LIMIT)
        assert not thread.is_alive()
        assert not views
        assert pin.page.refcount == 0
    machine.audit().raise_for_findings()
    machine.close()


def test_a_buffer_keeps_its_frame_whatever_becomes_of_pin_and_machine():
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    region = machine.address_space().mmap("4KiB")
    region[:] = b"k" * 4096
    pin = region.pin()
    views = [memoryview(pin) for _ in range(3)]
    with pytest.raises(BufferError):
        pin.unpin()
    # Buffers are released on another thread, in any order, and also slices of them.
    part = views[0][10:20]
    thread = threading.Thread(target=views.pop().release)
    thread.start()
    thread.join(LIMIT)
    with pytest.raises(BufferError):
        pin.unpin()
    machine.close()
    del machine, region, pin
    gc.collect()
    assert bytes(part) == b"k" * 10
    assert np.frombuffer(views[1], np.uint8).sum() == 4096 * ord("k")
    views[0].release()
    # The slice is a view of its own, which keeps the pin.
    assert bytes(part) == b"k" * 10


def test_a_pin_that_is_over_exports_nothing():
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    with machine.alloc() as ref:
        pin = ref.page.pin()
    pin.unpin()
    with pytest.raises(mmcore.errors.MisuseError):
        memoryview(pin)
    assert ref.page.refcount == 0
    machine.close()


def test_a_page_pinned_by_its_number_is_where_its_content_is():
    """One thread moves a page all the time, another pins it by its number and writes by the pin."""
    machine = mmcore.Machine(nodes=["1MiB", "1MiB"])
    region = machine.address_space().mmap("4KiB")
    region[:] = bytes(4096)
    machine.drain()
    stop = threading.Event()
    moved, pinned = 0, 0

    def moves():
        nonlocal moved
        node = 0
        while not stop.is_set():
            node = 1 - node
            moved += int(region.space.move_pages([region.address], node)[0] == node)

    thread = threading.Thread(target=moves, daemon=True)
    thread.start()
    end = time.monotonic() + LIMIT
    try:
        # Pins are counted, not attempts: all attempts fail while the other thread has no processor
        # in the middle of a migration.
        while (pinned < 2000 or moved < 20) and time.monotonic() < end:
            try:
                pin = region.page(0).pin()
            except mmcore.errors.KernelError as error:
                if error.errno not in (errno.EBUSY, errno.ENOENT):
                    raise
                time.sleep(0.0001)
                continue
            pinned += 1
            with memoryview(pin) as view:
                view[0] = pinned % 251
            assert region[0] == pinned % 251
            pin.unpin()
            if pinned % 16 == 0:
                time.sleep(0)
    finally:
        stop.set()
        thread.join(LIMIT)
    assert pinned > 0
    assert moved > 0
    machine.audit().raise_for_findings()
    machine.close()

"""Daemons end with their machine, whatever they wait for."""

import contextlib
import gc
import threading
import time
from pathlib import Path

import pytest

import mmcore
from mmcore.errors import KernelError, MisuseError
from test_binding_references import ends
from test_waiting import beside, interrupted

PAGE = 4096

#: Seconds after which a wait counts as endless.
LIMIT = 60


def daemons():
    """The names of this process's native threads that are daemons of a machine."""
    names = []
    for task in Path("/proc/self/task").glob("*/comm"):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            names.append(task.read_text().strip())
    return sorted(name for name in names if name.startswith(("kswapd", "kcompactd")))


def until(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it never becomes true"
        time.sleep(0.01)


def fragmented():
    """A machine whose compacting daemon has work, and a page that it wants to move."""
    machine = mmcore.Machine(nodes=["4MiB"], pressure=True)
    machine.compaction_proactiveness = 100
    # Clean pages of a file: compaction takes them although a handle has a reference and the lock.
    file = machine.file("3584KiB")
    file.read(len(file))
    machine.drain()
    for page in range(1, 896, 2):
        file.evict(page, page + 1)
    return machine, file.page(0)


def waited_for(page):
    """Waits until a thread waits for the lock of the page."""
    until(lambda: "waiters" in page.flags)


def test_a_machine_closes_while_its_daemon_waits_for_a_lock_of_the_caller():
    machine, page = fragmented()
    lock = page.lock()
    machine.start_daemons()
    waited_for(page)
    # Another thread closes, so that a hang fails this test and does not end the run.
    ends(machine.close)
    assert daemons() == []
    del lock


def test_a_machine_closes_while_its_daemon_waits_for_a_lock_that_was_dropped():
    machine, page = fragmented()
    lock = page.lock()
    machine.start_daemons()
    waited_for(page)
    with pytest.warns(ResourceWarning):
        del lock
    ends(machine.close)
    assert daemons() == []


def test_a_machine_is_dropped_while_its_daemon_waits_for_a_lock_that_was_dropped():
    kept = list(fragmented())
    kept.append(kept[1].lock())
    kept[0].start_daemons()
    waited_for(kept[1])

    def drop():
        with pytest.warns(ResourceWarning):
            kept.pop()
        kept.clear()
        gc.collect()

    ends(drop)
    assert daemons() == []


def test_daemons_are_not_stopped_by_the_thread_for_whose_lock_they_wait():
    machine, page = fragmented()
    with machine:
        lock = page.lock()
        machine.start_daemons()
        waited_for(page)
        with pytest.raises(MisuseError, match="holds the page lock"):
            machine.stop_daemons()
        lock.unlock()
        machine.stop_daemons()
        assert daemons() == []
        machine.audit().raise_for_findings()


def test_stopping_daemons_hears_ctrl_c():
    machine, page = fragmented()

    def locks(ready, end):
        with page.lock():
            ready.set()
            end.wait(LIMIT)

    with machine:
        with beside(locks):
            machine.start_daemons()
            waited_for(page)
            with interrupted():
                machine.stop_daemons()
        machine.stop_daemons()
        assert daemons() == []


def test_a_callback_does_not_wait_for_daemons():
    machine, page = fragmented()
    owner = mmcore.handles.MovableOps()
    pool = machine.page_pool(ops=owner)
    number = pool.add()
    raised = []

    def migrate(*_):
        with pytest.raises(MisuseError, match="callback"):
            machine.stop_daemons()
        machine.close()
        raised.append(machine.closed)

    # The lock comes first: a daemon that starts on a page without lock moves the page away.
    with page.lock():
        machine.start_daemons()
        waited_for(page)
        # Set now: the daemon may have moved the pool's page before.
        owner.migrate = migrate
        ends(lambda: pool.page(number).isolate().migrate(node=0))
    assert raised == [True]
    until(lambda: daemons() == [])


def test_no_daemon_starts_on_a_machine_that_was_closed():
    for _ in range(50):
        machine = mmcore.Machine(nodes=["64KiB"], pressure=True)
        both = threading.Barrier(2)

        def starts(machine=machine, both=both):
            both.wait(LIMIT)
            for _ in range(20):
                try:
                    machine.start_daemons()
                except (MisuseError, KernelError):
                    break

        thread = threading.Thread(target=starts)
        thread.start()
        both.wait(LIMIT)
        machine.close()
        thread.join(LIMIT)
        assert daemons() == []


def test_daemons_of_a_machine_in_a_cycle_end_when_it_is_collected():
    for _ in range(20):
        machine, page = fragmented()
        owner = mmcore.handles.MovableOps()
        owner.machine, owner.pool = machine, machine.page_pool(ops=owner)
        for _ in range(50):
            owner.pool.add()
        space = machine.address_space()
        space.on_sigbus(lambda _, machine=machine: machine)
        machine.start_daemons()
        time.sleep(0.05)
        del machine, page, owner, space
        until(lambda: gc.collect() or daemons() == [])

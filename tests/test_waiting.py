"""Waiting and interruption: every call waits alike, ends on Ctrl-C, and times out as documented."""

import contextlib
import errno
import gc
import os
import signal
import sys
import threading
import time
import warnings

import pytest

import mmcore

#: Seconds after which a wait counts as endless.
LIMIT = 60


@contextlib.contextmanager
def beside(work):
    """Runs `work(ready, end)` on another thread, from its `ready` to the end of the block."""
    ready, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=work, args=(ready, end), daemon=True)
    thread.start()
    assert ready.wait(LIMIT)
    try:
        yield
    finally:
        end.set()
        thread.join(LIMIT)
        assert not thread.is_alive()


@contextlib.contextmanager
def interrupted(after=0.2):
    """Sends Ctrl-C after a while; the block must end with KeyboardInterrupt."""
    over = threading.Event()

    def interrupts():
        # A signal that comes before the wait begins also ends the block.
        over.wait(after)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupts, daemon=True)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        over.set()
        thread.join(LIMIT)


def written(machine, pages=4):
    region = machine.address_space().mmap(pages * 4096)
    region[:] = b"x" * pages * 4096
    machine.drain()
    return region


def holds_lock(page):
    def work(ready, end):
        with page.lock():
            ready.set()
            end.wait(LIMIT)

    return work


def migrates(machine, region):
    """A migration that has unmapped pages and whose callable does not answer for the last one."""

    def work(ready, end):
        asked = []

        def where(_):
            asked.append(1)
            if len(asked) == region.pages:
                ready.set()
                end.wait(LIMIT)
            return 1

        machine.migrate_pages([region.page(n) for n in range(region.pages)], where, mode="async")

    return work


@pytest.mark.parametrize("again", [lambda page: page.lock(), lambda page: page.trylock()])
def test_a_page_lock_that_was_dropped_is_given_back_by_the_next_call_of_its_thread(plain, again):
    region = written(plain)
    page = region.page(0)
    with pytest.warns(ResourceWarning, match="page lock"):
        page.lock()
    taken = again(page)
    assert taken is not None
    taken.unlock()
    assert page.refcount == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda machine, _region: machine.audit(),
        lambda machine, _region: machine.sync(),
        lambda machine, _region: machine.drop_caches(),
        lambda _machine, region: region.space.move_pages(region.addresses(), 1),
        lambda _machine, region: region.space.migrate_pages(0, 1),
        lambda _machine, region: region.mbind(1, move=True),
        lambda machine, region: machine.soft_offline_page(region.page(0)),
        lambda machine, region: machine.migrate_pages([region.page(0)], node=1),
        lambda machine, region: machine.reclaim_pages([region.page(0)]),
        lambda _machine, region: region.page(0).split(),
        lambda _machine, region: region.page(0).isolate().migrate(node=1),
        lambda _machine, region: region.page(0).pin().unpin(),
    ],
)
def test_a_dropped_page_lock_is_in_the_way_of_no_call_of_its_thread(plain, call):
    region = written(plain)
    with pytest.warns(ResourceWarning, match="page lock"):
        region.page(0).lock()
    call(plain, region)


def test_a_write_back_that_was_dropped_is_in_the_way_of_no_call_of_its_thread(plain):
    file = plain.file("4KiB")
    file.write(b"x")
    with pytest.warns(ResourceWarning, match="write-back"):
        file.begin_writeback(0)
    assert plain.sync() == 0
    file.remove()


def test_a_lock_that_another_thread_has_dropped_is_waited_for_no_longer(plain):
    region = written(plain)

    def drops():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            region.page(0).lock()

    thread = threading.Thread(target=drops)
    thread.start()
    thread.join(LIMIT)
    region.space.move_pages(region.addresses(), 1)
    assert region.page(0).node == 1


def test_an_audit_gives_up_when_others_hold_page_locks(plain):
    region = written(plain)
    with beside(holds_lock(region.page(0))):
        before = time.monotonic()
        with pytest.raises(mmcore.errors.KernelError) as caught:
            plain.audit()
        assert caught.value.errno == errno.EBUSY
        assert time.monotonic() - before < LIMIT / 2
    plain.audit().raise_for_findings()


def test_an_audit_gives_up_when_others_are_inside_of_calls(plain):
    region = written(plain)
    with beside(migrates(plain, region)):
        with pytest.raises(mmcore.errors.KernelError) as caught:
            plain.audit()
        assert caught.value.errno == errno.EBUSY
    plain.audit().raise_for_findings()


HOLDING = {
    "lock": lambda _machine, region: region.page(0).lock(),
    "pin": lambda _machine, region: region.page(0).pin(),
    "sync": lambda machine, _region: machine.sync(),
    "audit": lambda machine, _region: machine.audit(),
    "move": lambda _machine, region: region.space.move_pages(region.addresses(), 1),
    "migrate": lambda machine, region: machine.migrate_pages([region.page(0)], node=1),
}


@pytest.mark.parametrize("name", ["lock", "sync", "audit", "move", "migrate"])
def test_a_call_that_waits_for_a_page_lock_hears_ctrl_c(plain, name):
    region = written(plain)
    with beside(holds_lock(region.page(0))), interrupted():
        while True:
            # An audit also fails by itself after a while, and is then called again.
            with contextlib.suppress(mmcore.errors.KernelError):
                HOLDING[name](plain, region)
    assert region[:] == b"x" * len(region)


ACCESSES = {
    "load": lambda region, _page: region[0:8],
    "store": lambda region, _page: region.__setitem__(slice(0, 4096), b"y" * 4096),
    "across": lambda region, _page: region[4000:8200],
    "into": lambda region, _page: region.read_into(bytearray(64)),
    "fault": lambda region, _page: region.fault(0),
    "pin": lambda region, _page: region.pin(0),
    "number": lambda _region, page: page.pin(),
}


@pytest.mark.parametrize("name", ACCESSES)
def test_an_access_that_waits_for_a_migration_hears_ctrl_c(plain, name):
    # The migration is a batch: one by one, a page would have moved before the next is asked for.
    # The pages of a window are unmapped when each of them has a destination. The last page of the
    # region is in another window.
    region = written(plain, pages=66)
    page = region.page(0)
    with beside(migrates(plain, region)), interrupted():
        while True:
            ACCESSES[name](region, page)
            raise AssertionError("nobody was waited for")
    gc.collect()
    assert region[4096:] == b"x" * (len(region) - 4096)
    assert region[0:4096] in (b"x" * 4096, b"y" * 4096)


def test_an_access_goes_on_when_the_migration_has_ended(plain):
    region = written(plain, pages=66)
    seen = []
    with beside(migrates(plain, region)):
        reader = threading.Thread(target=lambda: seen.append(region[:]))
        writer = threading.Thread(target=lambda: region.__setitem__(slice(0, 8192), b"y" * 8192))
        reader.start()
        writer.start()
        # The time is longer than the interval at which a wait checks for signals.
        time.sleep(0.2)
        assert not seen
    reader.join(LIMIT)
    writer.join(LIMIT)
    assert set(seen[0]) <= set(b"xy")
    assert region[:] == b"y" * 8192 + b"x" * (len(region) - 8192)
    assert region.page(0).node == 1


def test_a_file_s_page_that_is_locked_is_waited_for_with_an_ear_for_ctrl_c(plain):
    file = plain.file("8KiB")
    file.write(b"f" * 8192)
    plain.drain()
    region = plain.address_space().mmap(file=file)
    for access in (lambda: region[0:8], lambda: file.read(8), lambda: file.write(b"g")):
        with beside(holds_lock(file.page(0))), interrupted():
            access()
            raise AssertionError("nobody was waited for")
    assert region[0:8] == b"f" * 8


class Interrupts(mmcore.handles.MovableOps):
    def __init__(self, where, error):
        self.where = where
        self.error = error

    def isolate(self, _):
        if self.where == "isolate":
            raise self.error
        return True

    def migrate(self, *_):
        if self.where == "migrate":
            raise self.error

    def putback(self, _):
        if self.where == "putback":
            raise self.error

    def released(self, _):
        if self.where == "released":
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("where", ["isolate", "migrate", "putback"])
def test_an_exception_that_ends_a_program_comes_out_of_an_owner_s_callback(plain, where, error):
    pool = plain.page_pool(ops=Interrupts(where, error))
    pool.add()

    def call():
        token = pool.page(0).isolate()
        token.migrate(node=1) if where == "migrate" else token.putback()

    with pytest.raises(error):
        call()
    # No page is lost, and the next call does not raise the exception again.
    plain.vmstat()
    plain.audit().raise_for_findings()
    assert len(pool) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_a_program_comes_out_of_a_released_callback(build, error):
    machine = build(release="hook")
    pool = machine.page_pool(ops=Interrupts("released", error))
    number = pool.add()
    with pytest.raises(error):
        pool.release(number)
    assert len(pool) == 0


def test_other_exceptions_of_an_owner_are_reported_and_end_nothing(plain, monkeypatch):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    pool = plain.page_pool(ops=Interrupts("putback", ArithmeticError))
    pool.add()
    pool.page(0).isolate().putback()
    assert [report.exc_type for report in reports] == [ArithmeticError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_a_program_goes_before_an_error_of_another_handler(plain, error):
    region = written(plain)
    child = region.space.fork()
    raises = iter([ArithmeticError, error])

    def handler(_):
        raise next(raises)

    for space in (region.space, child):
        space.early_kill = True
        space.on_sigbus(handler)
    with pytest.raises(error):
        plain.memory_failure(region.page(0))
    child.exit()


def test_ctrl_c_in_the_callable_of_a_migration_comes_out_of_it(plain):
    region = written(plain)

    def where(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain.migrate_pages([region.page(0)], where)
    assert region[:] == b"x" * len(region)

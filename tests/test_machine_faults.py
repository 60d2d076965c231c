"""Faults on purpose: with a fault at any step, an operation is done or leaves no trace."""

import errno
import gc
import itertools
import re
import threading
from pathlib import Path

import pytest

import mmcore

KINDS = [
    "no_memory",
    "copy_failure",
    "extra_pin",
    "driver_error",
    "poison",
    "killed",
    "spurious_wakeup",
]
PAGE = (Path(__file__).parent.parent / "docs" / "faults.md").read_text(encoding="utf-8")
PAGES = 4
SIZE = PAGES * 4096
CONTENT = bytes(range(256)) * (SIZE // 256)


def anonymous(machine):
    region = machine.address_space().mmap(SIZE)
    region[:] = CONTENT
    return region


def shared(machine):
    region = anonymous(machine)
    region.space.fork()
    return region


def large(machine):
    region = machine.address_space().mmap(SIZE, order=2)
    region[:] = CONTENT
    return region


def of_a_file(machine, kind):
    file = machine.file(SIZE, kind=kind)
    region = machine.address_space().mmap(file=file)
    region[:] = CONTENT
    machine.sync()
    return region


def in_the_swap_cache(machine):
    region = anonymous(machine)
    machine.swapon(4 * SIZE)
    machine.drain()
    region.madvise("pageout")
    region.madvise("willneed")
    machine.drain()
    assert region[:] == CONTENT
    assert "swapcache" in region.page(0).flags
    return region


MAPPED = {
    "anonymous": anonymous,
    "shared": shared,
    "large": large,
    "disk": lambda machine: of_a_file(machine, "disk"),
    "tmpfs": lambda machine: of_a_file(machine, "tmpfs"),
    "swap cache": in_the_swap_cache,
}


def content(region, lost):
    """Check that the region has its bytes; with ``lost`` a page may be lost with a bad frame."""
    for page in range(PAGES):
        part = slice(page * 4096, (page + 1) * 4096)
        try:
            assert region[part] == CONTENT[part]
        except mmcore.errors.SigbusError:
            assert lost


def walk(kind, build, work, after=lambda *_: None):
    """Do ``work`` with the fault at its first site, its second, and so on; return their number."""
    for at in itertools.count():
        with mmcore.Machine(nodes=["256KiB", "256KiB"]) as machine:
            target = build(machine)
            machine.drain()
            with machine.inject(kind, at=at) as fault:
                try:
                    work(target)
                    failed = None
                except mmcore.errors.KernelError as error:
                    failed = error
                machine.audit().raise_for_findings()
            machine.audit().raise_for_findings()
            assert failed is None or fault.fired
            after(target, failed, fault)
            assert not machine.audit()
            if not fault.fired:
                assert fault.passed <= at
                break
    return at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pages", MAPPED)
def test_a_migration_with_a_fault_at_any_step_moves_a_page_or_leaves_it(kind, pages):
    def migrate(region):
        machine = machines[region]
        names = dict.fromkeys(region.page(page) for page in range(PAGES))
        machine.migrate_pages([page.pfn for page in names], node=1)

    machines = {}

    def build(machine):
        region = MAPPED[pages](machine)
        machines.clear()
        machines[region] = machine
        return region

    def after(region, _failed, fault):
        content(region, lost=kind == "poison")
        if kind in ("killed", "spurious_wakeup") or not fault.fired:
            assert all(region.page(page).node == 1 for page in range(PAGES))

    sites = walk(kind, build, migrate, after)
    if kind in ("no_memory", "copy_failure"):
        assert sites == (1 if pages == "large" else PAGES)
    if kind in ("extra_pin", "poison", "killed", "spurious_wakeup"):
        assert sites > PAGES


@pytest.mark.parametrize("kind", KINDS)
def test_a_movable_page_moves_or_its_owner_has_it_back(kind):
    def build(machine):
        pool = machine.page_pool()
        for number in range(PAGES):
            assert pool.add() == number
            pool.write(number, 0, number + 1)
        return machine, pool

    def migrate(target):
        machine, pool = target
        machine.migrate_pages([pool.page(number).pfn for number in range(PAGES)], node=1)

    def after(target, _failed, _fault):
        _, pool = target
        assert [pool.read(number) for number in range(PAGES)] == [1, 2, 3, 4]

    sites = walk(kind, build, migrate, after)
    if kind == "driver_error":
        # Isolation and migration of each page.
        assert sites == 2 * PAGES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pages", MAPPED)
def test_a_fork_with_a_fault_is_done_or_has_no_child(kind, pages):
    def after(region, failed, _fault):
        content(region, lost=kind == "poison")
        if failed:
            assert failed.errno in (errno.ENOMEM, errno.EINTR)
        else:
            child = region.space.fork()
            child.exit()

    walk(kind, MAPPED[pages], lambda region: region.space.fork(), after)


@pytest.mark.parametrize("kind", KINDS)
def test_pages_that_go_to_swap_and_back_are_there(kind):
    def build(machine):
        region = anonymous(machine)
        machine.swapon(4 * SIZE)
        return region

    def work(region):
        region.madvise("pageout")
        assert region[:] == CONTENT

    walk(kind, build, work, lambda region, *_: content(region, lost=kind == "poison"))


@pytest.mark.parametrize("kind", KINDS)
def test_swap_space_goes_away_or_is_in_use_as_before(kind):
    def build(machine):
        region = anonymous(machine)
        machine.swapon(4 * SIZE)
        machine.drain()
        region.madvise("pageout")
        return machine, region

    def after(target, failed, _fault):
        machine, region = target
        assert machine.swap == ((4 * PAGES, machine.swap[1]) if failed else (0, 0))
        content(region, lost=kind == "poison")

    walk(kind, build, lambda target: target[0].swapoff(), after)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pages", MAPPED)
def test_an_offlined_page_is_out_of_use_or_in_use_as_before(kind, pages):
    def build(machine):
        return machine, MAPPED[pages](machine)

    def work(target):
        machine, region = target
        frames[:] = [region.page(0)]
        machine.soft_offline_page(frames[0])

    frames = []

    def after(target, failed, _fault):
        machine, region = target
        assert machine.num_poisoned_pages == (0 if failed else 1) or kind == "poison"
        assert ("hwpoison" in frames[0].flags) == (failed is None) or kind == "poison"
        content(region, lost=kind == "poison")

    walk(kind, build, work, after)


def test_the_sites_of_a_kind_are_told(plain):
    region = anonymous(plain)
    plain.drain()
    with plain.inject("no_memory", at=1, times=2) as fault:
        assert (fault.kind, fault.at, fault.times) == ("no_memory", 1, 2)
        moved = plain.migrate_pages([region.page(page).pfn for page in range(PAGES)], node=1)
        assert fault.passed >= 2
    assert moved.succeeded == 1
    assert fault.hits[0] == ("frame", None)
    assert fault.fired == len(fault.hits)
    passed = fault.passed
    plain.alloc().put()
    assert fault.passed == passed
    assert region[:] == CONTENT


def test_a_block_counts_anew_and_none_strikes_after_its_end(plain):
    fault = plain.inject("no_memory")
    assert (fault.passed, fault.fired, fault.hits) == (0, 0, ())
    for _ in range(2):
        with fault:
            with pytest.raises(mmcore.errors.KernelError, match="injected") as raised:
                plain.alloc()
            assert raised.value.errno == errno.ENOMEM
            plain.alloc().put()
            with pytest.raises(mmcore.errors.MisuseError), fault:
                pass
        assert (fault.passed, fault.fired) == (2, 1)
        plain.alloc().put()


def test_no_times_mean_every_time(plain):
    with plain.inject("no_memory", times=None) as fault:
        for _ in range(3):
            with pytest.raises(mmcore.errors.KernelError):
                plain.alloc()
    assert fault.fired == 3


def test_an_extra_reference_is_held_until_the_block_ends(plain):
    region = anonymous(plain)
    plain.drain()
    page = region.page(0)
    with plain.inject("extra_pin") as fault:
        with pytest.raises(mmcore.errors.KernelError):
            page.isolate().migrate(node=1)
        assert "fault" in [holder.kind for holder in page.holders()]
    assert fault.hits == (("folio_isolate_lru", page.pfn),)
    plain.drain()
    assert page.refcount == 1
    page.isolate().migrate(node=1)


def test_a_frame_that_fails_at_a_step_is_handled_when_the_block_ends(plain):
    region = anonymous(plain)
    plain.drain()
    told = []
    region.space.early_kill = True
    region.space.on_sigbus(told.append)
    page = region.page(0)
    with plain.inject("poison"):
        page.isolate().putback()
        plain.drain()
        assert "hwpoison" in page.flags
        assert (plain.num_poisoned_pages, told) == (1, [])
        assert region[0] == CONTENT[0]
    assert [signal.address for signal in told] == [region.address]
    with pytest.raises(mmcore.errors.SigbusError):
        region[0]
    assert plain.num_poisoned_pages == 1


def test_a_killed_thread_gets_eintr_until_the_block_ends(plain):
    region = anonymous(plain)
    with plain.inject("killed"):
        for call in (region.space.fork, region.unmap, lambda: region.madvise("cold")):
            with pytest.raises(mmcore.errors.KernelError) as raised:
                call()
            assert raised.value.errno == errno.EINTR
        # Another thread is not killed.
        child = []
        thread = threading.Thread(target=lambda: child.append(region.space.fork()))
        thread.start()
        thread.join()
        assert len(child) == 1
    region.unmap()


def test_a_killed_thread_is_not_made_to_repeat_its_call(plain):
    file, region = plain.file("8KiB"), plain.address_space().mmap("8KiB")
    with plain.inject("killed"):
        # The access faults, and a killed thread does not come back from a fault.
        for call in (lambda: file.read(8192), lambda: file.write(b"x" * 8192), lambda: region[0]):
            with pytest.raises(mmcore.errors.KernelError) as raised:
                call()
            assert raised.value.errno == errno.EINTR
    assert file.read(1) == b"\0"


def test_a_device_that_fails_is_asked_again(plain):
    file = plain.file("4KiB")
    with plain.inject("driver_error") as fault:
        with pytest.raises(mmcore.errors.KernelError) as raised:
            file.read(1)
        assert file.read(1) == b"\0"
    assert raised.value.errno == errno.EIO
    assert fault.hits[0][0] == "read of a disk"
    region = plain.address_space().mmap(file=file)
    region[0] = 7
    # The loss of a failed write is reported once.
    with plain.inject("driver_error"), pytest.raises(mmcore.errors.KernelError) as raised:
        region.msync()
    assert raised.value.errno == errno.EIO
    assert region.msync() == 0
    assert region[0] == 7


def test_a_fault_that_nobody_ends_gives_its_references_back(plain):
    region = anonymous(plain)
    plain.drain()
    page = region.page(0)
    holder = [plain.inject("extra_pin")]
    holder[0].__enter__()
    page.isolate().putback()
    plain.drain()
    assert page.refcount == 2

    def drop(holder):
        holder.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match="injected fault"):
        drop(holder)
    plain.drain()
    assert page.refcount == 1


def test_a_fault_may_end_inside_of_a_callback_and_after_the_machine():
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as machine:
        region = anonymous(machine)
        machine.drain()
        pages = [region.page(page) for page in range(2)]

        def target(_page):
            with machine.inject("extra_pin", at=0, times=1):
                machine.page(pages[1].pfn).get().put()
            return 1

        machine.migrate_pages([page.pfn for page in pages], target)
        assert not machine.audit()
        late = machine.inject("extra_pin", times=None)
        late.__enter__()
        region.page(3).isolate().putback()
    late.__exit__(None, None, None)
    with pytest.raises(mmcore.errors.MisuseError):
        machine.inject("poison")


def test_faults_that_there_are_not_are_refused(plain):
    with pytest.raises(mmcore.errors.InputError, match="no_memory, copy_failure"):
        plain.inject("gremlin")
    with pytest.raises(mmcore.errors.InputError, match="at least once"):
        plain.inject("poison", times=0)
    with pytest.raises(OverflowError):
        plain.inject("poison", at=-1)
    assert repr(plain.inject("poison", at=2)) == "<Fault poison at=2 fired=0>"


def test_threads_see_nothing_of_wake_ups_for_no_reason(plain):
    region = anonymous(plain)
    over = threading.Event()
    wrong = []

    def use():
        while not over.is_set():
            if region[:] != CONTENT:
                wrong.append(True)

    threads = [threading.Thread(target=use) for _ in range(2)]
    with plain.inject("spurious_wakeup", times=None) as fault:
        for thread in threads:
            thread.start()
        for step in range(100):
            region.space.move_pages(region.addresses(), nodes=1 - step % 2)
        over.set()
        for thread in threads:
            thread.join()
    assert fault.fired
    assert not wrong


def test_the_code_of_the_page_runs():
    page = Path(__file__).parent.parent / "docs" / "faults.md"
    blocks = re.findall(
        r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), {})


def test_the_page_has_every_kind():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == KINDS

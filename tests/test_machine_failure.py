"""Memory failure from Python: offlining, poisoning, signals, unpoison."""

import contextlib
import errno

import pytest

import mmcore

#: The errno module has no name for it.
EHWPOISON = 133


@pytest.fixture
def machine():
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as machine:
        yield machine
        assert not machine.audit()


@pytest.fixture
def region(machine):
    region = machine.address_space().mmap("16KiB")
    region[:] = bytes(range(256)) * 64
    machine.drain()
    return region


def test_a_page_is_offlined_without_anybody_noticing(machine, region):
    old = region.page(0)
    machine.soft_offline_page(old)
    assert machine.num_poisoned_pages == 1
    assert region.page(0) != old
    assert region[:256] == bytes(range(256))
    assert "hwpoison" in old.flags
    assert [holder.kind for holder in old.holders()] == ["poison"]
    machine.soft_offline_page(old)
    machine.unpoison(old)
    assert machine.num_poisoned_pages == 0
    assert old.refcount == 0


def test_a_page_with_another_reference_cannot_be_offlined(machine, region):
    page = region.page(0)
    with page.get(), pytest.raises(mmcore.errors.KernelError) as raised:
        machine.soft_offline_page(page)
    assert raised.value.errno == errno.EBUSY
    assert "reference" in str(raised.value)
    assert raised.value.state.pfn == page.pfn
    assert machine.num_poisoned_pages == 0
    assert region.page(0) == page


def test_frames_go_by_their_number_too(machine, region):
    pfn = region.page(1).pfn
    machine.soft_offline_page(pfn)
    machine.unpoison(pfn)
    with pytest.raises(mmcore.errors.KernelError) as raised:
        machine.soft_offline_page(1 << 27)
    assert raised.value.errno == errno.ENXIO
    with mmcore.Machine(nodes=["1MiB"]) as other, pytest.raises(mmcore.errors.MisuseError):
        other.soft_offline_page(region.page(0))


def test_an_access_to_a_lost_page_is_a_bus_error(machine, region):
    page = region.page(2)
    assert machine.memory_failure(page) == ()
    with pytest.raises(mmcore.errors.SigbusError) as raised:
        region[0:16384]
    assert isinstance(raised.value, mmcore.errors.KernelError)
    assert (raised.value.address, raised.value.code) == (region.address + 8192, "BUS_MCEERR_AR")
    assert raised.value.state.pfn == page.pfn
    with pytest.raises(mmcore.errors.SigbusError):
        region[8192] = 1
    with pytest.raises(mmcore.errors.SigbusError):
        region.fault(2)
    # Content of good frames is not lost.
    assert region[0:256] == region[12288 : 12288 + 256]
    with pytest.raises(mmcore.errors.KernelError) as raised:
        machine.memory_failure(page)
    assert raised.value.errno == EHWPOISON


def test_a_process_may_be_told_early(machine, region):
    space = region.space
    told = []
    space.on_sigbus(told.append)
    assert not space.early_kill
    assert machine.memory_failure(region.page(0)) == ()
    space.early_kill = True
    signals = machine.memory_failure(region.page(1))
    expected = mmcore.results.Signal(space.id, region.address + 4096, "BUS_MCEERR_AO")
    assert signals == (expected,)
    assert told == [expected]
    # The process whose access has met the failure gets "action required".
    (signal,) = machine.memory_failure(region.page(2), current=space)
    assert signal.code == "BUS_MCEERR_AR"
    space.on_sigbus(None)
    machine.memory_failure(region.page(3))
    assert len(told) == 2


def test_a_handler_that_raises_is_heard(machine, region):
    region.space.early_kill = True

    def handler(signal):
        raise RuntimeError(f"lost {signal.address:#x}")

    region.space.on_sigbus(handler)
    with pytest.raises(RuntimeError, match="lost"):
        machine.memory_failure(region.page(0))
    assert machine.num_poisoned_pages == 1


def test_the_loss_of_dirty_file_data_is_told_by_the_next_sync(machine):
    file = machine.file("8KiB")
    region = machine.address_space().mmap(file=file)
    region[0:4] = b"lost"
    machine.drain()
    machine.memory_failure(file.page(0))
    with pytest.raises(mmcore.errors.KernelError) as raised:
        region.msync()
    assert raised.value.errno == errno.EIO
    assert region.msync() == 0
    assert file.read(4) == bytes(4)


def test_a_page_of_a_memory_file_stays_lost(machine):
    file = machine.file("4KiB", kind="tmpfs")
    region = machine.address_space().mmap(file=file)
    region[0:4] = b"lost"
    machine.drain()
    page = file.page(0)
    machine.memory_failure(page)
    with pytest.raises(mmcore.errors.KernelError) as raised:
        file.read(4)
    assert raised.value.errno == errno.EIO
    with pytest.raises(mmcore.errors.KernelError) as raised:
        machine.unpoison(page)
    assert raised.value.errno == errno.EBUSY
    other = machine.address_space().mmap(file=file)
    with pytest.raises(mmcore.errors.SigbusError) as raised:
        other[0]
    assert raised.value.address == other.address


def test_poisoned_frames_are_never_handed_out(machine):
    frames = machine.nodes[0].frames
    bad = {3, 5, 64, frames - 1}
    for pfn in bad:
        machine.soft_offline_page(pfn)
    held = [machine.alloc() for _ in range(frames - len(bad))]
    assert bad.isdisjoint(ref.page.pfn for ref in held)
    with pytest.raises(mmcore.errors.KernelError):
        machine.alloc()
    for ref in held:
        ref.put()
    for pfn in bad:
        machine.unpoison(pfn)
    assert machine.nodes[0].free == frames


def test_a_page_that_a_failure_faults_in_is_among_the_frames_struck(machine):
    file = machine.file("4KiB", kind="disk")
    region = machine.address_space().mmap(file=file)
    (struck,) = machine.strike(space=region.space, address=region.address)
    assert "hwpoison" in machine.page(struck).flags


def test_frames_fail_by_address(machine, region):
    page = region.page(1)
    assert machine.strike(space=region.space, address=region.address + 4096) == [page.pfn]
    assert region.page(1) != page
    lost = region.page(2)
    struck = machine.strike(space=region.space, address=region.address + 8192, hard=True)
    assert struck == [lost.pfn]
    with pytest.raises(mmcore.errors.SigbusError):
        region[8192]
    with pytest.raises(mmcore.errors.KernelError) as raised:
        machine.strike(space=region.space, address=0)
    assert raised.value.errno == errno.EFAULT
    with pytest.raises(TypeError):
        machine.strike(address=0)
    with pytest.raises(mmcore.errors.InputError):
        machine.strike(rate=2)


def test_frames_fail_at_a_rate(machine, region):
    before = region[:]
    struck = machine.strike(rate=0.1, seed=3)
    assert 20 < len(struck) < 90
    assert machine.num_poisoned_pages == len(struck)
    assert region[:] == before
    for pfn in struck:
        machine.unpoison(pfn)
    assert machine.strike(rate=0) == []
    assert machine.strike(rate=0.1, seed=3)[:10] == struck[:10]


class Refuses(mmcore.handles.MovableOps):
    def migrate(self, source, target, mode):  # noqa: ARG002
        raise OSError(errno.EIO, "it stays")


@pytest.mark.parametrize(("poison", "counted"), [("non_eagain", 1), ("success", 0), ("double", 0)])
def test_a_page_that_cannot_move_counts_as_poisoned_in_the_old_accounting_alone(poison, counted):
    with mmcore.Machine(nodes=["1MiB", "1MiB"], poison=poison) as machine:
        pool = machine.page_pool(ops=Refuses())
        page = pool.page(pool.add())
        with pytest.raises(mmcore.errors.KernelError):
            machine.soft_offline_page(page)
        assert machine.num_poisoned_pages == counted
        assert ("hwpoison" in page.flags) == bool(counted)
        # The audit reports the effect of the old accounting.
        rules = {finding.rule for finding in machine.audit()}
        healthy = "a poisoned frame is contained, or has failed hard"
        assert rules == ({healthy} if counted else set())


def test_a_page_that_was_moved_is_counted_twice_where_both_sides_count():
    with mmcore.Machine(nodes=["1MiB"], poison="double") as machine:
        # A free frame is not migrated, so only the caller counts it.
        machine.soft_offline_page(200)
        assert machine.num_poisoned_pages == 1
        assert not machine.audit()
        region = machine.address_space().mmap("4KiB")
        region[0] = 1
        machine.drain()
        machine.soft_offline_page(region.page(0))
        assert machine.num_poisoned_pages == 3
        (finding,) = machine.audit()
        assert finding.rule == "num_poisoned_pages is the number of poisoned frames"
        assert "poison=double" in finding.detail


@pytest.mark.parametrize("kernel", ["4.5", "4.8", "6.1", "6.12"])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("used", [False, True])
def test_each_frame_that_is_struck_counts_once_whether_it_was_ever_used(kernel, *, hard, used):
    with mmcore.Machine(nodes=["1MiB", "1MiB"], kernel=kernel) as machine:
        if used:
            region = machine.address_space().mmap("512KiB")
            for number in range(128):
                region[number * 4096] = 1
            machine.drain()
        struck = machine.strike(rate=0.1, seed=3, hard=hard)
        assert machine.strike(rate=0.1, seed=3, hard=hard) == []
        assert machine.num_poisoned_pages == len(struck) > 20
        machine.audit().raise_for_findings()
        # The allocator gives out all frames but the struck ones.
        held = []
        with contextlib.suppress(mmcore.errors.KernelError):
            while True:
                held.append(machine.alloc())
        assert not set(struck) & {ref.page.pfn for ref in held}
        assert machine.num_poisoned_pages == len(struck)
        machine.audit().raise_for_findings()
        for ref in held:
            ref.put()


def test_put_first_leaves_the_frame_on_its_free_list(machine):
    with mmcore.Machine(nodes=["1MiB", "1MiB"], poison_order="put_first") as machine:
        region = machine.address_space().mmap("4KiB")
        region[0] = 1
        machine.drain()
        old = region.page(0)
        machine.soft_offline_page(old)
        assert (old.refcount, old.holders(), "hwpoison" in old.flags) == (0, (), True)
        assert not machine.audit()
        frames = machine.nodes[0].frames
        held = [machine.alloc() for _ in range(frames - 2)]
        assert old.pfn not in {ref.page.pfn for ref in held}
        for ref in held:
            ref.put()


def test_a_page_that_mlock_has_taken_off_its_list_is_not_called_handled_while_it_is_mapped():
    program = mmcore.Program.parse(
        "machine nodes=1 pages=4\nmap r0 anon 1\nwrite r0\n"
        "thread A\n  mlock r0\nthread B\n  phys hard r0"
    )
    assert mmcore.explore(program, search="exhaustive", jobs=1).check().is_exhaustive

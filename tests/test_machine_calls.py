"""System calls of a process from Python: locks, policies, migrations, and their results."""

import errno
import gc

import numpy as np
import pytest

import mmcore


def written(machine, pages=4):
    region = machine.address_space().mmap(pages * 4096)
    region[:] = b"x" * pages * 4096
    machine.drain()
    return region


def nodes_of(region):
    return region.space.query_pages(region.addresses()).tolist()


def test_locked_memory_is_unevictable_until_it_is_unlocked(machine):
    region = written(machine)
    region.mlock(1, 3)
    machine.drain()
    assert machine.vmstat()["nr_mlock"] == 2
    assert ["mlocked" in region.page(n).flags for n in range(4)] == [False, True, True, False]
    with pytest.raises(mmcore.errors.KernelError) as caught:
        region.madvise("cold")
    assert caught.value.errno == errno.EINVAL
    region.munlock()
    assert machine.vmstat()["nr_mlock"] == 0
    region.madvise("cold")


def test_mlock_faults_in_what_is_missing(machine):
    region = machine.address_space().mmap("8KiB")
    region.mlock()
    assert "mlocked" in region.page(1).flags
    region.unmap(1, 2)
    with pytest.raises(mmcore.errors.KernelError) as caught:
        region.mlock()
    assert caught.value.errno == errno.ENOMEM


def test_mbind_moves_pages_and_says_where_new_ones_come_from(machine):
    region = written(machine)
    region.mbind(1, 0, 2, move=True)
    assert nodes_of(region) == [1, 1, 0, 0]
    region.unmap(3, 4)
    later = region.space.mmap("4KiB")
    later.mbind(1)
    later[0] = 1
    assert nodes_of(later) == [1]


def test_a_strict_mbind_says_that_a_page_is_elsewhere(machine):
    region = written(machine)
    with pytest.raises(mmcore.errors.KernelError) as caught:
        region.mbind(1, strict=True)
    assert caught.value.errno == errno.EIO
    with region.page(0).get(), pytest.raises(mmcore.errors.KernelError) as caught:
        region.mbind(1, strict=True, move=True)
    assert caught.value.errno == errno.EIO
    assert nodes_of(region)[1:] == [1, 1, 1]


def test_mbind_leaves_shared_pages_alone_without_move_all(machine):
    region = written(machine)
    child = region.space.fork()
    region.mbind(1, move=True)
    assert nodes_of(region) == [0] * 4
    region.mbind(1, move_all=True)
    assert nodes_of(region) == [1] * 4
    child.exit()


def test_migrate_pages_moves_a_process_s_memory(machine):
    region = written(machine)
    with machine.trace() as tracing:
        assert region.space.migrate_pages(0, 1) == 0
    assert nodes_of(region) == [1] * 4
    assert "mm_migrate_pages" in [event.name for event in tracing]
    with region.page(0).get():
        assert region.space.migrate_pages(1, 0) == 1
    assert region[:] == b"x" * 4 * 4096


@pytest.mark.parametrize(("kernel", "told"), [("6.1", 0), ("6.12", 1)])
def test_migrate_pages_counts_pages_that_it_cannot_isolate_since_6_7(kernel, told):
    region = written(mmcore.Machine(nodes=["1MiB"] * 2, kernel=kernel))
    with region.page(0).isolate():
        assert region.space.migrate_pages(0, 1) == told
    assert nodes_of(region) == [0, 1, 1, 1]


@pytest.mark.parametrize("name", ["mbind", "migrate_pages"])
def test_a_node_that_is_not_there_is_refused(machine, name):
    region = written(machine)
    with pytest.raises(mmcore.errors.KernelError) as caught:
        region.mbind(7) if name == "mbind" else region.space.migrate_pages(0, 7)
    assert caught.value.errno == errno.EINVAL


def test_whoever_is_told_of_a_lost_page_is_told_although_another_handler_raises(machine):
    region = written(machine)
    child = region.space.fork()
    told = []

    def handler(signal):
        told.append(signal.space)
        raise ArithmeticError

    for space in (region.space, child):
        space.early_kill = True
        space.on_sigbus(handler)
    with pytest.raises(ArithmeticError):
        machine.memory_failure(region.page(0))
    assert sorted(told) == sorted([region.space.id, child.id])
    child.exit()


def test_a_handler_is_a_callable_of_a_machine_that_is_open(plain):
    space = plain.address_space()
    with pytest.raises(TypeError, match="callable"):
        space.on_sigbus(7)
    plain.close()
    with pytest.raises(mmcore.errors.MisuseError):
        space.on_sigbus(print)


def test_a_call_without_a_target_spends_no_token(machine):
    region = written(machine)
    token = region.page(0).isolate()
    with pytest.raises(TypeError, match="callable"):
        machine.migrate_pages([token], 1)
    token.putback()


def test_a_trace_that_nobody_ended_ends_with_its_object(plain):
    tracing = plain.trace()
    tracing.__enter__()
    with pytest.raises(mmcore.errors.MisuseError):
        plain.trace().__enter__()
    del tracing
    gc.collect()
    with plain.trace() as again:
        plain.alloc().put()
    assert "mm_page_alloc" in [event.name for event in again]


def test_page_states_of_a_bound_range_say_the_node(machine):
    region = written(machine)
    region.mbind(1, move=True)
    pfns = np.array([region.page(n).pfn for n in range(4)])
    assert set(machine.page_states(pfns)["node"]) == {1}

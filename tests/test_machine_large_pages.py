"""Large pages from Python: mapped, split, moved, failing, held."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore

PAGE = 4096


@pytest.fixture
def machine():
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as machine:
        yield machine
        machine.audit().raise_for_findings()


def large(machine, pages=4, order=2):
    space = machine.address_space()
    region = space.mmap(pages * PAGE, order=order)
    for page in range(pages):
        region[page * PAGE] = page % 255 + 1
    machine.drain()
    return space, region


def orders(region):
    return [region.page(n).head.order for n in range(len(region) // PAGE)]


def test_a_region_with_an_order_has_large_pages(machine):
    _, region = large(machine, pages=5)
    assert orders(region) == [2, 2, 2, 2, 0]
    head = region.page(2).head
    assert head == region.page(0)
    assert head.refcount == 4
    assert "tail" in region.page(2).flags
    assert "head" in head.flags
    assert [holder.kind for holder in region.page(2).holders()] == ["entry"] * 4


def test_split_makes_base_pages_and_what_is_held_stays_whole(machine):
    _, region = large(machine)
    page = region.page(1)
    with page.get() as held:
        assert held.page == page
        with pytest.raises(mmcore.errors.KernelError) as refused:
            page.split()
    assert refused.value.errno == errno.EAGAIN
    with region.pin(2), pytest.raises(mmcore.errors.KernelError):
        page.split()
    assert orders(region) == [2] * 4
    page.split()
    assert orders(region) == [0] * 4
    assert [region.page(n).refcount for n in range(4)] == [1] * 4
    assert [region[n * PAGE] for n in range(4)] == [1, 2, 3, 4]
    page.split()  # no large page is left to split


def test_a_reference_on_an_allocation_is_split_into_one_on_each_part(machine):
    whole = machine.alloc(order=2)
    with whole.page.get(), pytest.raises(mmcore.errors.KernelError) as refused:
        whole.split()
    assert refused.value.errno == errno.EAGAIN
    parts = whole.split()
    assert [int(part.page) - int(parts[0].page) for part in parts] == [0, 1, 2, 3]
    with pytest.raises(mmcore.errors.MisuseError):
        whole.put()
    machine.audit().raise_for_findings()
    for part in parts:
        part.put()


def test_one_lock_for_all_parts(machine):
    _, region = large(machine)
    with region.page(0).lock():
        assert region.page(3).trylock() is None
        with pytest.raises(mmcore.errors.MisuseError):
            region.page(3).lock()
        with pytest.raises(mmcore.errors.MisuseError):
            region.page(3).split()
    region.page(3).split()


def test_a_pin_of_a_part_shows_its_bytes(machine):
    _, region = large(machine)
    with region.pin(2) as pin, memoryview(pin) as view:
        assert view[0] == 3
    assert region.page(2).head.refcount == 4


def test_without_room_for_the_whole_the_parts_move(machine):
    _, region = large(machine)
    frames = [machine.alloc(node=1) for _ in range(256)]
    for frame in frames[::2]:
        frame.put()
    region.page(0).isolate().migrate(node=1)
    assert orders(region) == [0] * 4
    assert {region.page(n).node for n in range(4)} == {1}
    for frame in frames[1::2]:
        frame.put()


def test_a_token_of_a_page_that_moved_in_part_is_spent_and_nothing_is_lost(machine):
    _, region = large(machine)
    frames = [machine.alloc(node=1) for _ in range(256)]
    frames.pop().put()
    frames.pop(-2).put()
    with pytest.raises(mmcore.errors.KernelError) as refused:
        region.page(0).isolate().migrate(node=1)
    assert refused.value.errno == errno.EBUSY
    assert sorted(region.page(n).node for n in range(4)) == [0, 0, 1, 1]
    assert machine.vmstat()["nr_isolated_anon"] == 0
    machine.audit().raise_for_findings()
    for frame in frames:
        frame.put()


@pytest.mark.parametrize(("slots", "huge", "fallback"), [(1024, 1, 0), (511, 0, 1)])
def test_a_huge_page_is_swapped_out_whole_if_there_is_a_run_of_slots(slots, huge, fallback):
    with mmcore.Machine(nodes=["8MiB", "8MiB"], kernel="6.12") as machine:
        machine.swapon(slots * PAGE)
        _, region = large(machine, pages=512, order=9)
        region.madvise("pageout")
        counted = machine.vmstat()
        assert (counted["thp_swpout"], counted["thp_swpout_fallback"]) == (huge, fallback)
        assert counted["pswpout"] == machine.swap.used == min(slots, 512)
        assert all(region[n * PAGE] == n % 255 + 1 for n in range(512))
        machine.audit().raise_for_findings()


def test_a_mapping_of_a_file_has_no_order(machine):
    with pytest.raises(TypeError, match="large pages are of anonymous memory"):
        machine.address_space().mmap(file=machine.file("16KiB"), order=1)
    with pytest.raises(mmcore.errors.KernelError) as refused:
        machine.address_space().mmap("16KiB", order=11)
    assert refused.value.errno == errno.EINVAL


STEPS = st.one_of(
    st.tuples(st.sampled_from(["write", "split", "unmap", "offline", "get"]), st.integers(0, 7)),
    st.tuples(st.sampled_from(["move", "fork", "exit", "drain", "unpin"]), st.just(0)),
    st.tuples(st.sampled_from(["pin", "cold", "pageout", "free", "dontneed"]), st.integers(0, 7)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25), st.integers(1, 3))
def test_operations_on_large_pages_keep_the_books_and_every_byte(steps, order):
    with mmcore.Machine(nodes=["128KiB", "128KiB"]) as machine:
        machine.swapon("1MiB")
        space = machine.address_space()
        region = space.mmap(8 * PAGE, order=order)
        written, gone, held, children = {}, set(), [], []
        for step, (what, page) in enumerate(steps):
            try:
                if what in ("fork", "exit", "drain", "move", "unpin"):
                    if what == "fork" and len(children) < 2:
                        children.append(space.fork())
                    elif what == "exit" and children:
                        children.pop().exit()
                    elif what == "drain":
                        machine.drain()
                    elif what == "move":
                        space.move_pages(region.addresses(), nodes=step % 2, move_all=True)
                    elif what == "unpin" and held:
                        held.pop().__exit__(None, None, None)
                elif page in gone:
                    continue
                elif what == "write":
                    region[page * PAGE] = step + 1
                    written[page] = step + 1
                elif what == "unmap":
                    region.unmap(page, page + 1)
                    gone.add(page)
                elif what == "pin":
                    held.append(region.pin(page))
                elif what in ("dontneed", "free"):
                    written.pop(page, None)
                    region.madvise(what, page, page + 1)
                elif what in ("cold", "pageout"):
                    region.madvise(what, page, page + 1)
                elif what == "split":
                    region.page(page).split()
                elif what == "get":
                    held.append(region.page(page).get())
                else:
                    machine.soft_offline_page(region.page(page))
            except mmcore.errors.KernelError:
                pass
            machine.audit().raise_for_findings()
            assert {p: region[p * PAGE] for p in written if p not in gone} == {
                p: value for p, value in written.items() if p not in gone
            }
        while held:
            held.pop().__exit__(None, None, None)
        for each in [*children, space]:
            each.exit()
        machine.audit().raise_for_findings()

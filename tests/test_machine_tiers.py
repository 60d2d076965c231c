"""Promotion by NUMA hint faults and demotion by reclaim."""

import errno

import pytest

import mmcore

TIERS = ["256KiB:100ns", "256KiB:250ns"]


@pytest.fixture(params=["6.1", "6.12"])
def tiers(request, build):
    """A fast node and a slow one, in a kernel that migrates one by one and in one with batches."""
    return build(nodes=TIERS, kernel=request.param)


def mapped(machine, pages=1, **options):
    region = machine.address_space().mmap(pages * 4096, **options)
    for number in range(pages):
        region[number * 4096] = number + 1
    machine.drain()
    return region


def changes(machine, before):
    after = machine.vmstat()
    names = (
        "numa_hint_faults numa_hint_faults_local numa_pages_migrated pgpromote_success"
        " pgdemote_direct pgmigrate_success pgmigrate_fail"
    )
    return {
        name: after[name] - before[name] for name in names.split() if after[name] != before[name]
    }


def isolated(machine):
    return machine.vmstat()["nr_isolated_anon"], machine.vmstat()["nr_isolated_file"]


def test_a_page_follows_its_user(tiers):
    region = mapped(tiers, node=1)
    space, before = region.space, tiers.vmstat()
    with tiers.trace() as trace:
        assert space.numa_fault(region.address, 0) == 0
    (event,) = [event for event in trace.events if event.name == "mm_migrate_pages"]
    assert (event.args["mode"], event.args["reason"]) == ("async", "numa_misplaced")
    assert region.page().node == 0
    assert region[0] == 1
    assert changes(tiers, before) == {
        "numa_hint_faults": 1,
        "numa_pages_migrated": 1,
        "pgpromote_success": 1,
        "pgmigrate_success": 1,
    }
    assert isolated(tiers) == (0, 0)


def test_a_fault_where_the_page_is_counts_as_local(tiers):
    region = mapped(tiers)
    before = tiers.vmstat()
    assert region.space.numa_fault(region.address, 0) == 0
    assert changes(tiers, before) == {"numa_hint_faults": 1, "numa_hint_faults_local": 1}


def test_to_the_slower_tier_is_no_promotion(tiers):
    region = mapped(tiers)
    before = tiers.vmstat()
    assert region.space.numa_fault(region.address, 1) == 1
    assert "pgpromote_success" not in changes(tiers, before)
    assert tiers.vmstat(node=1)["pgpromote_success"] == 0


def test_pages_that_get_no_hint(tiers):
    """Pages shared by copy on write, pinned ones, and dirty pages of files."""
    shared, pinned = mapped(tiers), mapped(tiers)
    child = shared.space.fork()
    pin = pinned.pin()
    file = tiers.file("4KiB")
    dirty = mapped(tiers, file=file)
    before = tiers.vmstat()
    for region in (shared, pinned, dirty):
        assert region.space.numa_fault(region.address, 1) == 0
    assert changes(tiers, before) == {}
    pin.unpin()
    child.exit()
    file.sync()
    dirty.space.numa_fault(dirty.address, 1)
    for region in (shared, pinned):
        assert region.space.numa_fault(region.address, 1) == 1


@pytest.mark.parametrize("policy", ["bind", "preferred"])
@pytest.mark.parametrize("kernel", mmcore.Profile.PRESETS)
def test_an_area_with_a_policy_gets_no_hint(build, kernel, policy):
    machine = build(nodes=TIERS, kernel=kernel)
    anonymous = machine.address_space().mmap(2 * 4096)
    file = machine.file("8KiB")
    shared = machine.address_space().mmap(2 * 4096, file=file)
    for region in (anonymous, shared):
        region.mbind(0, 0, 1, preferred=policy == "preferred")
        region[0], region[4096] = 1, 2
    file.sync()
    machine.drain()
    before = machine.vmstat()
    for region in (anonymous, shared):
        assert region.space.numa_fault(region.address, 1) == 0
    assert changes(machine, before) == {}
    # The neighbouring page has the default policy.
    assert anonymous.space.numa_fault(anonymous.address + 4096, 1) == 1


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("kernel", mmcore.Profile.PRESETS)
def test_memory_files_get_no_hint(build, kernel, private):
    machine = build(nodes=TIERS, kernel=kernel)
    file = machine.file("8KiB", kind="tmpfs")
    region = machine.address_space().mmap(2 * 4096, file=file, private=private)
    region[0] = 1
    assert region[4096] == 0
    machine.drain()
    before = machine.vmstat()
    for address in (region.address, region.address + 4096):
        assert region.space.numa_fault(address, 1) == 0
    assert changes(machine, before) == {}


def test_which_pages_get_a_hint_is_the_kernels_choice(build):
    """A page in a batch, a forked one, a pinned one, a dirty and a clean one of a file."""
    moved = {}
    for kernel in ("4.8", "6.1", "6.12"):
        machine = build(nodes=TIERS, kernel=kernel)
        waits = machine.address_space().mmap(4096)
        shared, pinned = mapped(machine), mapped(machine)
        child, pin = shared.space.fork(), pinned.pin()
        file = machine.file("4KiB")
        dirty = mapped(machine, file=file)
        clean = machine.address_space().mmap(4096, file=machine.file("4KiB"), private=True)
        assert clean[0] == 0
        machine.drain()
        waits[0] = 1
        before = machine.vmstat()
        for region in (waits, shared, pinned, dirty, clean):
            region.space.numa_fault(region.address, 1)
        moved[kernel] = changes(machine, before).get("numa_hint_faults", 0)
        pin.unpin()
        child.exit()
    assert moved == {"4.8": 5, "6.1": 0, "6.12": 2}


def test_a_large_page_gets_a_hint_if_one_entry_maps_it_or_the_kernel_knows_such_pages(build):
    where = {}
    for kernel in ("4.8", "6.1", "6.12"):
        machine = build(nodes=["8MiB", "8MiB"], kernel=kernel)
        space = machine.address_space()
        for order in (2, 9):
            region = space.mmap(4096 << order, order=order)
            region[0] = 1
            machine.drain()
            where[kernel, order] = space.numa_fault(region.address, 1)
            assert region.page().head.order == order
    assert where == {
        ("4.8", 2): 0,
        ("4.8", 9): 1,
        ("6.1", 2): 0,
        ("6.1", 9): 1,
        ("6.12", 2): 1,
        ("6.12", 9): 1,
    }


def test_a_page_in_somebodys_hands_stays_and_is_put_back(tiers):
    region = mapped(tiers, node=1)
    held = region.page().get()
    before = tiers.vmstat()
    assert region.space.numa_fault(region.address, 0) == 1
    hinted = tiers.profile["hint_faults"] == "unshared"
    expected = {"numa_hint_faults": 1, "pgmigrate_fail": 1} if hinted else {}
    assert changes(tiers, before) == expected
    tiers.drain()
    assert "lru" in region.page().flags
    assert isolated(tiers) == (0, 0)
    held.put()


def test_a_full_node_is_left_alone(tiers):
    region = mapped(tiers, node=1)
    taken = []
    while tiers.nodes[0].free > 1:
        taken.append(tiers.alloc(node=0))
    before = tiers.vmstat()
    assert region.space.numa_fault(region.address, 0) == 1
    assert changes(tiers, before) == {"numa_hint_faults": 1}
    for reference in taken:
        reference.put()


def test_faults_on_nothing(tiers):
    region = tiers.address_space().mmap(4096)
    for address in (region.address, region.address + 4096, 0):
        with pytest.raises(mmcore.errors.KernelError) as error:
            region.space.numa_fault(address, 0)
        assert error.value.errno == errno.EFAULT
    with pytest.raises(mmcore.errors.KernelError) as error:
        region.space.numa_fault(region.address, 2)
    assert error.value.errno == errno.EINVAL


def test_reclaim_demotes_what_it_would_have_swapped(tiers):
    tiers.swapon("64KiB")
    region = mapped(tiers, 4)
    before = tiers.vmstat()
    with tiers.trace() as trace:
        assert tiers.reclaim_pages(map(region.page, range(4)), demote_to=1) == (4, 0)
    (event,) = [event for event in trace.events if event.name == "mm_migrate_pages"]
    assert (event.args["mode"], event.args["reason"]) == ("async", "demotion")
    assert [region.page(n).node for n in range(4)] == [1] * 4
    assert changes(tiers, before) == {"pgdemote_direct": 4, "pgmigrate_success": 4}
    assert tiers.vmstat(node=0)["pgdemote_direct"] == 4
    assert isolated(tiers) == (0, 0)
    assert tiers.swap[1] == 0
    assert [region[n * 4096] for n in range(4)] == [1, 2, 3, 4]


def test_a_page_that_cannot_be_demoted_is_reclaimed(tiers):
    tiers.swapon("64KiB")
    region = mapped(tiers, 4)
    pages = [region.page(n) for n in range(4)]
    taken = []
    while tiers.nodes[1].free > 2:
        taken.append(tiers.alloc(node=1))
    assert tiers.reclaim_pages(pages, demote_to=1) == (2, 2)
    assert tiers.swap[1] == 2
    assert isolated(tiers) == (0, 0)
    for reference in taken:
        reference.put()
    assert [region[n * 4096] for n in range(4)] == [1, 2, 3, 4]


def test_a_page_that_reclaim_spares_is_put_back(tiers):
    region = mapped(tiers, 2)
    held = region.page(1).get()
    tokens = [region.page(n).isolate() for n in range(2)]
    assert tiers.reclaim_pages(tokens, demote_to=1) == (1, 0)
    with pytest.raises(mmcore.errors.MisuseError):
        tokens[0].putback()
    tiers.drain()
    assert (region.page(1).node, region.page(1).mapcount) == (0, 1)
    assert "lru" in region.page(1).flags
    assert isolated(tiers) == (0, 0)
    held.put()


def test_without_a_slower_node_reclaim_goes_to_swap(tiers):
    tiers.swapon("64KiB")
    region = mapped(tiers, 2)
    assert tiers.reclaim_pages([region.page(0), region.page(1)]) == (0, 2)
    assert [region[0], region[4096]] == [1, 2]


def test_reclaim_of_what_it_cannot_have(plain):
    pool = plain.page_pool()
    token = pool.page(pool.add()).isolate()
    with pytest.raises(mmcore.errors.MisuseError, match="owner"):
        plain.reclaim_pages([token])
    token.putback()
    with pytest.raises(mmcore.errors.KernelError, match="no node 5"):
        plain.reclaim_pages([], demote_to=5)
    assert plain.reclaim_pages([plain.nodes[0].base], demote_to=1) == (0, 0)


def test_a_lasting_pin_leaves_a_node_for_movable_pages(build):
    machine = build(movable=[1])
    region = mapped(machine, node=1)
    with machine.trace() as trace:
        pin = region.pin()
    (event,) = [event for event in trace.events if event.name == "mm_migrate_pages"]
    assert (event.args["mode"], event.args["reason"]) == ("sync", "longterm_pin")
    assert pin.page == region.page()
    assert pin.page.node == 0
    assert region[0] == 1
    pin.unpin()


def test_a_lasting_pin_of_what_cannot_leave(build):
    machine = build(movable=[1])
    region = mapped(machine, node=1)
    page = region.page()
    held = page.get()
    with pytest.raises(mmcore.errors.KernelError) as error:
        region.pin()
    assert error.value.errno == errno.ENOMEM
    machine.drain()
    assert (page, page.refcount) == (region.page(), 2)
    held.put()


@pytest.mark.parametrize("movable", [[0, 1], [2]])
def test_not_every_node_is_for_movable_pages(movable):
    with pytest.raises(mmcore.errors.InputError):
        mmcore.Machine(nodes=["64KiB", "64KiB"], movable=movable)

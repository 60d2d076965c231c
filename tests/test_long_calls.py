"""Long calls hear signals between two pages, keep what they have done, and can be made again."""

import contextlib
import signal
import threading
import time

import numpy as np
import pytest

import mmcore
from mmcore.errors import MisuseError

PAGE = 4096
#: Frames of a node: a call on all of them takes several times as long as signals are left unheard.
FRAMES = 1 << 18
BYTES = FRAMES * PAGE
#: Seconds of processor time in which a call must hear a signal. A store copies its bytes first,
#: which takes half a second.
UNHEARD = 2.0


class HeardError(Exception):
    """The exception of the handler: any other than KeyboardInterrupt ends a call, too."""


@contextlib.contextmanager
def signals(handler):
    """Sends a signal every millisecond, and passes it to the handler."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_inside(machine):
    """True if a handler runs inside of a call: calls of the machine are refused there."""
    try:
        machine.vmstat()
    except MisuseError as error:
        return "within a call" in str(error)
    return False


def interrupted(machine, call, *, waits=False):
    """Makes the call, which must end by the exception that a handler raises inside of it.

    A call that ends too early to hear a signal is skipped, unless it `waits` for a time.
    """

    def hear(*_):
        if is_inside(machine):
            raise HeardError

    began = time.thread_time()
    with signals(hear):
        try:
            call()
        except HeardError:
            return
    unheard = waits or time.thread_time() - began > UNHEARD
    assert not unheard, "the call heard no signal"
    pytest.skip("the call ended before the first signal: the test needs a larger machine here")


def frames(machine):
    return machine.nodes[0].frames


def filled(machine, size=None, **options):
    """A region with all pages in memory, on their lists; by default as large as node 0."""
    if not options and size is None:
        size = frames(machine) * PAGE
    region = machine.address_space().mmap(size, **options)
    region.mlock()
    region.munlock()
    machine.drain()
    return region


def swapped(machine):
    machine.swapon(frames(machine) * PAGE)
    region = filled(machine)
    region.madvise("pageout")
    assert machine.swap.used == frames(machine)
    return region


def moved(machine):
    return machine.vmstat()["pgmigrate_success"]


def last(region):
    """The page that is mapped at the end of the region."""
    return region.space.page_at(region.address + len(region) - PAGE)


# Each entry prepares a machine and returns the call, and a check that only a part was done.


def compact(machine):
    machine.arrange("a." * (frames(machine) // 2))
    return lambda: machine.compact(0), lambda: 0 < moved(machine) < frames(machine) // 4


def compact_with_moves(machine):
    machine.arrange("a." * (frames(machine) // 2))
    return lambda: machine.compact(0, moves=True), lambda: 0 < moved(machine) < frames(machine) // 4


def compact_proactively(machine):
    machine.compaction_proactiveness = 100
    machine.arrange("a." * (frames(machine) // 2))
    return lambda: machine.compact_proactively(0), lambda: 0 < moved(machine) < frames(machine) // 4


def migrate_list(machine):
    filled(machine)
    return lambda: machine.migrate_pages(
        range(frames(machine)), node=1
    ), lambda: moved(machine) < frames(machine)


def reclaim_list(machine):
    machine.swapon(frames(machine) * PAGE)
    filled(machine)
    return lambda: machine.reclaim_pages(
        range(frames(machine))
    ), lambda: machine.swap.used < frames(machine)


def move_pages(machine):
    region = filled(machine)
    addresses = region.addresses()
    return lambda: region.space.move_pages(addresses, 1), lambda: moved(machine) < frames(machine)


def move_pages_one_by_one(machine):
    # Each page has another target than the one before, so each is a list of its own.
    region = filled(machine)
    addresses, nodes = region.addresses(), np.arange(frames(machine)) % 2
    return lambda: region.space.move_pages(
        addresses, nodes
    ), lambda: moved(machine) < frames(machine) // 2


def migrate_space(machine):
    region = filled(machine)
    return lambda: region.space.migrate_pages(0, 1), lambda: moved(machine) < frames(machine)


def mbind(machine):
    region = filled(machine)
    return lambda: region.mbind(1, move=True), lambda: moved(machine) < frames(machine)


def query_pages(machine):
    region = filled(machine, BYTES // 16)
    addresses = np.resize(region.addresses(), 8 * frames(machine))
    return lambda: region.space.query_pages(addresses), lambda: True


def page_states(machine):
    filled(machine, BYTES // 16)
    pfns = np.arange(6 * frames(machine)) % frames(machine)
    return lambda: machine.page_states(pfns), lambda: True


def mlock(machine):
    region = machine.address_space().mmap(frames(machine) * PAGE)
    return region.mlock, lambda: last(region) is None


def munlock(machine):
    region = machine.address_space().mmap(frames(machine) * PAGE)
    region.mlock()
    machine.drain()
    return region.munlock, lambda: 0 < machine.vmstat()["nr_mlock"] < frames(machine)


def munmap(machine):
    region = filled(machine)
    return region.unmap, lambda: last(region) is not None


def exit_(machine):
    region = filled(machine)
    return region.space.exit, lambda: last(region) is not None


def fork(machine):
    region = filled(machine)
    return region.space.fork, lambda: len(machine.address_spaces) == 1


def cold(machine):
    region = filled(machine)
    return lambda: region.madvise("cold"), lambda: True


def pageout(machine):
    machine.swapon(frames(machine) * PAGE)
    region = filled(machine)
    return lambda: region.madvise("pageout"), lambda: machine.swap.used < frames(machine)


def dontneed(machine):
    region = filled(machine)
    return lambda: region.madvise("dontneed"), lambda: last(region) is not None


def free(machine):
    region = filled(machine)
    lazily = lambda: machine.vmstat()["pglazyfree"]  # noqa: E731 - read twice
    return lambda: region.madvise("free"), lambda: lazily() < frames(machine)


def willneed(machine):
    region = swapped(machine)
    node = machine.nodes[0]
    return lambda: region.madvise("willneed"), lambda: node.free > frames(machine) // 8


def dirtied(machine):
    machine.arrange("d" * frames(machine))
    return machine.files[0]


def sync(machine):
    dirtied(machine)
    return machine.sync, lambda: machine.sync() > 0


def sync_of_a_file(machine):
    file = dirtied(machine)
    return file.sync, lambda: file.sync() > 0


def drop_caches(machine):
    machine.arrange("f" * frames(machine))
    return machine.drop_caches, lambda: True


def evict(machine):
    machine.arrange("f" * frames(machine))
    return machine.files[0].evict, lambda: True


def truncate(machine):
    file = machine.file(frames(machine) * PAGE, kind="tmpfs")
    filled(machine, None, file=file)
    return lambda: file.truncate(0), lambda: 0 < file.pages < frames(machine)


def reclaim(machine):
    machine.swapon(frames(machine) * PAGE)
    filled(machine)
    return lambda: machine.reclaim(frames(machine)), lambda: machine.swap.used < frames(machine)


def age_node(machine):
    filled(machine)
    return machine.age_node, lambda: True


age_node.options = {"lru_policy": "mglru"}


def swapoff(machine):
    swapped(machine)
    return machine.swapoff, lambda: 0 < machine.swap.used < frames(machine)


def alloc_range(machine):
    filled(machine)
    return lambda: machine.alloc_range(
        0, frames(machine)
    ).free(), lambda: moved(machine) < frames(machine)


def range_free(machine):
    node = machine.nodes[0]
    taken = machine.alloc_range(0, frames(machine))
    return taken.free, lambda: 0 < node.free < frames(machine) and not taken.freed


def offline(machine):
    filled(machine)
    node = machine.nodes[0]
    return lambda: machine.offline(0, node=0), lambda: node.blocks == ("kernel",)


offline.options = {"block": BYTES}


def set_huge_pages(machine):
    node = machine.nodes[0]
    return lambda: node.set_huge_pages(frames(machine) // 2, size=2 * PAGE), lambda: node.free > 0


def arrange(machine):
    node = machine.nodes[0]
    return lambda: machine.arrange("a" * frames(machine)), lambda: node.free == frames(machine)


def arrangement(machine):
    node = machine.nodes[0]
    arranged = machine.arrange("a" * frames(machine))
    return arranged.close, lambda: node.free < frames(machine)


def map_(machine):
    filled(machine)
    return machine.map, lambda: True


def inflate(machine):
    balloon = machine.balloon()
    return lambda: balloon.inflate(frames(machine)), lambda: 0 < balloon.size < frames(machine)


def deflate(machine):
    balloon = machine.balloon()
    balloon.inflate(frames(machine))
    return lambda: balloon.deflate(frames(machine)), lambda: 0 < balloon.size < frames(machine)


def audit(machine):
    filled(machine)
    return machine.audit, lambda: True


def strike(machine):
    poisoned = lambda: machine.num_poisoned_pages  # noqa: E731 - a short name
    return lambda: machine.strike(rate=1.0), lambda: poisoned() < frames(machine)


strike.options = {"nodes": [BYTES]}


def store(machine):
    region, content = machine.address_space().mmap(BYTES // 2), bytes(BYTES // 2)
    return lambda: region.__setitem__(slice(None), content), lambda: last(region) is None


def write(machine):
    file, content = machine.file(BYTES // 2, kind="tmpfs"), bytes(BYTES // 2)
    return lambda: file.write(content), lambda: file.cached < file.pages


def zram_reset(machine):
    device = machine.zram(8 * BYTES)
    return device.reset, lambda: True


zram_reset.options = {"nodes": ["1MiB"], "backed": True}

CALLS = [
    compact,
    compact_with_moves,
    compact_proactively,
    migrate_list,
    reclaim_list,
    move_pages,
    move_pages_one_by_one,
    migrate_space,
    mbind,
    query_pages,
    page_states,
    mlock,
    munlock,
    munmap,
    exit_,
    fork,
    cold,
    pageout,
    dontneed,
    free,
    willneed,
    sync,
    sync_of_a_file,
    drop_caches,
    evict,
    truncate,
    reclaim,
    age_node,
    swapoff,
    alloc_range,
    range_free,
    offline,
    set_huge_pages,
    arrange,
    arrangement,
    map_,
    inflate,
    deflate,
    audit,
    strike,
    store,
    write,
    zram_reset,
]


#: Calls that spend little time on a page. Their machines have four times as many pages in node 0.
QUICK = {munmap, exit_, fork, cold, dontneed, free, willneed, sync, sync_of_a_file, age_node}
QUICK |= {drop_caches, evict, truncate, mlock, munlock, inflate, deflate, set_huge_pages}
QUICK |= {range_free, arrangement, map_}


@pytest.fixture
def large():
    """Builds a large machine; its pages have no bytes."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            options = {"nodes": [BYTES, BYTES], "backed": False, **options}
            return stack.enter_context(mmcore.Machine(**options))

        yield make


@pytest.mark.parametrize("prepare", CALLS, ids=lambda prepare: prepare.__name__)
def test_a_long_call_ends_by_a_signal_between_two_pages(large, prepare):
    quick = {"nodes": [4 * BYTES]} if prepare in QUICK else {}
    machine = large(**quick, **getattr(prepare, "options", {}))
    call, is_part = prepare(machine)
    interrupted(machine, call)
    assert is_part()
    machine.audit().raise_for_findings()
    call()
    machine.audit().raise_for_findings()


def test_a_handler_that_raises_nothing_lets_the_call_go_on(large):
    machine = large()
    region, heard = filled(machine), []
    with signals(lambda *_: heard.append(is_inside(machine))):
        status = region.space.move_pages(region.addresses(), 1)
    assert any(heard), "a signal was handled inside of the call"
    assert (status == 1).all()


def test_a_handler_inside_of_a_call_reads_pages_but_calls_no_machine(large):
    machine, other = large(), mmcore.Machine(nodes=["64KiB"])
    region = filled(machine)
    page, seen = region.page(0), []

    def hear(*_):
        if is_inside(machine):
            seen.append(page.pfn)
            with pytest.raises(MisuseError, match="within a call"):
                machine.audit()
            with pytest.raises(MisuseError, match="within a call"):
                other.vmstat()
            raise TimeoutError

    with pytest.raises(TimeoutError), signals(hear):
        region.space.move_pages(region.addresses(), 1)
    assert seen
    machine.audit().raise_for_findings()


def test_a_handler_may_close_the_machine(large):
    machine = large()
    region = filled(machine)

    def hear(*_):
        if not machine.closed and is_inside(machine):
            machine.close()

    with signals(hear):
        region.space.move_pages(region.addresses(), 1)
    assert machine.closed


def test_a_handler_inside_of_a_call_does_not_end_the_space_that_the_call_changes(large):
    machine = large()
    region, seen = filled(machine), []

    def hear(*_):
        # The call holds the lock of the space's regions.
        if not seen and is_inside(machine):
            with pytest.raises(MisuseError, match="within a call"):
                region.space.exit()
            seen.append(region.space)

    with signals(hear):
        region.mbind(1, move=True)
    assert seen


def test_a_handler_inside_of_a_call_gives_no_handle_back(large):
    machine = large()
    region, held = filled(machine), [machine.alloc(node=1)]
    # The allocated page has one of the frames of node 1.
    moved = region.addresses()[1:]
    page, counts = held[0].page, []

    def hear(*_):
        if is_inside(machine) and held:
            # Taken at once: the next signal may arrive within this handler.
            handle = held.pop()
            with pytest.warns(ResourceWarning, match="was never given back"):
                del handle
            counts.append(page.refcount)

    with signals(hear):
        region.space.move_pages(moved, 1)
    assert counts == [1]
    machine.drain()
    assert page.refcount == 0


def test_ctrl_c_ends_a_call_and_no_call_of_another_thread(large):
    machine, other = large(), large()
    region, beside = filled(machine), filled(other)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(beside.space.move_pages(beside.addresses(), 1))
    )

    def hear(*_):
        if is_inside(machine):
            signal.default_int_handler(signal.SIGINT, None)

    thread.start()
    with pytest.raises(KeyboardInterrupt), signals(hear):
        region.space.move_pages(region.addresses(), 1)
    thread.join()
    assert (results[0] == 1).all()


def test_a_space_whose_exit_was_interrupted_maps_nothing_more(large):
    machine = large()
    region = filled(machine)
    space = region.space
    interrupted(machine, space.exit)
    assert space in machine.address_spaces
    for call in (lambda: space.mmap("4KiB"), space.fork):
        with pytest.raises(mmcore.errors.KernelError, match="exited"):
            call()
    space.exit()
    machine.drain()
    assert machine.address_spaces == ()
    assert machine.nodes[0].free == FRAMES


def test_an_arrangement_is_closed_while_another_thread_looks_at_it():
    machine = mmcore.Machine(nodes=["64MiB"])
    frames = machine.nodes[0].frames
    arrangement = machine.arrange("a" * frames)
    found = []

    def look():
        with contextlib.suppress(MisuseError):
            while True:
                found.append(arrangement.damaged())

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    arrangement.close()
    for thread in threads:
        thread.join()
    assert set(found) <= {None}
    machine.drain()
    assert machine.nodes[0].free == frames
    machine.close()


def test_a_list_of_pages_is_made_with_an_ear_for_signals(large):
    balloon = large().balloon()
    balloon.inflate(FRAMES)
    heard = []
    with signals(lambda *_: heard.append(1)):
        pages = balloon.pages()
    assert len(pages) == FRAMES
    # Without it one signal is handled before the call, and one after it.
    assert len(heard) > 2

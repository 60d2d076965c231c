"""`Page` and the handles on it: references, pins, locks, isolation tokens."""

import errno
import threading
import time

import pytest

import mmcore


@pytest.fixture
def page(machine):
    """A mapped page on the LRU."""
    region = machine.address_space().mmap("4KiB")
    region[0:5] = b"hello"
    machine.drain()
    return region.page()


def refused(call):
    with pytest.raises(mmcore.errors.KernelError) as error:
        call()
    return error.value


def test_a_reference_is_counted_and_named(machine):
    with machine.alloc() as ref:
        page = ref.page
        with page.get() as second:
            assert page.refcount == 2
            assert [str(holder) for holder in page.holders()] == ["2 × reference"]
            assert second.page == page
    assert page.refcount == 0
    error = refused(page.get)
    assert error.errno == errno.EBUSY
    assert error.state.refcount == 0
    assert "held by nobody" in str(error)


def test_a_handle_is_given_back_once(machine):
    ref = machine.alloc()
    ref.put()
    for again in (ref.put, ref.__enter__):
        with pytest.raises(mmcore.errors.MisuseError, match="given back"):
            again()
    assert "given back" in repr(ref)
    with machine.alloc() as ref:
        ref.put()


def test_a_dropped_handle_is_given_back_by_the_next_call(machine):
    ref = machine.alloc()
    page = ref.page
    with pytest.warns(
        ResourceWarning, match=f"reference of page {page.pfn:#x} was never given back"
    ):
        del ref
    assert page.refcount == 0
    ref = machine.alloc()
    for take in (ref.page.get, ref.page.pin, ref.page.lock):
        handle = take()
        with pytest.warns(ResourceWarning):
            del handle
    assert ref.page.refcount == 1
    assert "locked" not in ref.page.flags
    ref.put()


def test_a_dropped_token_puts_its_page_back(machine, page):
    token = page.isolate()
    with pytest.warns(ResourceWarning, match="isolation token"):
        del token
    machine.drain()
    assert "lru" in page.flags


def test_a_warning_in_a_finaliser_spares_the_exception_on_its_way(plain):
    def fail():
        # The error drops the reference from the interpreter's stack.
        return [plain.alloc(), 1 // 0]

    with pytest.warns(ResourceWarning), pytest.raises(ZeroDivisionError):
        fail()


def test_large_pages_have_tails(machine):
    with machine.alloc(node=1, order=2) as ref:
        head = ref.page
        tail = machine.page(head.pfn + 1)
        assert (head.order, head.node, head.flags) == (2, 1, ("head",))
        assert (tail.order, tail.refcount, tail.flags) == (0, 0, ("tail",))
        assert tail.head == head.head == head
        with tail.get():
            assert (head.refcount, tail.refcount) == (2, 0)
    assert refused(tail.get).errno == errno.EBUSY
    assert head.order == 0 or "buddy" in head.flags


@pytest.mark.parametrize("options", [{"order": 11}, {"node": 2}, {"order": 255}])
def test_allocations_that_cannot_be_are_refused(plain, options):
    assert refused(lambda: plain.alloc(**options)).errno == errno.EINVAL


def test_a_node_runs_out(plain):
    refs = [plain.alloc(node=1, order=8)]
    error = refused(lambda: plain.alloc(node=1))
    assert error.errno == errno.ENOMEM
    assert error.state is None
    refs.pop().put()


def test_frames_that_are_not_there_have_no_page(plain):
    assert plain.page(511).node == 1
    assert refused(lambda: plain.page(512)).errno == errno.EINVAL
    with pytest.raises(OverflowError):
        plain.page(-1)


def test_pages_are_equal_by_machine_and_frame(build):
    one, other = build(), build()
    assert one.page(3) == one.page(3)
    assert hash(one.page(3)) == hash(one.page(3))
    assert one.page(3) != one.page(4)
    assert one.page(3) != other.page(3)
    assert one.page(3) != 3
    assert list(range(5))[one.page(3)] == 3


def test_a_pin_is_1024_references_and_shows_the_bytes(machine, page):
    with page.pin() as pin:
        assert page.refcount == 1 + 1024
        assert [holder.kind for holder in page.holders()] == ["entry", "pin"]
        with memoryview(pin) as view:
            assert (len(view), view.readonly, bytes(view[:5])) == (4096, False, b"hello")
            view[0:5] = b"jelly"
            with pytest.raises(BufferError):
                pin.unpin()
    assert page.peek()[:5] == b"jelly"
    assert machine.address_spaces[0].page_at(0x10000000).refcount == 1


def test_only_content_that_is_there_is_shown(machine, page):
    raw = machine.alloc(node=1)
    assert refused(raw.page.peek).errno == errno.ENODATA
    raw.put()
    assert refused(raw.page.peek).errno == errno.EBUSY
    new = page.isolate().migrate(node=1)
    assert new.peek()[:5] == b"hello"
    # Under `putback` the old frame waits in a batch.
    machine.drain()
    assert refused(page.peek).errno == errno.EBUSY
    unbacked = mmcore.Machine(nodes=["1MiB"], backed=False)
    assert refused(unbacked.page(0).peek).errno == errno.ENODEV


def test_a_count_has_a_limit_that_no_user_passes(plain):
    region = plain.address_space().mmap("4KiB")
    region[0] = 1
    page = region.page()
    plain.drain()
    pins = []

    def pin_for_ever():
        while True:
            pins.append(page.pin())

    assert refused(pin_for_ever).errno == errno.ENOMEM
    assert refused(lambda: region.pin()).errno == errno.ENOMEM
    # Operations of the core still work.
    token = page.isolate()
    assert refused(lambda: token.migrate(node=1)).errno == errno.EBUSY
    plain.address_space().fork().exit()
    region.space.fork().exit()
    for pin in pins:
        pin.unpin()
    assert page.refcount <= 2


def test_an_unbacked_page_has_no_bytes(build):
    machine = build(backed=False)
    with machine.alloc() as ref, ref.page.pin() as pin:
        with pytest.raises(BufferError, match="unbacked"):
            memoryview(pin)
        assert refused(ref.page.peek).errno == errno.ENODEV


def test_an_isolated_page_is_off_its_list_and_counted(machine, page):
    token = page.isolate()
    assert "lru" not in page.flags
    assert machine.vmstat(node=0)["nr_isolated_anon"] == 1
    assert [holder.kind for holder in page.holders()] == ["entry", "isolation"]
    machine.audit().raise_for_findings()
    error = refused(page.isolate)
    assert (error.errno, error.state.refcount) == (errno.EBUSY, 2)
    assert "1 × isolation token" in str(error)
    token.putback()
    machine.drain()
    assert "lru" in page.flags
    assert machine.vmstat(node=0)["nr_isolated_anon"] == 0


def test_a_token_of_a_page_in_use_is_not_put(machine, page):
    token = page.isolate()
    assert refused(token.put).errno == errno.EBUSY
    machine.audit().raise_for_findings()
    # Nor can the token of a page be put that only its file refers to.
    file = machine.file("4KiB")
    file.write(b"x")
    machine.drain()
    cached = file.page(0).isolate()
    assert refused(cached.put).errno == errno.EBUSY
    cached.putback()
    machine.audit().raise_for_findings()
    # The token is unchanged, and can be put once the page has no other user.
    with page.get():
        machine.address_spaces[0].exit()
        token.put()
        assert page.refcount == 1
    assert page.refcount == 0


def test_a_token_left_by_a_block_puts_back(machine, page):
    with page.isolate():
        pass
    machine.drain()
    assert "lru" in page.flags


def test_a_migration_that_fails_puts_back_and_says_what_it_found(machine, page):
    with page.get():
        token = page.isolate()
        error = refused(lambda: token.migrate(node=1))
        assert error.errno == errno.EBUSY
        assert error.state.pfn == page.pfn
        assert "3 references" in str(error)
        with pytest.raises(mmcore.errors.MisuseError):
            token.putback()
    machine.drain()
    assert "lru" in page.flags
    assert machine.vmstat()["nr_isolated_anon"] == 0
    assert machine.vmstat()["pgmigrate_fail"] == 1


def test_a_migration_without_a_frame_to_move_to_is_enomem(machine, page):
    full = machine.alloc(node=1, order=8)
    assert refused(lambda: page.isolate().migrate(node=1)).errno == errno.ENOMEM
    full.put()


@pytest.mark.parametrize("mode", ["async", "sync_light", "sync"])
def test_every_mode_moves_the_content(page, mode):
    new = page.isolate().migrate(node=1, mode=mode, reason="compaction")
    assert new.node == 1
    assert new.peek()[:5] == b"hello"


def test_wrong_arguments_do_not_spend_a_token(machine, page):
    token = page.isolate()
    for wrong in ({"mode": "fast"}, {"reason": "fun"}):
        with pytest.raises(ValueError, match="choose one of"):
            token.migrate(node=1, **wrong)
    with pytest.raises(TypeError):
        token.migrate()
    with pytest.raises(OverflowError):
        token.migrate(node=-1)
    token.putback()
    for spends in ({"node": 2}, {"node": 1, "reason": "memory_failure"}):
        machine.drain()
        assert refused(lambda spends=spends: page.isolate().migrate(**spends)).errno == errno.EINVAL


def test_a_page_that_everybody_left_is_freed_by_its_migration(machine, page):
    token = page.isolate()
    machine.address_spaces[0].exit()
    assert page.refcount == 1
    assert token.migrate(node=1) == page
    assert page.refcount == 0


def test_a_page_lock_is_exclusive_and_a_thread_does_not_wait_for_itself(machine):
    with machine.alloc() as ref:
        page = ref.page
        with page.lock() as lock:
            assert page.flags == ("locked",)
            assert [holder.kind for holder in page.holders()] == ["reference", "lock"]
            assert page.trylock() is None
            with pytest.raises(mmcore.errors.MisuseError, match="already holds"):
                page.lock()
        with pytest.raises(mmcore.errors.MisuseError):
            lock.unlock()
        assert page.flags == ()


def test_a_page_lock_is_waited_for(machine):
    with machine.alloc() as ref:
        page = ref.page
        order = []
        lock = page.lock()

        def wait():
            with page.lock():
                order.append("second")

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        order.append("first")
        lock.unlock()
        thread.join()
        assert order == ["first", "second"]


def test_a_wait_for_a_page_lock_has_an_end_if_one_is_given(machine):
    with machine.alloc() as ref, ref.page.lock():
        raised = []

        def wait():
            try:
                ref.page.lock(timeout=0.02)
            except TimeoutError as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert len(raised) == 1
        for wrong in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="timeout"):
                ref.page.lock(timeout=wrong)


def test_a_locked_page_stops_a_migration_that_does_not_wait(machine, page):
    with page.lock():
        error = refused(lambda: page.isolate().migrate(node=1, mode="async"))
        assert error.errno == errno.EBUSY
        machine.drain()
        token = page.isolate()
        with pytest.raises(mmcore.errors.MisuseError, match="page lock"):
            token.migrate(node=1)
        token.putback()
        with pytest.raises(mmcore.errors.MisuseError, match="page lock"):
            machine.address_spaces[0].move_pages([0x10000000], 1)


def test_a_migration_waits_for_the_lock_of_another_thread(page):
    locked, moved = threading.Event(), threading.Event()

    def hold():
        with page.lock():
            locked.set()
            moved.wait(0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    token = page.isolate()
    new = token.migrate(node=1)
    assert not thread.is_alive() or new.node == 1
    moved.set()
    thread.join()


def test_an_isolated_page_in_use_is_put_back_and_not_put(machine):
    region = machine.address_space().mmap("4KiB")
    region.fault(0, write=True)
    machine.drain()
    page = region.page(0)
    isolated = page.isolate()
    error = refused(isolated.put)
    assert error.errno == errno.EBUSY
    assert "put it back instead" in str(error)
    machine.audit().raise_for_findings()
    isolated.putback()
    machine.drain()
    region.unmap()
    machine.audit().raise_for_findings()
    assert page.refcount == 0


def test_the_error_for_a_page_that_is_on_no_list_says_the_holders_once(machine):
    region = machine.address_space().mmap("4KiB")
    region.fault(0, write=True)
    text = str(refused(region.page(0).isolate))
    assert "count 2, mapcount 1, flags" in text
    assert text.count("uptodate") == 1
    assert "batch of cpu" in text.lower()
    assert "the machine has" in str(refused(lambda: machine.page(10**6)))

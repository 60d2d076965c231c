"""`File` and `Writeback`: bytes, write-back, eviction, migration, pins of mapped files."""

import contextlib
import errno
import io
import re
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import mmcore

PAGE = 4096


def refused(call):
    with pytest.raises(mmcore.errors.KernelError) as error:
        call()
    return error.value.errno


@pytest.fixture
def file(machine):
    return machine.file("16KiB")


def test_a_mapping_and_the_file_are_the_same_bytes(machine, file):
    one, other = (machine.address_space().mmap(file=file) for _ in range(2))
    assert (len(file), file.pages, file.kind, file.cached) == (4 * PAGE, 4, "disk", 0)
    one[PAGE - 3 : PAGE + 3] = b"across"
    assert other[PAGE - 3 : PAGE + 3] == file.read(6, offset=PAGE - 3) == b"across"
    file.write(b"FILE", offset=2 * PAGE)
    assert one[2 * PAGE : 2 * PAGE + 4] == b"FILE"
    assert one.page(0) == other.page(0) == file.page(0)
    assert file.page(-1) is None
    assert (one.file, one.file.cached, machine.files) == (file, 3, (file,))
    assert [holder.kind for holder in file.page(0).holders()].count("cache") == 1


def test_part_of_a_file_and_private_copies(machine, file):
    file.write(bytes(range(4)) * PAGE)
    space = machine.address_space()
    window = space.mmap("4KiB", file=file, offset=2 * PAGE)
    private = space.mmap(file=file, private=True, node=1)
    private[2 * PAGE] = 99
    assert (window[0], private[2 * PAGE], file.read(1, offset=2 * PAGE)) == (0, 99, b"\0")
    assert private.page(2).node == 1
    child = space.fork()
    assert child.page_at(private.address + 2 * PAGE) == private.page(2)
    assert refused(lambda: space.mmap("8KiB", file=file, offset=3 * PAGE)) == errno.EINVAL
    with pytest.raises(TypeError):
        space.mmap("8KiB", private=True)
    with pytest.raises(TypeError):
        space.mmap()
    with pytest.raises(mmcore.errors.MisuseError):
        mmcore.Machine(nodes=["1MiB"]).address_space().mmap(file=file)


def test_dirty_pages_are_written_once_and_then_can_be_dropped(machine, file):
    region = machine.address_space().mmap(file=file)
    region[0] = 1
    file.write(b"2", offset=PAGE)
    assert machine.vmstat()["nr_dirty"] == 2
    machine.drain()
    assert machine.drop_caches() == (0, 2)
    assert (region.msync(0, 1), file.sync(), machine.sync()) == (1, 1, 0)
    region.unmap()
    machine.drain()
    assert file.evict() == (2, 0)
    assert (file.cached, file.read(1), file.read(1, offset=PAGE)) == (0, b"\1", b"2")


def test_a_page_under_writeback_stays_where_the_device_reads_it(machine, file):
    region = machine.address_space().mmap(file=file)
    region[0:4] = b"data"
    machine.drain()
    with file.begin_writeback(0) as write:
        assert "writeback" in write.page.flags
        assert file.begin_writeback.__self__ is file
        for call in (file.sync, region.unmap, lambda: file.begin_writeback(1), file.remove):
            with pytest.raises(mmcore.errors.MisuseError, match="end it"):
                call()
        assert refused(lambda: write.page.isolate().migrate(node=1, mode="async")) == errno.EBUSY
    with pytest.raises(mmcore.errors.MisuseError):
        write.end()
    assert file.begin_writeback(0) is None
    assert list(region.space.move_pages(region.addresses()[:1], nodes=1)) == [1]
    assert region[0:4] == b"data"


def test_a_sync_migration_of_another_thread_waits_for_the_write(machine, file):
    region = machine.address_space().mmap(file=file)
    region[0] = 7
    machine.drain()
    write = file.begin_writeback(0)
    before = region.page(0)
    moved = []
    thread = threading.Thread(
        target=lambda: moved.extend(region.space.move_pages(region.addresses()[:1], nodes=1))
    )
    thread.start()
    thread.join(0.05)
    assert (moved, region.page(0)) == ([], before)
    write.end()
    thread.join()
    assert (moved, region[0]) == ([1], 7)


def test_a_write_that_is_dropped_is_ended_with_a_warning(machine, file):
    file.write(b"x")
    with pytest.warns(ResourceWarning, match="write-back"):
        file.begin_writeback(0)
    # The next call ends the write before it begins its own work.
    assert machine.vmstat()["nr_dirty"] == 0
    assert machine.vmstat()["nr_writeback"] == 0
    assert file.sync() == 0


def test_a_truncation_takes_pages_from_everybody(machine, file):
    space = machine.address_space()
    shared, private = space.mmap(file=file), space.mmap(file=file, private=True)
    shared[3 * PAGE] = private[3 * PAGE] = 1
    file.truncate(1)
    assert (file.pages, file.cached) == (1, 0)
    for region in (shared, private):
        assert refused(lambda region=region: region[3 * PAGE]) == errno.EFAULT
    assert refused(lambda: file.read(1, offset=PAGE)) == errno.EFAULT
    assert refused(lambda: file.truncate(2)) == errno.EINVAL


def test_a_removed_file_lives_as_long_as_it_is_mapped(machine):
    file = machine.file("8KiB", kind="shm")
    region = machine.address_space().mmap(file=file)
    region[0] = 5
    file.remove()
    file.remove()
    assert (file.removed, region[0], machine.files) == (True, 5, (file,))
    for call in (lambda: file.read(1), lambda: file.write(b"x"), file.sync, file.evict):
        assert refused(call) == errno.EBADF
    assert region.msync() == 0
    region.unmap()
    machine.drain()
    assert machine.files == ()
    assert machine.vmstat()["nr_shmem"] == 0


def test_a_page_that_cannot_move_stays_with_all_it_has(machine, file):
    region = machine.address_space().mmap(file=file)
    region[0:3] = b"abc"
    machine.drain()
    page = region.page(0)
    before = (page.refcount, page.mapcount, machine.vmstat()["nr_dirty"])
    with page.get():
        assert list(region.space.move_pages(region.addresses()[:1], nodes=1)) == [
            mmcore.results.UNWRITTEN
        ]
    machine.drain()
    assert (page.refcount, page.mapcount, machine.vmstat()["nr_dirty"]) == before
    assert (region.page(0), file.page(0), region[0:3]) == (page, page, b"abc")


@pytest.mark.parametrize(
    ("kernel", "number", "mapped"), [("6.1", errno.EOPNOTSUPP, True), ("6.12", errno.EFAULT, False)]
)
def test_a_shared_mapping_of_a_disk_is_not_pinned_for_writing(build, kernel, number, mapped):
    machine = build(kernel=kernel)
    file = machine.file("4KiB")
    space = machine.address_space()
    shared, private = space.mmap(file=file), space.mmap(file=file, private=True)
    # As recorded, m0223/18: one kernel faults the page in before it refuses.
    assert refused(lambda: shared.pin(0)) == number
    assert (space.page_at(shared.address) is not None) == mapped
    assert machine.vmstat()["nr_dirty"] == int(mapped)
    with shared.pin(0, write=False) as reader, private.pin(0) as own:
        assert (reader.page == file.page(0), own.page == file.page(0)) == (True, False)
    # 6.1 refuses to register a buffer in a private mapping, too, g0040/9.
    text = f"machine kernel={kernel}\nmap r0 filepriv 1\npin g0 r0 longterm\nunpin g0"
    steps = mmcore.run(mmcore.Program.parse(text)).steps
    failed = [step.get("errno") for step in steps]
    assert failed == ([None, "EOPNOTSUPP", "EBADF"] if kernel == "6.1" else [None, None, None])


def test_odd_sizes_and_kinds_are_refused(machine):
    assert refused(lambda: machine.file(0)) == errno.EINVAL
    assert refused(lambda: machine.file("100GiB")) == errno.EFBIG
    with pytest.raises(ValueError, match="disk, tmpfs, shm"):
        machine.file(1, kind="tape")
    assert machine.file(1).pages == 1


def test_the_page_shows_what_it_prints():
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
    [source] = re.findall(r"^## Files\n.*?^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "docs/python.md", "exec"))
    shown = re.findall(r"print\(.*\)  # (.*)", source)
    said = [line.split(", from")[0].split(": one page")[0] for line in shown]
    assert printed.getvalue().splitlines() == said


class Files(RuleBasedStateMachine):
    """Any sequence of operations on two files, compared with a model of a few bytearrays."""

    regions = Bundle("regions")

    @initialize(
        kernel=st.sampled_from(["6.1", "6.12"]), release=st.sampled_from(["split", "packed"])
    )
    def start(self, kernel, release):
        self.machine = mmcore.Machine(nodes=["256KiB", "256KiB"], kernel=kernel, release=release)
        self.space = self.machine.address_space()
        self.files = [self.machine.file("12KiB"), self.machine.file("12KiB", kind="tmpfs")]
        # The content of each file; and for each region the content of its private pages.
        self.content = [bytearray(3 * PAGE) for _ in self.files]
        self.own = {}

    @rule(target=regions, which=st.integers(0, 1), private=st.booleans())
    def map(self, which, private):
        region = self.space.mmap(file=self.files[which], private=private)
        self.own[region] = {} if private else None
        return region, which

    def seen(self, region, which, page):
        own = self.own[region] or {}
        return own.get(page, self.content[which][page * PAGE :][:PAGE])

    @rule(
        at=regions,
        page=st.integers(0, 2),
        offset=st.integers(0, PAGE - 4),
        data=st.binary(min_size=4, max_size=4),
    )
    def store(self, at, page, offset, data):
        region, which = at
        if self.own[region] is None:
            start = page * PAGE + offset
            self.content[which][start : start + 4] = data
        else:
            copy = self.own[region].setdefault(page, bytearray(self.seen(region, which, page)))
            copy[offset : offset + 4] = data
        region[page * PAGE + offset : page * PAGE + offset + 4] = data

    @rule(at=regions, page=st.integers(0, 2))
    def load(self, at, page):
        region, which = at
        assert region[page * PAGE : (page + 1) * PAGE] == self.seen(region, which, page)

    @rule(
        which=st.integers(0, 1),
        start=st.integers(0, 3 * PAGE - 1),
        data=st.binary(max_size=2 * PAGE),
    )
    def write(self, which, start, data):
        data = data[: 3 * PAGE - start]
        self.files[which].write(data, offset=start)
        self.content[which][start : start + len(data)] = data

    @rule(which=st.integers(0, 1), start=st.integers(0, 3 * PAGE), size=st.integers(0, 2 * PAGE))
    def read(self, which, start, size):
        size = min(size, 3 * PAGE - start)
        assert (
            self.files[which].read(size, offset=start) == self.content[which][start : start + size]
        )

    @rule(at=regions, node=st.integers(0, 1))
    def move(self, at, node):
        region, _ = at
        statuses = self.space.move_pages(region.addresses(), nodes=node, move_all=True)
        for page, status in enumerate(statuses):
            if status >= 0:
                assert region.page(page).node == status

    @rule()
    def sync(self):
        dirty = self.machine.vmstat()["nr_dirty"]
        assert self.machine.sync() == dirty
        assert self.machine.vmstat()["nr_dirty"] == 0

    @rule()
    def drop(self):
        self.machine.drop_caches()

    @rule(at=regions)
    def fork(self, at):
        region, _ = at
        child = self.space.fork()
        for page in range(3):
            found = child.page_at(region.address + page * PAGE)
            assert found is None or found.mapcount >= 1
        child.exit()

    @precondition(lambda self: hasattr(self, "machine"))
    @invariant()
    def clean(self):
        self.machine.audit().raise_for_findings()
        stats = self.machine.vmstat()
        assert stats["nr_file_pages"] == sum(file.cached for file in self.files)
        assert stats["nr_shmem"] == self.files[1].cached

    def teardown(self):
        if not hasattr(self, "machine"):
            return
        self.space.exit()
        for file in self.files:
            file.remove()
        self.machine.drain()
        self.machine.audit().raise_for_findings()
        assert all(node.free == node.frames for node in self.machine.nodes)
        self.machine.close()


TestFiles = Files.TestCase
TestFiles.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

"""Pages that one call moves in windows end as they do if several calls move them.

The core takes up to 64 pages through each step of a migration before the next step. Neither the
border of a window nor the number of calls may be seen in what becomes of a page.
"""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore.errors import KernelError, SigbusError

PAGE = 4096
FRAMES = 2048

#: Kinds of pages that `Machine.migrate_pages` may be given.
LISTED = [
    "plain",
    "mlocked",
    "shared",
    "lazyfree",
    "pinned",
    "held",
    "isolated",
    "disk",
    "dirty",
    "tmpfs",
    "swapcache",
    "large",
    "tail",
    "movable",
    "free",
    "poisoned",
    "there",
]

#: Kinds of addresses that `move_pages` may be given, none of which ends a call early.
ADDRESSED = [
    "plain",
    "mlocked",
    "shared",
    "lazyfree",
    "isolated",
    "disk",
    "dirty",
    "tmpfs",
    "swapcache",
    "large",
    "there",
    "hole",
    "zero",
    "swapped",
    "unmapped",
    "nowhere",
    "lost",
]

FAULTS = ["no_memory", "copy_failure", "extra_pin", "driver_error", "poison", "killed"]

#: Frames in the arrays of a CPU are not counted as free, and a longer list takes more at a time.
UNEQUAL = "nr_free_pages"


def lists(kinds):
    """Lists of up to 200 kinds, with runs of plain pages, so that many windows are full."""
    run = st.tuples(st.sampled_from(kinds), st.integers(1, 3))
    plain = st.tuples(st.just("plain"), st.integers(1, 130))
    runs = st.lists(st.one_of(plain, run), min_size=1, max_size=30)
    return runs.map(lambda runs: [kind for kind, times in runs for _ in range(times)][:200])


class Scene:
    """A machine with a page of each kind of a list.

    Attributes:
        machine: the machine.
        addresses: the address of each page; 0 for pages without one.
        frames: the frame of each page; None for pages without one.
    """

    def __init__(self, stack, kinds, **options):
        options = {"nodes": [FRAMES * PAGE, FRAMES * PAGE], **options}
        self.stack = stack
        self.machine = machine = stack.enter_context(mmcore.Machine(**options))
        self.owned, self.read = [], []
        self.addresses, self.frames = [], []
        space = self.space = machine.address_space()
        count = len(kinds)
        machine.swapon(2 * count * PAGE)
        self.anon = space.mmap(count * PAGE)
        self.large = space.mmap(4 * count * PAGE, order=2)
        self.files = {kind: machine.file(count * PAGE, kind=kind) for kind in ("disk", "tmpfs")}
        self.mapped = {kind: space.mmap(file=file) for kind, file in self.files.items()}
        self.pool = machine.page_pool()
        # A fork shares the pages that there are: those of the kind are filled before it.
        for number, kind in enumerate(kinds):
            if kind == "shared":
                self.fill(number, kind)
        space.fork()
        for number, kind in enumerate(kinds):
            if kind != "shared":
                self.fill(number, kind)
        self.files["disk"].sync()
        for number, kind in enumerate(kinds):
            if kind == "dirty":
                self.mapped["disk"][number * PAGE] = 7
        machine.drain()
        for number, kind in enumerate(kinds):
            self.change(number, kind)
        machine.drain()
        for number, kind in enumerate(kinds):
            self.take(number, kind)
        machine.drain()

    def place(self, number, kind):
        """The region of a page and its offset there."""
        at = number * PAGE
        if kind in ("disk", "dirty"):
            return self.mapped["disk"], at
        if kind == "tmpfs":
            return self.mapped["tmpfs"], at
        if kind in ("large", "tail"):
            return self.large, 4 * at
        return self.anon, at

    def fill(self, number, kind):
        if kind in ("movable", "hole", "zero", "unmapped", "nowhere"):
            return
        region, at = self.place(number, kind)
        region[at : at + 3] = bytes([1, number % 251, len(kind)])
        self.read.append((region, at))

    def change(self, number, kind):
        region, at = self.place(number, kind)
        index = at // PAGE
        if kind == "mlocked":
            region.mlock(index, index + 1)
        elif kind == "lazyfree":
            region.madvise("free", index, index + 1)
        elif kind in ("swapcache", "swapped"):
            region.madvise("pageout", index, index + 1)
            if kind == "swapcache":
                region.madvise("willneed", index, index + 1)
        elif kind == "zero":
            region[at]
        elif kind == "unmapped":
            region.unmap(index, index + 1)
        elif kind == "there":
            self.space.move_pages([region.address + at], 1)

    def take(self, number, kind):
        machine = self.machine
        if kind == "movable":
            own = self.pool.add()
            self.pool.write(own, 0, number + 1)
            self.owned.append(own)
            self.addresses.append(0)
            self.frames.append(self.pool.page(own).pfn)
            return
        region, at = self.place(number, kind)
        address = region.address + at
        self.addresses.append(1 << 50 if kind == "nowhere" else address)
        page = self.space.page_at(address)
        if kind == "swapcache" and page is None:
            region[at]
            page = self.space.page_at(address)
        if kind == "pinned":
            self.stack.enter_context(region.pin(at // PAGE))
        elif kind == "held":
            self.stack.enter_context(page.get())
        elif kind == "isolated":
            self.stack.enter_context(page.isolate())
        elif kind == "lost":
            machine.memory_failure(page)
            self.read.remove((region, at))
        frame = None if page is None else page.pfn
        if kind == "tail":
            frame += 1
        elif kind == "poisoned":
            machine.soft_offline_page(page)
        elif kind == "free":
            region.madvise("dontneed", at // PAGE, at // PAGE + 1)
            machine.drain()
        self.frames.append(frame)

    def bytes_at(self, region, at):
        """The first bytes of a page; None if its frame is bad."""
        try:
            return region[at : at + 3]
        except SigbusError:
            return None

    def outcome(self):
        """All that a user could see of the pages afterwards."""
        machine = self.machine
        machine.drain()
        machine.audit().raise_for_findings()
        nodes = self.space.query_pages(self.addresses).tolist()
        content = [self.bytes_at(region, at) for region, at in self.read]
        pool = [self.pool.read(own) for own in self.owned]
        counters = {
            (node, name): value
            for node in (None, 0, 1)
            for name, value in machine.vmstat(node=node).items()
            if name != UNEQUAL
        }
        free = [node.free for node in machine.nodes]
        flags = [
            page and (page.refcount, page.mapcount, page.flags, page.order)
            for page in map(self.space.page_at, self.addresses)
        ]
        return {
            "nodes": nodes,
            "content": content,
            "pool": pool,
            "flags": flags,
            "free": free,
        } | counters


def pieces(items, sizes):
    """Cuts a list into pieces of the sizes, again and again."""
    begin = turn = 0
    while begin < len(items):
        yield items[begin : begin + sizes[turn % len(sizes)]]
        begin += sizes[turn % len(sizes)]
        turn += 1


def differences(one, other):
    return {key: (one[key], other[key]) for key in one if one[key] != other[key]}


SIZES = st.lists(st.integers(1, 70), min_size=1, max_size=4)
OPTIONS = st.fixed_dictionaries(
    {
        "release": st.sampled_from(["putback", "split", "hook", "hook_late", "packed"]),
        "kernel": st.sampled_from(["4.5", "4.8", "6.1", "6.12", "6.19"]),
        "lru_policy": st.sampled_from(["two_list", "mglru"]),
    }
)


@given(lists(LISTED), SIZES, OPTIONS, st.sampled_from(["async", "sync_light", "sync"]))
@settings(max_examples=60)
def test_a_list_of_pages_moves_as_its_pieces_do(kinds, sizes, options, mode):
    with contextlib.ExitStack() as stack:
        together, apart = Scene(stack, kinds, **options), Scene(stack, kinds, **options)
        assert together.frames == apart.frames
        status = together.machine.migrate_pages(together.frames, node=1, mode=mode).status.tolist()
        parts = []
        for piece in pieces(apart.frames, sizes):
            parts += apart.machine.migrate_pages(piece, node=1, mode=mode).status.tolist()
        assert status == parts
        assert differences(together.outcome(), apart.outcome()) == {}


@given(lists(ADDRESSED), SIZES, OPTIONS, st.booleans(), st.integers(0, 3))
@settings(max_examples=60)
def test_addresses_move_as_their_pieces_do(kinds, sizes, options, move_all, every):
    with contextlib.ExitStack() as stack:
        together, apart = Scene(stack, kinds, **options), Scene(stack, kinds, **options)
        assert together.addresses == apart.addresses
        nodes = [int(every == 0 or number % (every + 2) > 0) for number in range(len(kinds))]
        status = together.space.move_pages(together.addresses, nodes, move_all=move_all).tolist()
        parts = []
        pairs = list(zip(apart.addresses, nodes, strict=True))
        for piece in pieces(pairs, sizes):
            addresses, targets = zip(*piece, strict=True)
            parts += apart.space.move_pages(addresses, targets, move_all=move_all).tolist()
        assert status == parts
        assert differences(together.outcome(), apart.outcome()) == {}


@given(
    lists([kind for kind in ADDRESSED if kind != "lost"]),
    OPTIONS,
    st.sampled_from(FAULTS),
    st.integers(0, 400),
    st.sampled_from([1, 2, None]),
    st.booleans(),
)
@settings(max_examples=60)
def test_a_fault_at_any_page_leaves_every_page_whole(kinds, options, kind, at, times, move_all):
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, kinds, **options)
        before = [region[at : at + 3] for region, at in scene.read]
        status = None
        with scene.machine.inject(kind, at=at, times=times), contextlib.suppress(KernelError):
            status = scene.space.move_pages(scene.addresses, 1, move_all=move_all).tolist()
            scene.machine.audit().raise_for_findings()
        after = scene.outcome()
        if kind != "poison":
            assert after["content"] == before
        for told, node in zip(status or [], after["nodes"], strict=bool(status)):
            assert told < 0 or told == node or kind == "poison"

"""The core against a sequential model: after each operation of one thread both show the same."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore._recordings.compare import _State
from model import Model

EXAMPLES = int(os.environ.get("MMCORE_MODEL_EXAMPLES", "150"))

REGIONS, CHILDREN, PINS = ("r0", "r1"), ("c0", "c1"), ("g0", "g1", "g2")
regions, children, pins = map(st.sampled_from, (REGIONS, CHILDREN, PINS))
kinds = st.sampled_from(["anon", "anon", "shm", "tmpfs", "tmpfspriv", "file", "filepriv"])
#: All pages of a region (None), or a run of them: its first page and its length.
parts = st.none() | st.tuples(st.integers(0, 7), st.integers(1, 4))
wishes = st.sets(st.sampled_from(["move", "move_all", "strict", "preferred"])).map(sorted)


def operation(name, *arguments):
    return st.tuples(st.just(name), *arguments)


operations = st.one_of(
    operation("map", regions, kinds, st.integers(1, 8), st.integers(0, 1)),
    operation("write", regions, parts),
    operation("read", regions, parts),
    operation("move", regions, parts, st.integers(0, 1), st.booleans()),
    operation("query", regions, parts),
    operation("mbind", regions, parts, st.integers(0, 1), wishes),
    operation("migrate", st.integers(0, 1), st.integers(0, 1), st.none() | children),
    operation("mlock", regions, parts),
    operation("munlock", regions, parts),
    operation("madv", regions, parts, st.sampled_from(["cold", "pageout", "dontneed", "free"])),
    operation("pin", pins, regions, parts, st.sampled_from(["pipe", "longterm"])),
    operation("unpin", pins),
    operation("fork", children),
    operation("cread", children, regions, parts),
    operation("cwrite", children, regions, parts),
    operation("exit", children),
    operation("unmap", regions, parts),
    operation("drain"),
    operation("fread", regions, parts),
    operation("fwrite", regions, parts),
    operation("msync", regions, parts),
    operation("sync"),
    operation("drop"),
    operation("swapon"),
    operation("swapoff"),
)

#: The beginnings of programs: none, or operations that bring pages into the states of swap.
PAGEOUT = ("madv", "r0", None, "pageout")
READY = [("swapon",), ("write", "r0", None), ("drain",)]
SWAPPED = [*READY, PAGEOUT]
SHARED = [*SWAPPED, ("fork", "c0")]
CACHED = [*SHARED, ("cread", "c0", "r0", (0, 2))]
HELD = [*READY, ("pin", "g0", "r0", (0, 3), "pipe"), PAGEOUT]
READ = [*HELD, ("read", "r0", (1, 2)), ("unpin", "g0")]
FORKED = [*READ, ("fork", "c0")]
PINNED = [*READ, ("pin", "g1", "r0", (1, 3), "longterm"), ("drain",), PAGEOUT]
#: With a hole in its range mlock locks the pages before the hole, and faults none in.
HOLE = [*HELD, ("unmap", "r0", (3, 1)), ("fork", "c0"), ("mlock", "r0", None)]
LOCKED = [*HOLE, ("read", "r0", (0, 2))]
swapping = [READY, SWAPPED, SHARED, CACHED, HELD, READ, FORKED, PINNED, HOLE, LOCKED]
beginnings = st.just([]) | st.sampled_from(swapping)


class Writer:
    """Writes drawn operations as lines, without those that name an object that does not exist."""

    def __init__(self):
        self.lines = []
        self.pages, self.forked, self.pins = {}, {}, set()
        self.kinds, self.copied = {}, set()
        self.swap = self.dropped = False

    def line(self, name, *words):
        self.lines.append(" ".join((name, *map(str, words))))

    @staticmethod
    def selection(pages, region, part):
        if part is None:
            return region
        first = part[0] % pages[region]
        last = min(first + part[1], pages[region]) - 1
        return f"{region}:{first}" if first == last else f"{region}:{first}-{last}"

    def add(self, name, *drawn):
        getattr(self, f"add_{name}", self.add_other)(name, *drawn)

    def add_map(self, name, region, kind, pages, node):
        if region not in self.pages:
            self.pages[region], self.kinds[region] = pages, kind
            self.copied.discard(region)
            for known in self.forked.values():
                # The name now belongs to the new region, so a child's old region cannot be named
                # any more.
                known.pop(region, None)
            self.line(name, region, kind, pages, f"node={node}")
            if kind == "anon":
                self.line("write", region)

    def add_other(self, name, region, part, *words):
        if region in self.pages:
            self.line(name, self.selection(self.pages, region, part), *words)

    def add_move(self, name, region, part, node, shared):
        self.add_other(name, region, part, f"node={node}", *(["all"] if shared else []))

    def add_mbind(self, name, region, part, node, options):
        self.add_other(name, region, part, f"node={node}", *options)

    def add_migrate(self, name, source, target, child):
        if child is None or child in self.forked:
            pid = () if child is None else (f"pid={child}",)
            self.line(name, f"from={source}", f"to={target}", *pid)

    def add_unmap(self, name, region, part):
        self.add_other(name, region, part)
        if part is None:
            self.pages.pop(region, None)

    def add_pin(self, name, pin, region, part, kind):
        if region in self.pages and pin not in self.pins:
            self.pins.add(pin)
            self.copied.add(region)
            self.line(name, pin, self.selection(self.pages, region, part), kind)

    def add_unpin(self, name, pin):
        if pin in self.pins:
            self.pins.discard(pin)
            self.line(name, pin)

    def add_fork(self, name, child):
        if child not in self.forked:
            self.forked[child] = dict(self.pages)
            self.line(name, child)

    def add_exit(self, name, child):
        if self.forked.pop(child, None) is not None:
            self.line(name, child)

    def add_cread(self, name, child, region, part):
        pages = self.forked.get(child, {})
        if region in pages:
            self.line(name, child, self.selection(pages, region, part))

    add_cwrite = add_cread

    def add_drain(self, name):
        self.line(name)

    add_sync = add_drain

    def add_drop(self, name):
        self.dropped = True
        self.line(name, 1)

    def add_swapon(self, name):
        if not self.swap:
            self.swap, self.dropped = True, False
            # The kernel drains here, because the device's own pages are added and freed. A machine
            # has no such pages, so the program drains itself.
            self.line("drain")
            self.line(name, 16)

    def add_swapoff(self, name):
        # A swapoff drains for the same reason, but not after drop_caches has freed the device's
        # pages.
        if self.swap and not self.dropped:
            self.swap = False
            self.line(name)

    def add_mlock(self, name, region, part):
        self.copied.add(region)
        self.add_other(name, region, part)

    def add_fread(self, name, region, part):
        if self.kinds.get(region) not in (None, "anon", "shm"):
            self.add_other(name, region, part)

    def add_fwrite(self, name, region, part):
        # A private copy that was not written to yet would be older than the file, and its content
        # is not defined.
        if not (self.kinds.get(region, "").endswith("priv") and region in self.copied):
            self.add_fread(name, region, part)


def program(kind, beginning, drawn):
    writer = Writer()
    writer.add("map", "r0", kind, 4, 0)
    for each in [*beginning, *drawn]:
        writer.add(*each)
    return writer.lines


def each(runs):
    """The single values of run-length coded ones."""
    return [value for count, value in runs for _ in range(count)]


def check(lines, fields):
    words = " ".join(f"{name}={value}" for name, value in fields.items())
    text = "\n".join(lines)
    replay = json.loads(mmcore._mmcore.replay_program(text, f"machine nodes=2 pages=512 {words}"))
    assert replay["findings"] == [], text
    assert replay["unsupported"] is None
    model = Model(mmcore.Profile(**fields))
    seen = _State()
    for number, (line, core) in enumerate(zip(lines, replay["steps"], strict=True)):
        ours = model.step(line)
        seen.apply(core)
        where = f"step {number}, {line}, of\n{text}\n({words})"
        for field in ("ret", "errno"):
            assert core.get(field) == ours.get(field), f"{field} at {where}"
        for field in ("status", "calls_ret", "acc"):
            assert each(core.get(field, [])) == each(ours.get(field, [])), f"{field} at {where}"
        assert seen.pages.keys() == ours["pages"].keys(), where
        for region, pages in ours["pages"].items():
            for page, state in pages.items():
                shown = seen.pages[region][page]
                assert shown == state, f"{region}:{page}: {shown}, {state} at {where}"
        for field in ("vm", "n0", "n1"):
            assert core.get(field, {}) == ours[field], f"{field}: {ours[field]} at {where}"
        for child, views in ours["child"].items():
            shown = {region: seen.child.get((child, region)) for region in views}
            assert shown == views, f"{child} at {where}"


#: Fields in which 4.8 is compared with the values of later kernels, because the model has only
#: these: marks of who owns an anonymous page, pins of many references, fresh pages that are not
#: active, and so on. `rust/core/tests/old_kernels.rs` tests the values of 4.8.
LATER = {
    "pins": "counted",
    "anon_reuse": "exclusive",
    "anon_workingset": "true",
    "workingset_mark": "true",
    "free_needs_swap": "false",
    "mbind_strict_checks": "true",
    "mlock_drains_all": "false",
    "swapin_past_cache": "true",
}


@pytest.mark.parametrize("kernel", ["4.8", "6.1", "6.12"])
@settings(max_examples=EXAMPLES)
@given(
    kind=kinds,
    beginning=beginnings,
    drawn=st.lists(operations, max_size=30),
    pagevec=st.sampled_from([1, 2, 5, None]),
)
def test_model_and_core_agree_on_everything_that_can_be_seen(
    kernel, kind, beginning, drawn, pagevec
):
    fields = {"kernel": kernel} | ({} if pagevec is None else {"pagevec": pagevec})
    fields |= LATER if kernel == "4.8" else {}
    check(program(kind, beginning, drawn), fields)

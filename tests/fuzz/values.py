"""Makers of arguments: values that fit the name of a parameter, and odd values.

An argument that refers to an object of the world is known only when the call is made. It is
drawn as a `Late`, which is resolved then."""

from dataclasses import dataclass

import numpy as np

import mmcore
from fuzz.callbacks import Callback

PAGE = 4096

PROGRAM = "map r0 anon 1\nwrite r0\ndrain\nthread A\n  move r0 node=1\nthread B\n  write r0\n"
STEPS = "map r0 anon 1\nwrite r0\nmove r0 node=1\n"
MOVABLE = "movable m0 2\nthread A\n  isolate m0\n  migrate m0:0 node=1\n  putback m0:1\n"
MOVABLE += "thread B\n  isolate m0:1\n  putback m0:1\n  release m0:1\n"
VIEW = memoryview(b"view")

#: Parts of names of the standard set: each names one small program, or none.
MATCHING = ("mapped 1: read, write", "mapped 1: read, unmap", "no such program")
RELEASES = ("putback", "split", "hook", "hook_late", "packed", "mine")
FAULTS = ("no_memory", "copy_failure", "extra_pin", "driver_error", "poison", "killed")
FAULTS += ("spurious_wakeup",)
LISTS = ("two_list", "mglru", "fifo", "lru", "clock")


class Late:
    """An argument that is resolved when the call is made."""

    def resolve(self, world):
        raise NotImplementedError


@dataclass(frozen=True)
class Of(Late):
    """An object of a class, or a list of several."""

    name: str
    index: int
    listed: int = 0

    def resolve(self, world):
        found = [world.pick(self.name, self.index + i) for i in range(max(self.listed, 1))]
        return found if self.listed else found[0]


@dataclass(frozen=True)
class Address(Late):
    """The address of a page of some region."""

    index: int
    page: int

    def resolve(self, world):
        region = world.pick("Region", self.index)
        return (0x10000000 if region is None else region.address) + PAGE * self.page


@dataclass(frozen=True)
class Addresses(Late):
    """The addresses of some region's pages, as an array or a list."""

    index: int
    pages: tuple
    array: bool

    def resolve(self, world):
        found = [Address(self.index, page).resolve(world) for page in self.pages]
        return np.array(found, np.uint64) if self.array else found


@dataclass(frozen=True)
class Path(Late):
    """A path in the case's own folder, or one that cannot exist."""

    name: str

    def resolve(self, world):
        return world.folder / self.name


INTEGERS = (-2, -1, 0, 1, 2, 3, 255, 256, 511, 512, 65535, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
INTEGERS += (2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 0x10000000, 0x10001000)
FLOATS = (float("nan"), float("inf"), float("-inf"), -0.0, 1e300, 1e-300, 0.5, -1.0)
WORDS = (
    "",
    " ",
    "\0",
    "\n",
    "é",
    "\ud800",
    "nonsense",
    "6.12",
    "6.1,6.12",
    "4KiB",
    "-1",
    "x" * 300,
)
WORDS += ("1MiB,4MiB", "passes=1,2", "release=split,packed", "no/such/file", ".", "all", "A:0 B:1")
WORDS += (
    PROGRAM,
    STEPS,
    "storm",
    "tiering",
    "compaction",
    "zram",
    "machine kernel=5.0",
    "99999999999TiB",
    "1e9KiB",
)


def odd(random):
    """Draws an odd value of any type."""
    kind = random.randrange(12)
    if kind < 4:
        return random.choice(INTEGERS)
    match kind:
        case 4:
            return random.choice((None, True, False))
        case 5:
            return random.choice(FLOATS)
        case 6:
            return random.choice(WORDS)
        case 7:
            return random.choice(
                (b"", b"bytes", bytearray(16), (), {}, {1: 2}, {"release": "mine"})
            )
        case 8:
            return [random.choice(INTEGERS + WORDS) for _ in range(random.randrange(4))]
        case 9:
            return slice(*(random.choice((*INTEGERS, None)) for _ in range(3)))
        case 10:
            arrays = (np.zeros(3), np.arange(3, dtype=np.uint8), np.zeros((2, 2), int), np.array(7))
            return random.choice((*arrays, int, print, np.arange(9)[::-2], np.array(["a"])))
    return Of(random.choice(ANYTHING), random.randrange(64), random.choice((0, 0, 0, 1, 3)))


#: Classes whose objects odd arguments are taken from.
ANYTHING = ("Machine", "Node", "Page", "PageRef", "Pin", "Isolated", "Region", "AddressSpace")
ANYTHING += ("File", "PagePool", "PageLock", "Profile", "Tracing", "Fault", "Program", "Schedule")
ANYTHING += ("Op", "Balloon")


def number(*choices):
    return lambda random: random.choice(choices)


def of(name, most=0):
    return lambda random: Of(name, random.randrange(64), random.randint(0, most))


def either(*makers):
    return lambda random: random.choice(makers)(random)


def address(random):
    return Address(random.randrange(64), random.choice((0, 0, 1, 2, 3, 7)))


def addresses(random):
    pages = tuple(random.choice((0, 1, 2, 3, 9)) for _ in range(random.randrange(1, 5)))
    return Addresses(random.randrange(64), pages, random.random() < 0.5)


def fields(random):
    """Draws fields of a profile."""
    chosen = {}
    if random.random() < 0.6:
        chosen["release"] = random.choice(RELEASES)
    if random.random() < 0.3:
        chosen["lru_policy"] = random.choice(LISTS)
    if random.random() < 0.3:
        chosen["pagevec"] = random.choice((1, 2, 15, 31, 0, 32))
    if random.random() < 0.1:
        chosen[random.choice(tuple(mmcore.Profile()))] = odd(random)
    return chosen


def key(random):
    """Draws a subscript of a region."""
    if random.random() < 0.4:
        return random.choice((0, 1, PAGE, 2 * PAGE - 1, -1, 16383))
    first = random.choice((0, 1, 4090, PAGE, None, -PAGE))
    return slice(
        first, random.choice((5, 4100, 2 * PAGE, None, -1)), random.choice((None, None, 1, 2))
    )


def content(random):
    return random.choice((b"x", b"hello", b"y" * PAGE, bytearray(9), VIEW, 7, 255))


def callback(random):
    return Callback.draw(random)


frame = number(0, 1, 2, 255, 256, 257, 511)
page = either(of("Page"), of("Page"), frame)
pages = either(
    of("Page", 4), of("Isolated", 3), lambda random: [frame(random), frame(random)], page
)
node = number(0, 0, 1, 1, 1, 2)
small = number(0, 0, 0, 1, 1, 2, 3)
flag = number(True, False)
size = number("4KiB", "8KiB", "16KiB", "64KiB", PAGE, 4 * PAGE, "1MiB", "2MiB")
kernel = number(None, "6.12", "6.1", "6.19", *mmcore.Profile.PRESETS)
programs = either(number(PROGRAM, STEPS, MOVABLE, MOVABLE), of("Program"))
path = either(lambda random: Path(random.choice(("out.json", "out.html", "old", "no/such", "."))))
word = number("A", "r0", "c0", "write", "a", "0", "6.12")
text = either(number(*WORDS), number(PROGRAM, STEPS, "write r0", "0x3,1"), word)
mode = number("sync", "sync_light", "async")
reasons = number("compaction", "syscall", "memory_hotplug", "numa_misplaced", "longterm_pin")

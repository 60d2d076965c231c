"""Callables for the library that return, raise, call the library again, or close the machine."""

import threading
from dataclasses import dataclass

import mmcore


class DeliberateError(Exception):
    """An exception that a callable of the fuzzer raises."""


class DeliberateInterrupt(KeyboardInterrupt):
    """Ctrl-C while a callable of the fuzzer runs."""


class DeliberateExit(SystemExit):
    """`sys.exit` in a callable of the fuzzer."""


#: Exceptions that must come out of the call or be reported; the library must not swallow them.
LOUD = (DeliberateInterrupt, DeliberateExit)

#: Depth of nested calls down to which callables call the library again.
DEEPEST = 2

#: Share of callables with a finaliser.
FINALISED = 0.15

#: The methods of an owner.
METHODS = ("isolate", "migrate", "putback", "released", "held")

KINDS = (
    "value",
    "value",
    "value",
    "argument",
    "raise",
    "interrupt",
    "exit",
    "again",
    "again",
    "close",
)
VALUES = (None, True, False, 0, 1, 1, -1, 2**40, "x", [], 0.5)


@dataclass(frozen=True)
class Callback:
    """A drawn callable."""

    kind: str
    value: object = None
    seed: int = 0
    finalised: bool = False

    @classmethod
    def draw(cls, random):
        seed = random.randrange(1 << 32)
        return cls(random.choice(KINDS), random.choice(VALUES), seed, random.random() < FINALISED)

    def resolve(self, world):
        return (Finalised if self.finalised else Called)(self, world)

    def call(self, world, arguments):
        match self.kind:
            case "argument":
                return arguments[0] if arguments else None
            case "raise":
                raise DeliberateError
            case "interrupt":
                raise world.loud(DeliberateInterrupt())
            case "exit":
                raise world.loud(DeliberateExit(3))
            case "again" if world.depth < DEEPEST:
                world.call_back(self.seed)
            case "close" if world.depth < DEEPEST:
                world.close_one(self.seed)
        return self.value


class Called:
    """The callable that the library gets."""

    def __init__(self, drawn, world):
        self.drawn, self.world = drawn, world

    def __call__(self, *arguments, **_):
        return self.drawn.call(self.world, arguments)


class Finalised(Called):
    """A callable whose finaliser calls the library once more."""

    def __del__(self):
        if self.world.depth < DEEPEST:
            self.world.call_back(self.drawn.seed)


@dataclass(frozen=True)
class Owned:
    """A drawn owner of movable pages."""

    methods: tuple

    @classmethod
    def draw(cls, random):
        return cls(tuple(Callback.draw(random) for _ in METHODS))

    def resolve(self, world):
        return Owner(world, self.methods)


class Owner(mmcore.handles.MovableOps):
    def __init__(self, world, methods):
        self.world = world
        self.methods = dict(zip(METHODS, methods, strict=True))

    def isolate(self, page):
        assert page.refcount >= 0
        return self.methods["isolate"].call(self.world, (page,))

    def migrate(self, source, target, mode):
        assert mode in ("async", "sync_light", "sync")
        if (source.pfn + target.pfn) % 7 == 0:
            raise BlockingIOError
        self.methods["migrate"].call(self.world, (source, target, mode))

    def putback(self, page):
        self.methods["putback"].call(self.world, (page,))

    def released(self, page):
        self.methods["released"].call(self.world, (page,))

    def held(self):
        # An exception would end the audit at the end of the case.
        if self.world.again is not None:
            self.methods["held"].call(self.world, ())
        # None: the drawn owner keeps no account. The audit would report a wrong one.


#: The behaviours of the methods of owners in explored programs; the last two end the call.
EXPLORED = ("agree",) * 12 + ("refuse",) * 4 + ("copy",) * 4 + ("raise", "interrupt", "exit")


@dataclass(frozen=True)
class Explored:
    """The drawn owners of a program. Some are for pages that the program does not make."""

    names: tuple
    methods: tuple
    every: int

    @classmethod
    def draw(cls, random):
        names = random.choice((("m0",), ("m0",), ("m0",), ("m0", "m1"), ()))
        return cls(names, tuple(random.choice(EXPLORED) for _ in METHODS), random.randrange(1, 4))

    def resolve(self, world):
        return {name: ExploredOwner(self, world.local.told) for name in self.names}


class ExploredOwner(mmcore.handles.MovableOps):
    """An owner whose answers depend on its own count of questions. The explorer copies it."""

    def __init__(self, drawn, told):
        self.drawn, self.asked = drawn, 0
        #: The loud exceptions raised, shared by all copies.
        self.told = told

    def __deepcopy__(self, _):
        copy = ExploredOwner(self.drawn, self.told)
        copy.asked = self.asked
        return copy

    def ask(self, method, pages=()):
        """Behaves as drawn at each `every`-th question. Returns whether the content was copied."""
        self.asked += 1
        behaviour = self.drawn.methods[METHODS.index(method)]
        if self.asked % self.drawn.every:
            return False
        match behaviour:
            case "refuse" if method in ("isolate", "migrate"):
                raise BlockingIOError
            case "copy" if len(pages) > 1:
                pages[1].copy_from(pages[0])
                return True
            case "raise":
                raise DeliberateError
            case "interrupt" | "exit":
                loud = DeliberateInterrupt() if behaviour == "interrupt" else DeliberateExit(3)
                self.told.append(loud)
                raise loud
        return False

    def isolate(self, _):
        self.ask("isolate")
        return True

    def migrate(self, source, target, _):
        return self.ask("migrate", (source, target))

    def putback(self, _):
        self.ask("putback")

    def released(self, _):
        self.ask("released")

    def held(self):
        self.ask("held")


class Depth(threading.local):
    """The depth of this thread's nested calls, and the loud exception that is leaving them."""

    calls = 0
    loud = None

    def __init__(self):
        #: The loud exceptions of owners in threads of the explorer that work for this thread.
        self.told = []

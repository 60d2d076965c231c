"""A case of calls: the steps are drawn from a seed, then made by one thread or several."""

import contextlib
import copy
import operator
import os
import pickle
import signal
import threading
import warnings
from dataclasses import dataclass
from random import Random

from fuzz import arguments, judge, providers
from fuzz.callbacks import LOUD
from fuzz.judge import USERS, Alarm, Failure
from fuzz.surface import Entry, entries, package_names
from fuzz.values import Late, odd
from fuzz.world import World, reporting

#: The steps of a case, and how many of them are for the entries whose turn comes in this case.
LENGTH, TURN = 50, 30

#: Calls that take long. They are made only in their turn.
SLOW = {"compare", "conformance", "diff", "policies", "stress", "Trace.sample", "Comparison.plot"}
#: Calls that close a machine, after which most steps of a case fail.
CLOSE = {"Machine.close", "Machine.__exit__"}

#: Calls that are made while the thread holds a page lock of the machine: they must not wait for it.
LOCKED = ("Machine.start_daemons", "Machine.stop_daemons", "Machine.close")

#: Steps on an object other than calls.
WAYS = ("copy", "deepcopy", "pickle", "memoryview", "length", "iter", "hash", "dir")

#: Machines and the classes of their objects, whose entries are drawn more often than the rest.
MACHINES = ("Machine", "Region", "AddressSpace", "Page", "PageRef", "Pin", "Isolated", "PageLock")
MACHINES += ("PagePool", "File", "Writeback", "Tracing", "Fault", "CpuBinding", "Node", "Balloon")


@dataclass(frozen=True)
class Step:
    """One step of a case.

    Attributes:
        way: `call`, `set`, `drop`, `fork`, `buffer`, `locked`, or one of WAYS.
        entry: the entry of the interface.
        index: the number of the object in its class.
        given: arguments by position.
        named: arguments by name.
    """

    way: str
    entry: Entry
    index: int = 0
    given: tuple = ()
    named: tuple = ()

    def __str__(self):
        said = [repr(value) for value in self.given]
        said += [f"{name}={value!r}" for name, value in self.named]
        way = "" if self.way == "call" else f"{self.way} "
        return f"{way}{self.entry.key}#{self.index}({', '.join(said)})"


@dataclass(frozen=True)
class Case:
    seed: int
    threads: int
    interrupts: bool
    steps: tuple

    @classmethod
    def draw(cls, seed, length=LENGTH):
        random = Random(f"calls {seed}")
        threads = random.choice((1, 1, 1, 2, 3, 4))
        interrupts = random.random() < 0.15
        every = list(entries().values())
        turn = [every[(seed * TURN + i) % len(every)] for i in range(TURN)]
        free = [None] * (length - TURN)
        order = turn + free
        random.shuffle(order)
        # Steps that close a machine come last.
        order.sort(key=lambda entry: entry is not None and entry.key in CLOSE)
        steps = [_draw_step(Random(f"step {seed} {i}"), entry) for i, entry in enumerate(order)]
        return cls(seed, threads, interrupts, tuple(steps))

    @property
    def shape(self):
        """A description in words."""
        return f"threads: {self.threads}{', interrupted' * self.interrupts}"

    def run(self, folder, keep=None):
        """Makes the calls; returns the runner, which knows the entries called and the failures."""
        steps = [step for i, step in enumerate(self.steps) if keep is None or i in keep]
        runner = Runner(World(self.seed, folder), forks=self.threads == 1)
        with warnings.catch_warnings(), reporting(runner.world):
            warnings.simplefilter("ignore")
            if self.interrupts:
                with _alarms(Random(f"alarms {self.seed}"), runner.world):
                    self._go(runner, steps)
            else:
                self._go(runner, steps)
            runner.world.finish()
        return runner

    def _go(self, runner, steps):
        if self.threads == 1:
            runner.walk(steps)
            return
        parts = [steps[i :: self.threads] for i in range(self.threads)]
        others = [threading.Thread(target=runner.walk, args=(part,)) for part in parts[1:]]
        for other in others:
            other.start()
        runner.walk(parts[0])
        for other in others:
            _join(other)


def _join(thread):
    while thread.is_alive():
        try:
            thread.join()
        except Alarm:
            continue


def _draw_step(random, entry=None):
    if entry is None:
        way = random.random()
        if way < 0.02:
            name = random.choice(MACHINES)
            return Step("drop", _of_class(name), random.randrange(64))
        if way < 0.03:
            return Step("fork", _of_class("Machine"), random.randrange(1 << 30))
        if way < 0.05:
            return Step("buffer", _of_class("Pin"), random.randrange(64), (random.randrange(4),))
        if way < 0.06:
            key = random.choices(LOCKED, (4, 4, 1))[0]
            return Step("locked", entries()[key], random.randrange(64))
        if way < 0.09:
            return Step(random.choice(WAYS), random.choice(_free()), random.randrange(64))
        entry = random.choice(_free())
    if entry.kind == "attribute":
        if random.random() < 0.1:
            return Step("set", entry, random.randrange(64), (odd(random),))
        return Step("call", entry, random.randrange(64))
    if entry.name in arguments.OPERANDS:
        makers = arguments.OPERANDS[entry.name]
        given = tuple(odd(random) if random.random() < 0.1 else make(random) for make in makers)
        return Step("call", entry, random.randrange(64), given)
    given, named = arguments.draw(entry, random)
    return Step("call", entry, random.randrange(64), given, tuple(named.items()))


_FREE = []


def _free():
    """Entries that are drawn outside of their turn, with a greater weight for those of machines."""
    if not _FREE:
        every = [each for key, each in entries().items() if key not in SLOW | CLOSE]
        machines = [each for each in every if each.owner and each.owner.__name__ in MACHINES]
        methods = [each for each in machines if each.kind == "call"]
        _FREE.extend(every + 2 * machines + 4 * methods)
    return _FREE


def _of_class(name):
    return next(each for each in entries().values() if each.owner and each.owner.__name__ == name)


class _alarms:  # noqa: N801 - used as a function
    """Raises Ctrl-C at drawn moments while a call runs in the main thread."""

    def __init__(self, random, world):
        self.random, self.world = random, world

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.hear)
        self.arm()

    def arm(self):
        signal.setitimer(signal.ITIMER_REAL, self.random.choice((0.0002, 0.001, 0.005)))

    def hear(self, *_):
        self.arm()
        if self.random.random() < 0.1:
            # Refused if the handler runs inside of a call.
            with contextlib.suppress(*judge.DOCUMENTED):
                self.world.machines[-1].vmstat()
        if self.world.depth:
            raise self.world.loud(Alarm())

    def __exit__(self, *_):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


class Runner:
    """Makes steps on a world, and counts them."""

    def __init__(self, world, *, forks):
        self.world = world
        self.forks = forks
        self.calls = 0
        self.called = set()
        self.came_back = set()
        world.again = self.again

    @property
    def failures(self):
        return self.world.failures

    def walk(self, steps):
        random = Random(len(steps))
        try:
            for step in steps:
                try:
                    self.do(step)
                except (Alarm, *LOUD):
                    continue
                if random.random() < 0.3:
                    self.world.give_back()
        finally:
            self.world.give_back()

    def again(self, seed):
        """Makes the calls of a callable that calls the library again."""
        random = Random(seed)
        for _ in range(2):
            self.do(_draw_step(random))

    def do(self, step):
        world, local = self.world, self.world.local
        if step.way == "drop":
            world.drop(step.entry.owner.__name__, step.index)
            return
        if step.way == "fork":
            self._fork(step)
            return
        target = None
        if step.entry.owner is not None:
            target = world.pick(step.entry.owner.__name__, step.index)
            if target is None:
                return
        outer_told, local.told = local.told, []
        given = [_resolve(value, world) for value in step.given]
        named = {name: _resolve(value, world) for name, value in step.named}
        error = None
        before = local.calls
        # A callable of an outer call may have raised already; that exception is the outer call's.
        outer, local.loud = local.loud, None
        try:
            local.calls += 1
            result = self._perform(step, target, given, named)
        except BaseException as raised:
            error = raised
        finally:
            local.calls = before
        self.calls += 1
        self.called.add(step.entry.key)
        # The explorer asks owners in threads of its own.
        local.loud = next(iter(local.told), local.loud)
        local.told = outer_told
        found = self._judge(step, error)
        local.loud = local.loud or outer
        if error is None:
            self.came_back.add(step.entry.key)
            # Objects of classes that only calls return are not kept if they were constructed
            # directly, so that every kept one comes from the library.
            if not step.entry.makes or step.entry.name in USERS:
                world.add(result)
            found = found or judge.returned(step.entry, result, step.way)
        if found:
            self.failures.append(found)
        if before and isinstance(error, (Alarm, *LOUD)):
            raise error

    def _judge(self, step, error):
        loud, self.world.local.loud = self.world.local.loud, None
        if loud is not None and not _comes_from(error, loud):
            if all(loud is not one for one in self.world.reported):
                text = f"{type(loud).__mro__[1].__name__} came to nothing; the call: {error!r}"
                return Failure("swallowed", step.entry.key, text)
        elif loud is not None and self.world.depth:
            self.world.local.loud = loud
        if error is None:
            return None
        return judge.raised(step.entry, error, setting=step.way == "set")

    def _perform(self, step, target, given, named):
        entry = step.entry
        if step.way == "set":
            setattr(target, entry.name, given[0])
            return getattr(target, entry.name)
        if step.way == "locked":
            self._lock(target)
        if step.way == "buffer":
            return self._buffer(step.index, given[0])
        if step.way in WAYS:
            return _way(step.way, target)
        if entry.owner is not None:
            found = getattr(target, entry.name)
            return found if entry.kind == "attribute" else found(*given, **named)
        if entry.key == "compare":
            return providers.compare(**named)
        return package_names()[entry.name](*given, **named)

    def _lock(self, machine):
        """Takes the lock of some page of the machine, which the call then finds held."""
        for number in range(32):
            with contextlib.suppress(*judge.DOCUMENTED):
                lock = machine.page(number).trylock()
                self.world.add(lock)
                if lock is not None:
                    return

    def _buffer(self, index, what):
        view = self.world.pick("memoryview", index)
        if view is None:
            return None
        match what:
            case 0:
                view.release()
            case 1:
                view[0:4] = b"view"
            case 2:
                return bytes(view[:8])
        return None

    def _fork(self, step):
        """Makes calls in a forked child: each must be refused, and none may hang."""
        if not self.forks or self.world.depth:
            return
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            before = len(self.failures)
            random = Random(step.index)
            for _ in range(4):
                self.do(_draw_step(random, random.choice(_compiled())))
            os._exit(3 if len(self.failures) > before else 0)
        while True:
            try:
                status = os.waitpid(child, 0)[1]
                break
            except Alarm:
                continue
        if status:
            self.failures.append(Failure("abort", "fork", f"the child ended with status {status}"))


def _compiled():
    return [each for each in entries().values() if each.compiled and each.key not in CLOSE]


def _way(way, target):
    match way:
        case "copy":
            return copy.copy(target)
        case "deepcopy":
            return copy.deepcopy(target)
        case "pickle":
            return pickle.loads(pickle.dumps(target))
        case "memoryview":
            return memoryview(target)
        case "length":
            return operator.length_hint(target)
        case "iter":
            return [each for each, _ in zip(target, range(8), strict=False)]
        case "hash":
            return hash(target)
    return dir(target)


def _resolve(value, world):
    if isinstance(value, Late) or hasattr(value, "resolve"):
        return value.resolve(world)
    return [_resolve(each, world) for each in value] if isinstance(value, list) else value


def _comes_from(error, loud):
    if isinstance(error, LOUD):
        # If several callables of one call raise, any of their loud exceptions may leave the call.
        return True
    seen = 0
    while error is not None and seen < 20:
        if error is loud:
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False

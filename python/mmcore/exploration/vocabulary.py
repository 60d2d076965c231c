"""What threads can be made to do: small concrete operations, and the set-up that they need.

Made from the table of operations, so that an operation that the core learns is drawn without a word
here. `programs` of `mmcore.testing` and the soak draw from it.
"""

from __future__ import annotations

import functools
import re
from itertools import product
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore.errors import InputError
from mmcore.program import Arg, Op, Operation, Program, Selection, Thread, operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["assemble", "offered", "variants"]

#: What makes a thing gives it a name of its own.
_MAKES = frozenset({"map", "fork", "pin", "movable", "allocate"})

#: What nobody shares, waits in real time, or needs a quiet machine.
_ALONE = frozenset({"map", "movable", "audit", "sleep", "isolated", "trace", "set"})

#: Small values of numbers, by the name of the argument; the first is the simplest.
_NUMBERS = {"node": (1, 0), "cpu": (0, 1), "refs": (1, 2), "from": (0, 1), "to": (1, 0)}

#: What is done to files alone, and so to region `r1`.
_FILES = frozenset(
    {"fread", "fwrite", "msync", "truncate", "begin_writeback", "end_writeback"},
)

#: What kind of file region `r1` may map.
_FILE_KINDS = ("file", "tmpfs", "filepriv", "tmpfspriv", "shm")

#: Machines that make a difference. Not of kernels whose accounting of poison was a defect.
_MACHINES = (
    "",
    "machine cpus=1",
    "machine nodes=1 pages=16",
    "machine movable=1 pages=16",
    "machine lru_policy=mglru",
    "machine kernel=6.1",
)

#: Reasons for a migration that make a difference.
_REASONS = (None, "memory_failure", "demotion")


@functools.cache
def offered() -> tuple[str, ...]:
    """The operations that threads can do to each other's pages, and that the core offers."""
    names = []
    for operation in operations():
        if operation.name in _ALONE:
            continue
        if _is_offered(variants(operation.name, thread=0, pages=1)[0]):
            names.append(operation.name)
    return tuple(names)


@functools.cache
def variants(name: str, *, thread: int, pages: int) -> tuple[Op, ...]:
    """Small operations of one name, the simplest first.

    Args:
        name: an operation of the language.
        thread: the number of the thread: what it makes is `c1`, `g1`, `p1` in thread 0, and so on.
        pages: pages of each region and owner that the set-up makes.
    """
    operation = _operation(name)
    values = [_values(operation, argument.name, thread, pages) for argument in operation.args]
    names = [argument.name for argument in operation.args]
    every = tuple(Op(name, **dict(zip(names, each, strict=True))) for each in product(*values))
    # Of an operation that the core does not offer at all, whoever asks for it is told so later.
    return tuple(filter(_is_offered, every)) or every


def _is_offered(op: Op) -> bool:
    return not _mmcore.unsupported(Program(setup=(op,)).to_json())


def _operation(name: str) -> Operation:
    for operation in operations():
        if operation.name == name:
            return operation
    raise InputError(f"there is no operation {name!r}; mmcore.program.operations() lists them")


def _values(operation: Operation, name: str, thread: int, pages: int) -> tuple[Arg | None, ...]:
    argument = next(each for each in operation.args if each.name == name)
    match argument.syntax:
        case {"name": "r"}:
            return ("r1",) if operation.name in _FILES else ("r0", "r1")
        case {"name": letter}:
            own = f"{letter}{thread + 1}"
            return (own,) if operation.name in _MAKES else (f"{letter}0", own)
        case {"selection": selection}:
            chosen = _selections(selection, thread, pages, operation.name in _FILES)
            return tuple((one,) for one in chosen) if selection["sum"] else chosen
        case {"number": bounds}:
            least = (max(bounds["min"], 1),)
            return _NUMBERS.get(name, least) if argument.required else (None,)
        case {"choice": _} if name == "reason":
            return _REASONS
        case {"choice": choices} if argument.place != "options":
            return tuple(choices) if argument.required else (None, *choices)
        case {"choice": choices}:
            return ((), *((one,) for one in choices))
        case {"options": options}:
            return ((), *((word,) for word, value in options if value is None))
        case _:
            return ("0",)


def _selections(
    selection: dict[str, Any], thread: int, pages: int, files: bool
) -> tuple[Selection, ...]:
    chosen: list[Selection] = []
    names = [f"{letter}0" for letter in selection["listed"]]
    if files:
        names = ["r1"]
    elif "r0" in names:
        names.append("r1")
    for name in names:
        chosen.append(Selection(name))
        if pages > 1:
            chosen += [Selection(name, ((page, page),)) for page in range(pages)]
    for single in selection["single"]:
        chosen += (
            [Selection(f"{single}0"), Selection(f"{single}{thread + 1}")]
            if len(single) == 1
            else []
        )
    return tuple(chosen)


def _simplest(choices: Sequence[str]) -> str:
    return choices[0]


def assemble(
    threads: Iterable[Sequence[Op]],
    *,
    pages: int,
    setup: Program | None = None,
    choose: Callable[[Sequence[str]], str] = _simplest,
) -> Program:
    """A program: these threads, with the set-up that makes what they name.

    Args:
        threads: what each thread does.
        pages: pages of each region and owner.
        setup: a program whose set-up and machine are taken instead; what it does not make, the
            set-up makes all the same.
        choose: takes one of several lines or words, the simplest of which is the first.
    """
    threads = tuple(threads)
    bodies = tuple(Thread(chr(ord("A") + at), tuple(ops)) for at, ops in enumerate(threads))
    if setup is not None:
        own = _own(threads, setup.setup)
        return Program(
            setup=(*setup.setup, *own),
            threads=bodies,
            finally_=setup.finally_,
            machine=setup.machine,
        )
    named = {name for ops in threads for op in ops for name in _names(op)}
    made = [choose(_MACHINES), choose(("", "swapon 1"))]
    # Where something is split there is something to split.
    split = any(op.name == "split" for ops in threads for op in ops)
    order = " order=1" if split else choose(("", " order=1"))
    if named & {"r0", "g0", "c0"}:
        made += [f"map r0 anon {pages}{order}", choose(("write r0", "read r0", ""))]
    if "r1" in named:
        kind = choose(_FILE_KINDS)
        made += [f"map r1 {kind} {pages}", choose(("write r1", "read r1", ""))]
        if kind.endswith("priv") and "pages=" not in made[0]:
            # Each page may have a copy.
            made.insert(1, "machine pages=16")
    if named & {"r0", "r1", "g0", "c0"}:
        made.append(choose(("drain", "")))
    if "g0" in named:
        made.append("pin g0 r0 longterm")
    if "c0" in named:
        made.append("fork c0")
    if "m0" in named:
        made.append(f"movable m0 {pages}")
    if "p0" in named:
        made += [f"allocate p0{order}", "lru_add p0"]
    begun = Program.parse("\n".join(filter(None, made)))
    own = _own(threads, begun.setup)
    return Program(setup=(*begun.setup, *own), threads=bodies, machine=begun.machine)


def _own(threads: Sequence[Sequence[Op]], setup: Sequence[Op]) -> list[Op]:
    """What makes the things that a thread names before it makes them: else it is no program."""
    mapped = {str(op["region"]): op["backing"] for op in setup if op.name == "map"}
    # Not every page of a file can be pinned for long.
    pinned = next((name for name, backing in mapped.items() if backing == "anon"), None)
    made = {name for op in setup for name in _made(op)}
    own: list[Op] = []
    for ops in threads:
        there = set(made)
        for op in ops:
            missing = {name for name in _names(op) if _OWN.fullmatch(name)} - there - _made(op)
            for name in sorted(missing):
                if name[0] == "g" and pinned is None:
                    pinned = next(f"r{n}" for n in range(len(mapped) + 1) if f"r{n}" not in mapped)
                    own.append(Op("map", region=pinned, backing="anon", pages=1))
                maker = Op.parse(_MAKERS[name[0]].format(name, pinned))
                own += [] if maker in own else [maker]
            there |= missing | _made(op)
    return own


#: Names of things that threads make themselves, and what makes them in a set-up.
_OWN = re.compile("[cgp][0-9]+")
_MAKERS = {"c": "fork {0}", "g": "pin {0} {1} longterm", "p": "allocate {0}"}


def _made(op: Op) -> set[str]:
    """What an operation makes."""
    made = (op.get(each) for each in ("child", "pin", "page"))
    return {name for name in made if isinstance(name, str)} if op.name in _MAKES else set()


def _names(op: Op) -> Iterable[str]:
    for _, value in op.args:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Selection):
                yield part.of
            elif isinstance(part, str):
                yield part

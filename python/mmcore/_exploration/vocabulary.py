"""Small concrete operations for generated threads, and the set-ups that these operations need.

The operations come from the table of the language (`mmcore.program.operations`): a new operation of
the core is generated without a change here. `mmcore.testing.programs` and the soak draw from them.
"""

from __future__ import annotations

import functools
import re
from itertools import product
from typing import TYPE_CHECKING, Any

from mmcore._arguments import nearest
from mmcore._errors import InputError
from mmcore.program import Arg, Op, Operation, PageRange, Program, Selection, Thread, operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["assemble", "offered", "variants"]

#: Operations that make a region, child, pin, pool or page, and give it a new name.
_MAKES = frozenset({"map", "fork", "pin", "movable", "allocate", "alloc_range"})

#: Operations left out of threads: they share nothing with other threads, wait in real time, take a
#: whole node, need a machine on which no other thread runs, or repeat other operations (`zram_*`).
_ALONE = frozenset(
    {"map", "movable", "audit", "sleep", "isolated", "trace", "set", "zs_open"}
    | {"layout", "extfrag", "take", "wmark", "kpages"}
    | {"zram_fill", "zram_punch", "zram_check", "zram_free"}
)

#: Small values for arguments that are numbers; the first is the simplest.
_NUMBERS = {"node": (1, 0), "cpu": (0, 1), "refs": (1, 2), "from": (0, 1), "to": (1, 0)}

#: Operations that need a file: their region is always `r1`.
_FILES = frozenset(
    {"fread", "fwrite", "msync", "truncate", "begin_writeback", "end_writeback"},
)

#: The regions whose pages `look` can find at each of these places. By a frame or along the reverse
#: map it finds the pages of all things.
_LOOKED_AT = {"cache": ("r1",), "swap": ("r0", "r1"), "entry": ("r0", "r1")}

#: The kinds of file that region `r1` can map.
_FILE_KINDS = ("file", "tmpfs", "filepriv", "tmpfspriv", "shm")

#: Machines under which programs behave differently. Kernels whose accounting of poisoned pages has
#: a known defect are left out: there a program can break a rule by poisoning a page.
_MACHINES = (
    "",
    "machine cpus=1",
    "machine nodes=1 pages=16",
    "machine movable=1 pages=16",
    "machine lru_policy=mglru",
    "machine kernel=6.1",
)

#: Reasons for a migration under which pages are treated differently.
_REASONS = (None, "memory_failure", "demotion")


@functools.cache
def offered() -> tuple[str, ...]:
    """The names of the operations that act on pages which threads share."""
    return tuple(each.name for each in operations() if each.name not in _ALONE)


@functools.cache
def variants(name: str, *, thread: int, pages: int) -> tuple[Op, ...]:
    """Makes the small forms of one operation, the simplest first.

    Args:
        name: the name of an operation of the language.
        thread: the number of the thread, from 0. Thread 0 makes the names `c1`, `g1`, `p1`, thread
            1 makes `c2`, `g2`, `p2`, and so on.
        pages: the number of pages of each region and owner in the set-up.

    Raises:
        InputError: if the language has no operation of this name.
    """
    operation = _operation(name)
    values = [_values(operation, argument.name, thread, pages) for argument in operation.args]
    names = [argument.name for argument in operation.args]
    forms = (Op(name, **dict(zip(names, each, strict=True))) for each in product(*values))
    return tuple(form for form in forms if _is_there(form))


def _is_there(op: Op) -> bool:
    """False for a `look` at a place where its page cannot be: only a file has a page cache."""
    among = _LOOKED_AT.get(str(op.get("at")))
    return among is None or all(name in among for name in _names(op))


def _operation(name: str) -> Operation:
    for operation in operations():
        if operation.name == name:
            return operation
    known = nearest(name, [each.name for each in operations()])
    raise InputError(
        f"there is no operation {name!r}{known or '; mmcore.program.operations() lists them'}"
    )


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
        case "blocks":
            return ("0", "1") if pages > 1 else ("0",)
        case "sizes":
            return ("24", "8", "same")
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
            chosen += [Selection(name, (PageRange(page, page),)) for page in range(pages)]
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
    """Makes a program of these threads, with a set-up for all regions, pins and pages they name.

    Args:
        threads: the operations of each thread.
        pages: the number of pages of each region and owner in the set-up.
        setup: a program whose set-up, machine and `finally` section are used; lines for
            children, pins and pages that it does not make are added to its set-up.
        choose: selects one of several lines or words; the first is the simplest.

    Raises:
        ProgramError: if the set-up is not valid.
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
    # A thread that splits needs a large page.
    split = any(op.name == "split" for ops in threads for op in ops)
    order = " order=1" if split else choose(("", " order=1"))
    if named & {"r0", "g0", "c0"}:
        made += [f"map r0 anon {pages}{order}", choose(("write r0", "read r0", ""))]
    if "r1" in named:
        kind = choose(_FILE_KINDS)
        made += [f"map r1 {kind} {pages}", choose(("write r1", "read r1", ""))]
        if kind.endswith("priv") and "pages=" not in made[0]:
            # A private mapping can need a second frame for the copy of each page.
            made.insert(1, "machine pages=16")
    if named & {"r0", "r1", "g0", "c0"}:
        made.append(choose(("drain", "")))
    if "g0" in named:
        made.append("pin g0 r0 longterm")
    if "c0" in named:
        made.append("fork c0")
    if "m0" in named:
        made.append(f"movable m0 {pages}")
    if "z0" in named or any(op.name.startswith("zs_") for ops in threads for op in ops):
        made += [f"zs_open {pages}", choose(("zs_put 0 size=24", ""))]
    if "p0" in named:
        made += [f"allocate p0{order}", "lru_add p0"]
    prelude = Program.parse("\n".join(filter(None, made)))
    own = _own(threads, prelude.setup)
    return Program(setup=(*prelude.setup, *own), threads=bodies, machine=prelude.machine)


def _own(threads: Sequence[Sequence[Op]], setup: Sequence[Op]) -> list[Op]:
    """Returns set-up lines for the children, pins and pages that threads use without making them.

    Without these lines the program is not valid.
    """
    mapped = {str(op["region"]): op["backing"] for op in setup if op.name == "map"}
    # Long-term pins go to anonymous memory: some pages of a file refuse them.
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


#: Names of children, pins and pages, and the set-up line that makes each.
_OWN = re.compile("[cgp][0-9]+")
_MAKERS = {"c": "fork {0}", "g": "pin {0} {1} longterm", "p": "allocate {0}"}


def _made(op: Op) -> set[str]:
    """The names that an operation makes."""
    made = (op.get(each) for each in ("child", "pin", "page"))
    return {name for name in made if isinstance(name, str)} if op.name in _MAKES else set()


def _names(op: Op) -> Iterable[str]:
    for _, value in op.args:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Selection):
                yield part.of
            elif isinstance(part, str):
                yield part

"""Programs: operations on a machine, in sequence and in threads, as data.

`Program.parse` reads the text language that `docs/programs.md` describes; `Program.text` prints
it. The core reads, prints and checks programs; the classes here hold the data that it exports as
JSON. Constructors check only the types of the values.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mmcore import _mmcore
from mmcore._arguments import nearest, shown
from mmcore._errors import ProgramError
from mmcore._input import STANDARD_INPUT, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmcore.typing import ArgumentPlace

__all__ = [
    "Arg",
    "Argument",
    "Boot",
    "FieldSetting",
    "MachineSpec",
    "NamedArg",
    "Op",
    "Operation",
    "PageRange",
    "Program",
    "Selection",
    "Thread",
    "operations",
]


class _Data:
    """Plain data whose constructor checks the types of the values, also for `copy` and `pickle`.

    By default both set the fields of an empty object: a wrong type would show only in printing.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns the constructor and its arguments, for `copy` and `pickle`."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self))  # type: ignore[arg-type]

    def _expect(self, field: str, wanted: str, *, fits: bool) -> None:
        if not fits:
            given = shown(getattr(self, field))
            raise TypeError(f"{type(self).__name__}.{field} must be {wanted}, not {given}")


def _is_tuple(value: object, kind: type) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, kind) for each in value)


def _is_pairs(value: object, kind: type) -> bool:
    return _is_tuple(value, tuple) and all(
        len(pair) == 2 and _is_tuple(pair, kind)
        for pair in value  # type: ignore[attr-defined]
    )


class PageRange(NamedTuple):
    """Successive pages of a region, owner or allocation.

    Attributes:
        first: the number of the first page, from 0.
        last: the number of the last page, which is part of the range.
    """

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Selection(_Data):
    """The pages of a region, owner or allocation on which an operation works.

    Attributes:
        of: the name of a region (`r0`), owner (`m0`) or allocation (`p0`), or `zero0`, an address
            that nothing maps.
        pages: ranges of page numbers; None for all pages. The constructor also takes plain pairs
            of first and last page.
        frames: ranges of frame numbers within the node that a region prefers, as `512-2047/1:2`,
            which select the region's pages in these frames; None for a selection by page numbers.

    Raises:
        TypeError: if a value has the wrong type.
    """

    of: str
    pages: tuple[PageRange, ...] | None = None
    frames: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the types."""
        self._expect("of", "a str", fits=isinstance(self.of, str))
        fits = self.pages is None or _is_pairs(self.pages, int)
        self._expect("pages", "a tuple of pairs of int, or None", fits=fits)
        if self.pages is not None:
            object.__setattr__(self, "pages", tuple(map(PageRange._make, self.pages)))
        fits = self.frames is None or _is_tuple(self.frames, str)
        self._expect("frames", "a tuple of str, or None", fits=fits)

    def indices(self, length: int) -> Iterator[int]:
        """Yields the page numbers: those of `pages`, or all of `length`; none for `frames`."""
        if self.frames is not None:
            return
        for each in (PageRange(0, length - 1),) if self.pages is None else self.pages:
            yield from range(each.first, each.last + 1)

    def __str__(self) -> str:
        """The text in a program, `r0:0-3,7` or `r0@512-2047/1:2`."""
        if self.frames is not None:
            return f"{self.of}@{','.join(self.frames)}"
        ranges = (str(a) if a == b else f"{a}-{b}" for a, b in self.pages or ())
        return self.of if self.pages is None else f"{self.of}:{','.join(ranges)}"


#: The value of one argument of an operation. A tuple holds the selections of a sum (`r0+r1`), or
#: option words.
Arg: TypeAlias = "str | int | Selection | tuple[Selection, ...] | tuple[str, ...]"


class NamedArg(NamedTuple):
    """One argument of an operation.

    Attributes:
        name: the argument's name, see `Argument.name`.
        value: its value.
    """

    name: str
    value: Arg


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Op(_Data):
    """One operation: a line of a program.

    Arguments that are None or an empty tuple are left out, so that two operations with the same
    text are equal.

    Attributes:
        name: the operation's name in JSON: the first word of the line, but `migrate_pages` for
            `migrate from=...` and `drain_cpu` for `drain cpu=...`.
        args: the arguments, sorted by name.

    Raises:
        TypeError: if the name is no str, or an argument has none of the types of `Arg`.
    """

    name: str
    args: tuple[NamedArg, ...]

    def __init__(self, name: str, /, **args: Arg | None) -> None:
        given = (
            NamedArg(key, value) for key, value in args.items() if value is not None and value != ()
        )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "args", tuple(sorted(given, key=lambda arg: arg.name)))
        self._expect("name", "a str", fits=isinstance(name, str))
        for key, value in self.args:
            if not _is_arg(value):
                wanted = "a str, an int, a Selection, or a tuple of str or of Selection"
                raise TypeError(f"{key} of an Op must be {wanted}, not {shown(value)}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns a function that makes the operation, and its arguments: `Op` takes keywords."""
        return _op, (self.name, self.args)

    @classmethod
    def parse(cls, text: str) -> Op:
        """Reads one line.

        Raises:
            ProgramError: if the text is not exactly one operation.
        """
        program = Program.parse(text)
        if len(program.setup) != 1 or program != Program(setup=program.setup):
            raise ProgramError("exactly one operation is expected; Program.parse reads programs")
        return program.setup[0]

    @property
    def text(self) -> str:
        """The operation as a line of a program.

        Raises:
            ProgramError: if the operation is not valid.
        """
        return Program(setup=(self,)).text.rstrip("\n")

    @property
    def is_system_call(self) -> bool:
        """True if a process can request the operation, so that a real kernel can run it.

        Raises:
            ProgramError: if the language has no operation of this name.
        """
        operation = _by_name().get(self.name)
        if operation is None:
            known = nearest(self.name, _by_name()) or "; mmcore.program.operations() lists them"
            raise ProgramError(f"there is no operation {self.name!r}{known}")
        return operation.system_call

    def get(self, name: str) -> Arg | None:
        """Returns the argument of this name; None if the operation does not have it."""
        return dict(self.args).get(name)

    def __getitem__(self, name: str) -> Arg:
        """Returns the argument of this name; raises KeyError if the operation does not have it."""
        return dict(self.args)[name]

    def __repr__(self) -> str:
        """The call that makes the operation in Python."""
        args = "".join(f", {key}={value!r}" for key, value in self.args)
        return f"Op({self.name!r}{args})"


def _op(name: str, args: tuple[NamedArg, ...]) -> Op:
    return Op(name, **dict(args))


def _is_arg(value: object) -> bool:
    one = isinstance(value, str | int | Selection)
    return one or _is_tuple(value, str) or _is_tuple(value, Selection)


@dataclass(frozen=True, slots=True)
class Thread(_Data):
    """A thread of a program.

    Attributes:
        name: the thread's name.
        ops: the operations of the thread, in order.
        cpu: the number of the CPU that the thread runs on; None if the program names none.

    Raises:
        TypeError: if a value has the wrong type.
    """

    name: str
    ops: tuple[Op, ...] = ()
    cpu: int | None = None

    def __post_init__(self) -> None:
        """Checks the types."""
        self._expect("name", "a str", fits=isinstance(self.name, str))
        self._expect("ops", "a tuple of Op", fits=_is_tuple(self.ops, Op))
        self._expect("cpu", "an int or None", fits=isinstance(self.cpu, int | None))


class FieldSetting(NamedTuple):
    """A field of a profile with a value that overrides the preset.

    Attributes:
        field: the field's name.
        value: its value in the spelling of a `machine` line, such as `true` or `15`.
    """

    field: str
    value: str

    @classmethod
    def from_dict(cls, fields: Mapping[str, str]) -> tuple[FieldSetting, ...]:
        """Makes the settings of fields by name, sorted by name."""
        return tuple(cls(name, fields[name]) for name in sorted(fields))


@dataclass(frozen=True, slots=True)
class MachineSpec(_Data):
    """The `machine` line of a program. A runner has a default for each value that it leaves out.

    Attributes:
        nodes: the number of nodes; None for the runner's default.
        pages: the number of frames of each node: one number for all nodes, or one for each node;
            empty for the runner's default.
        cpus: the number of CPUs; None for the runner's default.
        kernel: the preset of the profile, `6.1`; None for the runner's default.
        profile: fields of the profile that override the preset, sorted by name. The constructor
            also takes plain pairs of name and value.
        movable: the numbers of the nodes for movable pages only.
        offline: the numbers of the nodes whose memory blocks begin offline.
        block: the number of frames of a memory block; None for the runner's default.
        pressure: `on` for a machine with memory pressure, `off` for one without; None for the
            runner's default.
        memory: `tso` if the explorer delays stores as x86 does, `sc` if not; None for the default.

    Raises:
        TypeError: if a value has the wrong type.
    """

    nodes: int | None = None
    pages: tuple[int, ...] = ()
    cpus: int | None = None
    kernel: str | None = None
    profile: tuple[FieldSetting, ...] = ()
    movable: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()
    block: int | None = None
    pressure: str | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        """Checks the types."""
        for name in ("nodes", "cpus", "block"):
            fits = isinstance(getattr(self, name), int | None)
            self._expect(name, "an int or None", fits=fits)
        for name in ("pages", "movable", "offline"):
            self._expect(name, "a tuple of int", fits=_is_tuple(getattr(self, name), int))
        for name in ("kernel", "pressure", "memory"):
            fits = isinstance(getattr(self, name), str | None)
            self._expect(name, "a str or None", fits=fits)
        fits = _is_pairs(self.profile, str)
        self._expect("profile", "a tuple of pairs of str", fits=fits)
        object.__setattr__(self, "profile", tuple(map(FieldSetting._make, self.profile)))


@dataclass(frozen=True, slots=True)
class Boot(_Data):
    """`# own-boot` in the first line: a real kernel boots for this program alone.

    Attributes:
        ballast: whether each node also has the mapped file pages that every other boot has.

    Raises:
        TypeError: if `ballast` is no bool.
    """

    ballast: bool = True

    def __post_init__(self) -> None:
        """Checks the type."""
        self._expect("ballast", "a bool", fits=isinstance(self.ballast, bool))


@dataclass(frozen=True, slots=True)
class Program(_Data):
    """A program: a set-up, threads, and a `finally` section.

    Attributes:
        setup: the operations that run first, in order.
        threads: the threads, which run concurrently after the set-up.
        finally_: the operations that run after all threads have ended, in order.
        machine: the machine that the program asks for; None for the runner's default.
        boot: the boot of a real kernel for this program; None if it needs no boot of its own.

    Raises:
        TypeError: if a value has the wrong type.
    """

    setup: tuple[Op, ...] = ()
    threads: tuple[Thread, ...] = ()
    finally_: tuple[Op, ...] = ()
    machine: MachineSpec | None = None
    boot: Boot | None = None

    def __post_init__(self) -> None:
        """Checks the types; the core checks the values when `text` or `to_json` is called."""
        for name in ("setup", "finally_"):
            self._expect(name, "a tuple of Op", fits=_is_tuple(getattr(self, name), Op))
        self._expect("threads", "a tuple of Thread", fits=_is_tuple(self.threads, Thread))
        fits = isinstance(self.machine, MachineSpec | None)
        self._expect("machine", "a MachineSpec or None", fits=fits)
        self._expect("boot", "a Boot or None", fits=isinstance(self.boot, Boot | None))

    @classmethod
    def parse(cls, text: str, file: str | None = None) -> Program:
        """Reads a program.

        Args:
            text: the text of the program.
            file: the name of the file, for error messages; None if the text comes from elsewhere.

        Raises:
            ProgramError: if the text is no program; it names file, line, column and what to write.
        """
        try:
            return _program(_parse(text))
        except ProgramError as error:
            raise ProgramError(error.message, error.line, error.column, file) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """Reads a program file of at most 16 MiB; `-` is the standard input.

        Raises:
            ProgramError: if the text is no program; it names file, line, column and what to write.
            InputError: if the file cannot be read.
        """
        name = os.fspath(path)
        return cls.parse(read_text(path), STANDARD_INPUT if name == "-" else name)

    @classmethod
    def of(cls, program: Program | str) -> Program:
        """Returns a given program, or reads the program of a given text.

        Raises:
            ProgramError: if the text is no program.
            TypeError: if the argument is neither a program nor a text.
        """
        if not isinstance(program, cls | str):
            raise TypeError(f"program must be an mmcore.Program or its text, not {shown(program)}")
        return cls.parse(program) if isinstance(program, str) else program

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Reads a program from the JSON of `to_json`.

        Raises:
            ProgramError: if the JSON is no program.
        """
        return cls.parse(_print(text))

    @property
    def text(self) -> str:
        """The canonical text; `Program.parse` reads an equal program from it.

        Raises:
            ProgramError: if the values make no valid program.
        """
        return _print(_to_json(self))

    def to_json(self) -> str:
        """The program as one JSON object with `"schema": 1`.

        Raises:
            ProgramError: if the values make no valid program.
        """
        return _parse(self.text)

    @property
    def ops(self) -> tuple[Op, ...]:
        """All operations: set-up, threads, `finally`."""
        return (*self.setup, *(op for thread in self.threads for op in thread.ops), *self.finally_)

    def __str__(self) -> str:
        """The text."""
        return self.text


@dataclass(frozen=True, slots=True)
class Argument:
    """The description of one argument of an operation.

    Attributes:
        name: the name in `Op.args`.
        place: `positional`, `key` (`NAME=VALUE`) or `options` (words at the end of the line).
        required: whether the operation must have the argument.
        syntax: the values that the argument takes, as plain data from the core.
    """

    name: str
    place: ArgumentPlace
    required: bool
    syntax: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one operation of the language.

    Attributes:
        name: the name, see `Op.name`.
        word: the first word of the line.
        usage: the pattern of the line.
        system_call: whether a process can request it, see `Op.is_system_call`.
        doc: the effect of the operation, in words.
        args: the arguments.
    """

    name: str
    word: str
    usage: str
    system_call: bool
    doc: str
    args: tuple[Argument, ...]


@functools.cache
def operations() -> tuple[Operation, ...]:
    """Returns the descriptions of all operations of the language."""
    return tuple(
        Operation(
            name=row["op"],
            word=row["word"],
            usage=row["usage"],
            system_call=row["system_call"],
            doc=row["doc"],
            args=tuple(Argument(**arg) for arg in row["args"]),
        )
        for row in json.loads(_mmcore.program_operations())
    )


@functools.cache
def _by_name() -> Mapping[str, Operation]:
    return {operation.name: operation for operation in operations()}


# --- Calls of the core, whose ValueError becomes a ProgramError -----------------------------------


def _parse(text: str) -> str:
    try:
        return _mmcore.parse_program(text)
    except UnicodeEncodeError as error:
        before = text[: error.start]
        line, column = before.count("\n") + 1, error.start - (before.rfind("\n") + 1) + 1
        raise ProgramError(
            "an unpaired surrogate is not a character: remove it", line, column
        ) from None
    except ValueError as error:
        raise ProgramError(*error.args) from None


def _print(text: str) -> str:
    try:
        return _mmcore.print_program(text)
    except UnicodeEncodeError:
        raise ProgramError(
            "not a program in JSON: an unpaired surrogate is not a character"
        ) from None
    except ValueError as error:
        raise ProgramError(*error.args) from None


# --- JSON and the classes ------------------------------------------------------------------------


def _program(text: str) -> Program:
    data = json.loads(text)
    machine, boot = data["machine"], data["boot"]
    return Program(
        setup=_ops(data["setup"]),
        threads=tuple(Thread(t["name"], _ops(t["ops"]), t["cpu"]) for t in data["threads"]),
        finally_=_ops(data["finally"]),
        machine=machine and _machine(machine),
        boot=boot and Boot(**boot),
    )


def _machine(data: dict[str, Any]) -> MachineSpec:
    values = data | {"profile": FieldSetting.from_dict(data["profile"])}
    values |= {name: tuple(data[name]) for name in ("pages", "movable", "offline")}
    return MachineSpec(**values)


def _ops(data: list[dict[str, Any]]) -> tuple[Op, ...]:
    return tuple(Op(op.pop("op"), **{key: _arg(value) for key, value in op.items()}) for op in data)


def _arg(value: Any) -> Any:
    match value:
        case {"of": of, "pages": pages}:
            frames = value.get("frames")
            return Selection(
                of,
                pages and tuple(PageRange(*each) for each in pages),
                None if frames is None else tuple(frames),
            )
        case list():
            return tuple(_arg(item) for item in value)
        case _:
            return value


def _to_json(program: Program) -> str:
    machine, boot = program.machine, program.boot
    data = {
        "schema": 1,
        "boot": boot and {"ballast": boot.ballast},
        "machine": machine
        and {each.name: getattr(machine, each.name) for each in fields(machine)}
        | {"profile": dict(machine.profile)},
        "setup": program.setup,
        "threads": [{"name": t.name, "cpu": t.cpu, "ops": t.ops} for t in program.threads],
        "finally": program.finally_,
    }
    return json.dumps(data, default=_plain)


def _plain(value: Any) -> dict[str, Any]:
    """Converts an `Op` or `Selection` for `json.dumps`; any other object is a TypeError."""
    match value:
        case Op(name=name, args=args) if value.get("op") is None:
            return {"op": name, **dict(args)}
        case Selection(of=of, pages=pages, frames=frames):
            return {"of": of, "pages": pages} | ({} if frames is None else {"frames": frames})
        case _:
            raise TypeError(f"a program cannot hold a value of type {type(value).__name__}")

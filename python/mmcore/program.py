"""Programs: what is done to a machine, as data.

`Program.parse` reads the text language that `docs/programs.md` describes; `Program.text` prints it
back. The classes are a mirror of the core's, made from the JSON that it exports: reading, printing
and checking are the core's.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mmcore import _mmcore
from mmcore._input import STANDARD_INPUT, read_text
from mmcore.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Arg",
    "Argument",
    "Boot",
    "MachineSpec",
    "Op",
    "Operation",
    "Program",
    "Selection",
    "Thread",
    "operations",
]


@dataclass(frozen=True, slots=True)
class Selection:
    """All pages of something, or a list of them.

    Attributes:
        of: the name: `r0`, `m0`, `p0`, `zero0`.
        pages: ranges of page numbers, both ends included; None is all of them.
    """

    of: str
    pages: tuple[tuple[int, int], ...] | None = None

    def indices(self, length: int) -> Iterator[int]:
        """The page numbers, in order, of something that has `length` pages."""
        for first, last in ((0, length - 1),) if self.pages is None else self.pages:
            yield from range(first, last + 1)

    def __str__(self) -> str:
        """As it stands in a program, `r0:0-3,7`."""
        ranges = (f"{a}" if a == b else f"{a}-{b}" for a, b in self.pages or ())
        return self.of if self.pages is None else f"{self.of}:{','.join(ranges)}"


#: The value of one argument of an operation. A tuple holds selections that are joined by `+`, or
#: the options that follow.
Arg: TypeAlias = "str | int | Selection | tuple[Selection, ...] | tuple[str, ...]"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Op:
    """One operation: a line of a program.

    Two operations are equal if they say the same; what is not said (None, or no options) is not
    among the arguments.

    Attributes:
        name: the operation's name in JSON: the first word of the line, but `migrate_pages` for
            `migrate from=...` and `drain_cpu` for `drain cpu=...`.
        args: the arguments by name, sorted.
    """

    name: str
    args: tuple[tuple[str, Arg], ...]

    def __init__(self, name: str, /, **args: Arg | None) -> None:
        said = ((key, value) for key, value in args.items() if value is not None and value != ())
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "args", tuple(sorted(said, key=lambda pair: pair[0])))

    @classmethod
    def parse(cls, text: str) -> Op:
        """Reads one line.

        Raises:
            ProgramError: if it is no operation, or not one.
        """
        program = Program.parse(text)
        if len(program.setup) != 1 or program != Program(setup=program.setup):
            raise ProgramError("this is not one operation; Program.parse reads programs")
        return program.setup[0]

    @property
    def text(self) -> str:
        """The line."""
        return Program(setup=(self,)).text.rstrip("\n")

    @property
    def is_system_call(self) -> bool:
        """Whether a process can do this, so that a real kernel can run it too."""
        operation = _by_name().get(self.name)
        if operation is None:
            message = f"there is no operation {self.name!r}; mmcore.program.operations() lists them"
            raise ProgramError(message)
        return operation.system_call

    def get(self, name: str) -> Arg | None:
        """An argument, or None if it is not said."""
        return dict(self.args).get(name)

    def __getitem__(self, name: str) -> Arg:
        """An argument that is said."""
        return dict(self.args)[name]

    def __repr__(self) -> str:
        """As it is made in Python."""
        args = "".join(f", {key}={value!r}" for key, value in self.args)
        return f"Op({self.name!r}{args})"


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: its name, what it does in order, and its CPU if the program says one."""

    name: str
    ops: tuple[Op, ...] = ()
    cpu: int | None = None


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The `machine` line. What it does not say is the runner's choice.

    Attributes:
        nodes: how many nodes.
        pages: frames of each node: nothing, one number for all, or one a node.
        cpus: how many CPUs.
        kernel: which kernel's profile.
        profile: fields of the profile to change, with their values, sorted by name.
        movable: nodes that are only for movable pages.
    """

    nodes: int | None = None
    pages: tuple[int, ...] = ()
    cpus: int | None = None
    kernel: str | None = None
    profile: tuple[tuple[str, str], ...] = ()
    movable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Boot:
    """`# own-boot` in the first line: a real kernel boots for this program alone.

    Attributes:
        ballast: whether each node has its usual mapped file pages beside the program's.
    """

    ballast: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """A program: set-up, threads, and what comes after them.

    Attributes:
        setup: what is done first, in order.
        threads: what is then done at once.
        finally_: what is done when all threads have ended.
        machine: the machine that the program asks for.
        boot: how a real kernel is to be booted for it.
    """

    setup: tuple[Op, ...] = ()
    threads: tuple[Thread, ...] = ()
    finally_: tuple[Op, ...] = ()
    machine: MachineSpec | None = None
    boot: Boot | None = None

    @classmethod
    def parse(cls, text: str, file: str | None = None) -> Program:
        """Reads a program.

        Args:
            text: the program.
            file: where the text was read, for errors.

        Raises:
            ProgramError: with the file, the line, the column and what to write instead.
        """
        try:
            return _program(_parse(text))
        except ProgramError as error:
            raise ProgramError(error.message, error.line, error.column, file) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """Reads a program file of at most 16 MiB; `-` is the standard input.

        Raises:
            ProgramError: with the file, the line, the column and what to write instead.
            InputError: if the file cannot be read.
        """
        name = os.fspath(path)
        return cls.parse(read_text(path), STANDARD_INPUT if name == "-" else name)

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Reads what `to_json` wrote.

        Raises:
            ProgramError: if this is no program.
        """
        return cls.parse(_print(text))

    @property
    def text(self) -> str:
        """The canonical text: `Program.parse` of it is the same program.

        Raises:
            ProgramError: if the data is no program.
        """
        return _print(_to_json(self))

    def to_json(self) -> str:
        """The program as one JSON object with `"schema": 1`.

        Raises:
            ProgramError: if the data is no program.
        """
        return _parse(self.text)

    @property
    def ops(self) -> tuple[Op, ...]:
        """Every operation, in the order of the text."""
        return (*self.setup, *(op for thread in self.threads for op in thread.ops), *self.finally_)

    def __str__(self) -> str:
        """The text."""
        return self.text


@dataclass(frozen=True, slots=True)
class Argument:
    """What an operation takes.

    Attributes:
        name: its name in `Op.args`.
        place: `positional`, `key` or `options`.
        required: whether it must be said.
        syntax: what it looks like, as the core describes it.
    """

    name: str
    place: str
    required: bool
    syntax: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table of operations.

    Attributes:
        name: see `Op.name`.
        word: the first word of the line.
        usage: how the line looks.
        system_call: see `Op.is_system_call`.
        doc: what it does.
        args: what it takes.
    """

    name: str
    word: str
    usage: str
    system_call: bool
    doc: str
    args: tuple[Argument, ...]


@functools.cache
def operations() -> tuple[Operation, ...]:
    """The operations of the language."""
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


# --- The core, with its errors as ours -----------------------------------------------------------


def _parse(text: str) -> str:
    try:
        return _mmcore.parse_program(text)
    except UnicodeEncodeError as error:
        before = text[: error.start]
        line, column = before.count("\n") + 1, error.start - (before.rfind("\n") + 1) + 1
        raise ProgramError("a surrogate alone is no character", line, column) from None
    except ValueError as error:
        raise ProgramError(*error.args) from None


def _print(text: str) -> str:
    try:
        return _mmcore.print_program(text)
    except UnicodeEncodeError:
        raise ProgramError("not a program in JSON: a surrogate alone is no character") from None
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
    pages, profile = tuple(data["pages"]), tuple(sorted(data["profile"].items()))
    return MachineSpec(
        data["nodes"], pages, data["cpus"], data["kernel"], profile, tuple(data["movable"])
    )


def _ops(data: list[dict[str, Any]]) -> tuple[Op, ...]:
    return tuple(Op(op.pop("op"), **{key: _arg(value) for key, value in op.items()}) for op in data)


def _arg(value: Any) -> Any:
    match value:
        case {"of": of, "pages": pages}:
            return Selection(of, pages and tuple((first, last) for first, last in pages))
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
        and {
            "nodes": machine.nodes,
            "pages": machine.pages,
            "cpus": machine.cpus,
            "movable": machine.movable,
            "kernel": machine.kernel,
            "profile": dict(machine.profile),
        },
        "setup": program.setup,
        "threads": [{"name": t.name, "cpu": t.cpu, "ops": t.ops} for t in program.threads],
        "finally": program.finally_,
    }
    return json.dumps(data, default=_plain)


def _plain(value: Any) -> dict[str, Any]:
    """What json asks for when it meets a class of ours."""
    match value:
        case Op(name=name, args=args) if value.get("op") is None:
            return {"op": name, **dict(args)}
        case Selection(of=of, pages=pages):
            return {"of": of, "pages": pages}
        case _:
            message = f"{type(value).__name__} has no place in a program"
            raise TypeError(message)

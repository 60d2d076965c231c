"""The inputs that several verbs share: program files, traces, and FIELD=VALUE words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from mmcore import _waiting
from mmcore._cli.progress import Bar
from mmcore._errors import InputError
from mmcore._input import STANDARD_INPUT
from mmcore._mmcore import DEFAULT_SCHEDULES
from mmcore._trace import Trace
from mmcore.program import Program
from mmcore.typing import Kernel, Release  # noqa: TC001 - the command line reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "STDIN",
    "Fields",
    "MachineWords",
    "ManyWords",
    "Preemptions",
    "bound",
    "extent",
    "fields",
    "program",
    "source",
    "trace",
    "trace_or_shipped",
]

#: Fields of a profile, each given by one `--set FIELD=VALUE`.
Fields: TypeAlias = Annotated[
    tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)
]

#: The bound of an exhaustive search.
Preemptions: TypeAlias = int | Literal["all"]

#: Replaces `-` before the parser runs: the parser would take `-` for an option.
STDIN = "/dev/stdin"


@Parameter(name="*")
@dataclass(frozen=True)
class MachineWords:
    """The machine that a program runs on.

    Attributes:
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        set_: FIELD=VALUE: a further field of the profile.
    """

    kernel: Kernel | None = None
    release: Release | None = None
    set_: Fields = ()

    @property
    def options(self) -> dict[str, Any]:
        """The same values as keyword arguments of the searches of the library."""
        return {
            "kernel": self.kernel,
            "release": self.release,
            "profile": fields(self.set_),
        }


@Parameter(name="*")
@dataclass(frozen=True)
class ManyWords:
    """The options of an exploration of many programs.

    Attributes:
        seconds: end the exploration after this many seconds.
        jobs: programs explored at the same time, one for each processor if left out; their number
            does not change the result.
        checkpoint: keep each finished program in this file; the same command with this file goes
            on.
    """

    seconds: float | None = None
    jobs: int | None = None
    checkpoint: Path | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The same values as keyword arguments of the searches of the library."""
        return dict(vars(self))


def bound(preemptions: Preemptions) -> int | None:
    """Converts a bound for the library: "all" becomes None, every interleaving."""
    return None if preemptions == "all" else preemptions


def extent(
    search: str | None,
    schedules: int | None,
    preemptions: Preemptions | None,
    seconds: float | None,
) -> str:
    """The limit of a search, for its progress bar: no share is known before the first block."""
    if search != "exhaustive":
        drawn = schedules or (DEFAULT_SCHEDULES if seconds is None else None)
        return f"{drawn:,} schedules, drawn" if drawn else "drawn schedules"
    within = "" if preemptions == "all" else f" with at most {preemptions or 2} preemptions"
    if preemptions == 0:
        within = " without a preemption"
    limits = [f"{schedules:,} schedules at most"] if schedules else []
    if not schedules and seconds is None:
        limits = ["--schedules or --seconds ends it earlier"]
    return "; ".join([f"every interleaving{within}", *limits])


def source(word: str) -> str:
    """Converts a file name for the library: `STDIN` becomes `-` again."""
    return "-" if word == STDIN else word


def program(path: str) -> Program:
    """Reads a program from a file, or from the standard input for `-`.

    Raises:
        InputError: if it has no operation: every check of such a program would pass.
    """
    read = Program.load(source(path))
    if not (read.setup or read.threads or read.finally_):
        name = STANDARD_INPUT if source(path) == "-" else path
        raise InputError(f"{name}: the program is empty: write operations such as `map r0 anon 1`")
    return read


def trace_or_shipped(path: str | None, max_accesses: int | None) -> Trace | None:
    """Reads a trace with a progress bar of its own; None for the trace that mmcore ships.

    Raises:
        InputError: if the file cannot be read or is no trace, or a limit is given without a file.
    """
    if path is None:
        if max_accesses is not None:
            raise InputError("--max-accesses limits the file of a trace: name one, or leave it out")
        return None
    with Bar("reading") as bar:
        return trace(path, max_accesses, bar)


def trace(path: str, max_accesses: int | None, bar: Bar) -> Trace:
    """Reads a trace from a file, or from the standard input for `-`, with a progress bar.

    Raises:
        InputError: if the file cannot be read or is no trace.
    """

    def progress(done: int, total: int | None) -> None:
        bar.update(done=done, of=total, note=path)

    limit = {} if max_accesses is None else {"max_accesses": max_accesses}
    name = source(path)
    try:
        # Sorting a long trace is one NumPy call: `heard` lets SIGINT end it.
        return _waiting.heard(Trace.load, name, progress=progress, **limit)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


def fields(words: Iterable[str]) -> dict[str, str]:
    """Splits the words of `--set FIELD=VALUE` into names and values."""
    said = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"--set takes FIELD=VALUE, such as pagevec=15, not {word!r}")
        if name in said:
            raise InputError(f"--set gives {name} twice: leave one of them out")
        said[name] = value
    return said

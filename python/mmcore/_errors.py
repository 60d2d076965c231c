"""The exceptions of `mmcore.errors` that know no result.

The modules of the package import them from here. An import of `mmcore.errors` would be circular:
its `RaceError` carries a result, and the modules of results raise exceptions themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore._page_state import PageState

__all__ = [
    "FindingError",
    "InputError",
    "KernelError",
    "MissingExtraError",
    "MisuseError",
    "MmcoreError",
    "ProgramError",
    "RefusedWarning",
    "SigbusError",
    "WorkersLostError",
]


class MmcoreError(Exception):
    """The base class of all exceptions of mmcore.

    Some built-in exceptions are raised as they are: `TypeError` for an argument of the wrong type,
    `ValueError` for a word that a parameter does not take, `IndexError` and `KeyError` for an index
    or a name that does not exist, `BufferError` for a buffer that is in use, `OSError` for a file
    that cannot be read or written, `MemoryError` for a host without memory.
    """


class InputError(MmcoreError, ValueError):
    """An argument, option or file is not valid. The message says on one line what to change."""

    def __init__(self, message: object = "", *more: object) -> None:
        # The message may quote a path or a value of the caller, which may have any character.
        super().__init__(_on_one_line(message), *more)


def _on_one_line(value: object) -> str:
    """The value's text, with escapes in place of line ends and other characters not printed."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class ProgramError(InputError):
    """A text is not a valid program, or the values of a `Program` are not.

    Attributes:
        message: the mistake and what to write instead, on one line.
        line: the line of the text, from 1; None if there is no text.
        column: the character in that line, from 1; None if there is no text.
        file: the file that the text was read from; None if it came from elsewhere.
    """

    def __init__(
        self,
        message: str,
        line: int | None = None,
        column: int | None = None,
        file: str | None = None,
    ) -> None:
        # All values go to the base class: `pickle` calls the class with `args`.
        super().__init__(message, line, column, file)
        self.message = str(self.args[0])
        self.line = line
        self.column = column
        self.file = file

    def __str__(self) -> str:
        """The message after its place, if one is known: `race.mm:3:5: ...` for a file."""
        if self.line is None:
            place = "" if self.file is None else f"{self.file}: "
        elif self.file is None:
            place = f"line {self.line}, column {self.column}: "
        else:
            place = f"{self.file}:{self.line}:{self.column}: "
        return _on_one_line(f"{place}{self.message}")


class MissingExtraError(MmcoreError, ImportError):
    """An optional dependency is not installed. The message has the command that installs it.

    Attributes:
        feature: the feature that needs the dependency.
        extra: the extra of the package that installs it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        # Both values go to the base class: `pickle` calls the class with `args`.
        super().__init__(feature, extra)
        self.feature = feature
        self.extra = extra

    def __str__(self) -> str:
        """The feature that needs the dependency, and the command that installs it."""
        return f"{self.feature} needs the extra {self.extra}: {_installation(self.extra)}"


def _installation(extra: str) -> str:
    """The command that installs an extra.

    It names the packages of the extra: they are on the registry, also for an installation of mmcore
    from a clone or a wheel.
    """
    # Imported here: they load a dozen other modules, which no other error needs.
    import shlex
    from importlib import metadata

    try:
        lines = metadata.requires("mmcore-linux") or []
    except metadata.PackageNotFoundError:
        # The package lies in a folder on the path, and was not installed.
        lines = []
    parts = (line.partition(";") for line in lines)
    quoted = (f"'{extra}'", f'"{extra}"')
    wanted = [
        package.strip() for package, _, marker in parts if any(each in marker for each in quoted)
    ]
    return shlex.join(["pip", "install", *(wanted or [f"mmcore-linux[{extra}]"])])


class FindingError(MmcoreError):
    """A machine broke a rule: an audit has findings, or a page or its content was lost."""


class KernelError(MmcoreError, OSError):
    """An operation failed with the error that a kernel returns in the same state.

    Attributes:
        errno: the error number that the system call returns.
        strerror: the reason in words, with the holders of the page.
        state: the state of the page at the failure; None if the error is about no single page.
    """

    def __init__(self, errno: int, message: str, state: PageState | None = None) -> None:
        super().__init__(errno, message)
        self.state = state


class SigbusError(KernelError):
    """An access touched a bad frame, for which a process receives SIGBUS.

    Attributes:
        address: the virtual address of the page.
        code: the signal's `si_code` by name; ``BUS_MCEERR_AR`` means that the access needs the lost
            data and cannot continue.
    """

    def __init__(
        self,
        errno: int,
        message: str,
        state: PageState | None = None,
        address: int = 0,
        code: str = "BUS_MCEERR_AR",
    ) -> None:
        super().__init__(errno, message, state)
        self.address = address
        self.code = code


class MisuseError(MmcoreError, RuntimeError):
    """A call broke a rule of the interface; nothing was changed.

    Examples: a handle that was already given back, a closed machine, a machine of the parent
    process used after `os.fork`, a page of another machine, a wait that could never end.
    """


class WorkersLostError(MmcoreError, RuntimeError):
    """An executor lost workers, and with them parts of a call; `partial` is the result of the rest.

    An executor that mmcore makes itself is made anew, and the parts are done again: this error then
    means that a part was lost with three workers, or that no new worker could be had.

    Attributes:
        parts: the names of the parts that were begun and not done; if there is none, of the part
            that the broken executor refused.
        reason: the error of the executor.
    """

    def __init__(self, parts: tuple[str, ...], reason: str) -> None:
        # All values go to the base class: `pickle` calls the class with `args`.
        super().__init__(parts, reason)
        self.parts = parts
        self.reason = reason

    def __str__(self) -> str:
        """The number and the names of the parts, the reason, and what to change."""
        names = ", ".join(self.parts[:5]) + (", ..." if len(self.parts) > 5 else "")
        count = f"{len(self.parts)} parts" if len(self.parts) != 1 else "1 part"
        reason = " ".join(str(self.reason).split())
        return (
            f"the executor lost its workers ({reason}): {count} not done: {names}; give"
            " a function that makes the executor, and lost parts are done again on a new one;"
            " checkpoint=FILE keeps the parts that are done"
        )


class RefusedWarning(UserWarning):
    """A search in a test ran a program of which an operation was refused in every schedule.

    The search tested nothing of this operation.
    """


# Users import these classes from the public module: tracebacks and pickles name it.
for _name in __all__:
    globals()[_name].__module__ = "mmcore.errors"

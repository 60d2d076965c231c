"""What can go wrong, and what the command line does about it.

| raised | means | exit code |
|---|---|---|
| `InputError` | the input or an option is wrong; nothing was changed | 2 |
| `ProgramError` | a program's text or data is wrong: an `InputError` that names the line | 2 |
| `MissingExtraError` | the feature needs an optional dependency | 2 |
| `KernelError` | an operation failed as the kernel fails it: an `OSError` with an errno | 1 |
| `SigbusError` | an access met a bad frame: a `KernelError` with address and code | 1 |
| `MisuseError` | a rule of the interface was broken; nothing was changed | 2 |
| `FindingError` | a rule of the machine is broken: that is what mmcore looks for | 1 |
| `KeyboardInterrupt` | a signal ended a long call; its `partial` is what was found by then | 130 |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore.state import PageState

__all__ = [
    "FindingError",
    "InputError",
    "KernelError",
    "MissingExtraError",
    "MisuseError",
    "ProgramError",
    "RefusedWarning",
    "SigbusError",
]


class InputError(ValueError):
    """The input is wrong. The message is one line and says what to change."""


class ProgramError(InputError):
    """A text is no program, or data is none.

    Attributes:
        message: what is wrong and what to write instead, on one line.
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
        # All of them as arguments, so that the error can be pickled.
        super().__init__(message, line, column, file)
        self.message = message
        self.line = line
        self.column = column
        self.file = file

    def __str__(self) -> str:
        """The message, with its place if there is one: `race.mm:3:5: ...` in a file."""
        if self.line is None:
            return self.message if self.file is None else f"{self.file}: {self.message}"
        if self.file is None:
            return f"line {self.line}, column {self.column}: {self.message}"
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message says how to get it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs: pip install 'mmcore-linux[{extra}]'")
        self.feature = feature
        self.extra = extra


class FindingError(Exception):
    """A machine broke a rule: an audit that is not clean, lost content, a lost page."""


class KernelError(OSError):
    """An operation that failed as the kernel fails it.

    Attributes:
        errno: what the system call would return.
        strerror: the state that was found, in words, with the page's holders.
        state: the page concerned as it was found; None if it is about no page in particular.
    """

    def __init__(self, errno: int, message: str, state: PageState | None = None) -> None:
        super().__init__(errno, message)
        self.state = state


class SigbusError(KernelError):
    """An access met a bad frame: what a process gets as SIGBUS.

    Attributes:
        address: the page that was touched.
        code: ``BUS_MCEERR_AR``: the process cannot go on without it.
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


class MisuseError(RuntimeError):
    """A rule of the interface was broken, and nothing was changed.

    A token or handle that was given back already, a machine that is closed or belongs to the
    process before a fork, another machine's page, a wait that could never end.
    """


class RefusedWarning(UserWarning):
    """A search in a test could not do an operation of its program, in any schedule."""

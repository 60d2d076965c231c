"""The exceptions of mmcore, and the exit codes of the command line for them.

Every class but the warning `RefusedWarning` derives from `MmcoreError`, and most also from the
built-in exception of the same meaning, so that code for built-in exceptions handles them.

| raised | means | exit code |
|---|---|---|
| `InputError` | the input or an option is wrong; nothing was changed | 2 |
| `ProgramError` | a program's text or data is wrong: an `InputError` that names the line | 2 |
| `MissingExtraError` | the feature needs an optional dependency | 2 |
| `KernelError` | an operation failed with an errno of the kernel: an `OSError` | 1 |
| `SigbusError` | an access touched a bad frame: a `KernelError` with address and code | 1 |
| `MisuseError` | a call broke a rule of the interface; nothing was changed | 2 |
| `FindingError` | a rule of the machine is broken, as an audit or a search found | 1 |
| `WorkersLostError` | an executor lost parts of a call; `partial` is the result so far | 2 |
| `RaceError` | a schedule breaks a rule: a `FindingError` with the counterexample | 1 |
| `KeyboardInterrupt` | a signal ended a long call; `partial` is the result so far | 130 or 143 |

The exit code is 130 after SIGINT and 143 after SIGTERM. An `OSError` for a file that cannot be read
or written, and a `MemoryError`, have the exit code 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._errors import (
    FindingError,
    InputError,
    KernelError,
    MissingExtraError,
    MisuseError,
    MmcoreError,
    ProgramError,
    RefusedWarning,
    SigbusError,
    WorkersLostError,
)
from mmcore._lazy import lazily

if TYPE_CHECKING:
    from mmcore._exploration.result import RaceError
else:
    __getattr__, __dir__ = lazily(__name__, {"mmcore._exploration.result": ("RaceError",)})

__all__ = [
    "FindingError",
    "InputError",
    "KernelError",
    "MissingExtraError",
    "MisuseError",
    "MmcoreError",
    "ProgramError",
    "RaceError",
    "RefusedWarning",
    "SigbusError",
    "WorkersLostError",
]

"""The command line: it parses, calls the library and prints.

One file for each verb, imported only when that verb is called. To add one, write
`mmcore/cli/VERB.py` with a function of that name that returns an exit code, and add its line to
`VERBS`. Exit codes, everywhere: 0 done and clean, 1 a finding, 2 usage or bad input (one line),
3 inconclusive, 130 and 143 ended by SIGINT and SIGTERM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore import __version__
from mmcore._extras import need
from mmcore.errors import FindingError, InputError, KernelError, MissingExtraError, MisuseError

need("cyclopts", "the command line")
need("rich", "the command line")

# Only after `need` has named the extra.
from cyclopts import App, CycloptsError  # noqa: E402 - see above

from mmcore.cli import inputs, output, signals  # noqa: E402 - see above

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "run"]

#: The verbs and where they are defined.
VERBS = (
    "compare",
    "conformance",
    "diff",
    "env",
    "policies",
    "profiles",
    "run",
    "explore",
)


def _app() -> App:
    app = App(
        name="mmcore",
        help="The life of a Linux memory page, as a library.",
        version=f"mmcore {__version__}",
        version_flags=["--version"],
        help_format="markdown",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        # Or it would end the process itself, whatever signal it was.
        suppress_keyboard_interrupt=False,
        console=output.console(),
    )
    for verb in VERBS:
        app.command(f"mmcore.cli.{verb}:{verb}", name=verb)
    return app


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code; errors become one line on stderr."""
    output.begin()
    with signals.heard() as caught:
        try:
            result = _app()([inputs.STDIN if word == "-" else word for word in argv])
            return output.code(result if isinstance(result, int) else 0)
        except KeyboardInterrupt:
            output.complain("interrupted")
            return caught.code
        except Exception as error:
            code = _explained(error)
            if code is None:
                raise
            return code


def _explained(error: Exception) -> int | None:
    """Says what went wrong, and returns the exit code; None for what is a mistake of mmcore's."""
    whole = False
    match error:
        case BrokenPipeError():
            # Whoever read our output has gone: nobody misses the rest.
            output.leave()
            return 0
        case CycloptsError() | InputError() | MissingExtraError() | MisuseError():
            message, code = str(error), output.UNUSABLE
        case FindingError():
            message, code, whole = str(error), output.FOUND, True
        case KernelError():
            message, code = str(error), output.FOUND
        case OSError():
            # A file that cannot be read or written.
            message, code = _of_a_file(error), output.UNUSABLE
        case MemoryError():
            message, code = "there is not enough memory", output.UNUSABLE
        case UnicodeEncodeError():
            message, code = f"{error.object[:60]!r} is no text", output.UNUSABLE
        case _:
            return None
    output.complain(message, whole=whole)
    return code


def _of_a_file(error: OSError) -> str:
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why

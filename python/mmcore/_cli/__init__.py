"""The command line: parses arguments, calls the library and prints the result.

Each verb has a file, imported only when the verb is called. To add a verb, write
`mmcore/_cli/verbs/VERB.py` with a function `VERB` that returns an exit code, or an `App` of this
name with commands of its own, and add the verb to a group in `GROUPS`. The files have a folder of
their own: here, the import of the verb `run` would replace the function `run`. All verbs share the
exit codes: 0 clean, 1 a finding, 2 wrong usage or input (one line on stderr says why), 3
inconclusive, 130 and 143 ended by SIGINT and SIGTERM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore import __version__
from mmcore._errors import (
    FindingError,
    InputError,
    KernelError,
    MissingExtraError,
    MisuseError,
    WorkersLostError,
)
from mmcore._extras import need

need("cyclopts", "the command line")
need("rich", "the command line")

# After `need`: without the extra, the error of this import would not name the extra.
from cyclopts import App, CycloptsError, Group  # noqa: E402 - see above

from mmcore._cli import inputs, output, signals, wording  # noqa: E402 - see above
from mmcore._verbs import GROUPS, VERBS  # noqa: E402 - see above

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GROUPS", "VERBS", "app", "run"]


def app() -> App:
    """Builds the parser of the command line."""
    made = App(
        name="mmcore",
        help="The life of a Linux memory page, as a library.",
        version=f"mmcore {__version__}",
        version_flags=["--version"],
        help_format="markdown",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        # If True, cyclopts would end the process itself, with one exit code for both signals.
        suppress_keyboard_interrupt=False,
        console=output.console(),
    )
    for number, (name, verbs) in enumerate(GROUPS.items()):
        group = Group(name, sort_key=number)
        for place, (verb, text) in enumerate(verbs.items()):
            made.command(
                f"mmcore._cli.verbs.{verb}:{verb}",
                name=verb,
                group=group,
                sort_key=place,
                help=text,
            )
    made.register_install_completion_command(
        group=group, sort_key=len(verbs), help="Install completion for your shell."
    )
    return made


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code; errors are told on stderr."""
    output.begin()
    with signals.heard() as caught:
        try:
            words = [inputs.STDIN if word == "-" else word for word in argv]
            parser = app()
            wording.refuse_fractions(parser, words)
            result = parser(words)
            return output.code(result if isinstance(result, int) else 0)
        except KeyboardInterrupt:
            output.complain("interrupted")
            return caught.code
        except SystemExit as ended:
            # `--install-completion` ends the process itself, after one line on stderr, if it cannot
            # detect the shell. Its exit code 1 would mean a finding here.
            return output.UNUSABLE if ended.code else 0
        except Exception as error:
            code = _explained(error, argv)
            if code is None:
                raise
            return code


def _explained(error: Exception, argv: Sequence[str]) -> int | None:
    """Prints an error, on one line but for a finding; returns the exit code, None for a defect."""
    whole = False
    match error:
        case BrokenPipeError():
            # The reader of the output has closed the pipe, as `head` does: no error.
            output.leave()
            return 0
        case CycloptsError():
            message, code = wording.of_parser(error), output.UNUSABLE
        case InputError():
            message, code = wording.of_library(str(error), argv), output.UNUSABLE
        case MissingExtraError() | MisuseError() | WorkersLostError():
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
            message, code = (
                f"{error.object[:60]!r} cannot be encoded: it has an unpaired surrogate",
                output.UNUSABLE,
            )
        case _:
            return None
    output.complain(message, whole=whole)
    return code


def _of_a_file(error: OSError) -> str:
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why

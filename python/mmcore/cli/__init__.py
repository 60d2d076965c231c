"""The command line: it parses, calls the library and prints.

One file for each verb, imported only when that verb is called. To add one, write
`mmcore/cli/VERB.py` with a function of that name that returns an exit code, and add its line to
`VERBS`. Exit codes, everywhere: 0 done and clean, 1 a finding, 2 usage or bad input (one line),
3 inconclusive.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mmcore import __version__
from mmcore._extras import need
from mmcore.cli import inputs
from mmcore.errors import FindingError, InputError, KernelError, MissingExtraError, MisuseError

need("cyclopts", "the command line")
need("rich", "the command line")

from cyclopts import App, CycloptsError  # noqa: E402 - only after `need` has named the extra

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
    )
    for verb in VERBS:
        app.command(f"mmcore.cli.{verb}:{verb}", name=verb)
    return app


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code; errors become one line on stderr."""
    try:
        result = _app()([inputs.STDIN if word == "-" else word for word in argv])
        if sys.stdout is not None:
            sys.stdout.flush()
    except CycloptsError as error:
        return _complain(str(error), 2)
    except (InputError, MissingExtraError, MisuseError) as error:
        return _complain(str(error), 2)
    except FindingError as error:
        return _complain(str(error), 1, whole=True)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KernelError as error:
        return _complain(str(error), 1)
    except OSError as error:
        # A file that cannot be read or written.
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    return result if isinstance(result, int) else 0


def _complain(message: str, code: int, *, whole: bool = False) -> int:
    text = message if whole else " ".join(message.split())
    print(f"mmcore: {text}", file=sys.stderr)
    return code

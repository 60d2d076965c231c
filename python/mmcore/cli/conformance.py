"""`mmcore conformance`: recordings of real kernels, replayed and compared."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated

from cyclopts import Parameter

import mmcore
from mmcore.cli import output, signals
from mmcore.errors import InputError

#: Exit codes: see `mmcore.cli`.
_CODES = {"match": 0, "differs": 1, "unread": 2, "incomplete": 3}


def conformance(
    *recordings: Path,
    until_unsupported: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Replay recordings of real kernels and compare every step.

    Args:
        recordings: files, or folders with everything in them (docs/conformance.md).
        until_unsupported: compare up to the first operation that the machine cannot do, instead of
            counting it as a mismatch.
        as_json: print JSON instead of lines.
    """
    if not recordings:
        raise InputError("name a recording, or a folder of recordings")

    def show(result: mmcore.Conformance) -> int:
        if result.rows or as_json:
            output.show(result.to_json() if as_json else result)
        for line in result.unread:
            output.complain(line)
        return _CODES[result.verdict]

    return signals.report(
        lambda: mmcore.conformance(
            recordings, until_unsupported=until_unsupported, skip_unread=True
        ),
        show,
    )

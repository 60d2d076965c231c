"""`mmcore conformance`: recordings of real kernels, replayed and compared."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated

from cyclopts import Parameter

import mmcore
from mmcore.errors import InputError


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
    result = mmcore.conformance(recordings, until_unsupported=until_unsupported)
    print(result.to_json() if as_json else result)
    return 0 if result.verdict == "match" else 1
